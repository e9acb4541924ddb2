"""What a run looks like to people: timeline, failures, tables, waits, results."""
