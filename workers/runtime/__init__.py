"""State that all parts of a worker process share: leases, metrics, logs."""
