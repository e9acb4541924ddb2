"""Processes that nepiq starts on this machine: the embedded Redis and worker, and their daemon."""
