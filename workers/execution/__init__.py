"""Execution of steps: from a Celery message to the outcome of a hook."""
