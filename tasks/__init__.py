"""What Celery delivers: thin tasks around :mod:`nepiq.workers`."""
