"""What a worker imports whose broker sends again soon what nobody has acknowledged."""

from __future__ import annotations

from celery import current_app

current_app.conf.broker_transport_options.update(visibility_timeout=1, unacked_restore_interval=1)
