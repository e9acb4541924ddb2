"""Celery tasks: thin wrappers around :mod:`nepiq.workers`."""
