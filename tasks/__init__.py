"""The Celery tasks: thin functions around :mod:`nepiq.workers`."""
