"""Messages to workers: the Celery application, queues, and preferred workers of hosts."""
