"""Pictures of an experiment's graph: what there is, where it acts, what waits for what."""
