"""ExperimentController and the parts that it delegates to."""
