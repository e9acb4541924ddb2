"""Reports of runs: timeline, failures, tables, explanations of waits, results."""
