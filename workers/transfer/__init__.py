"""The worker's end of transfers."""
