"""Messages to workers: the Celery application, queues, and which worker gets a host."""
