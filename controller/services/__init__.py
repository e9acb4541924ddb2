"""The local services: a private Redis and a worker, their daemon, and the worker restarter."""
