"""Life of the Celery worker process: its boot steps and its drain."""
