"""Celery application of workers for Flower: ``celery -A nepiq.workers.flower_app flower``.

Flower counts queued messages only if the broker's URL names a transport that it supports, and
reads TLS options only from Celery's configuration.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

from ..controller.engine.messaging.celery_app import TRANSPORT
from .app import app

__all__ = ["app"]

# nepiq's transport replaces kombu's own; nothing else in this process connects to Redis.
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = TRANSPORT
_url = str(app.conf.broker_url).replace("nepiq+socket://", "redis+socket://", 1)
app.conf.update(broker_transport=None, broker_url=_url)
with app.connection() as _connection:
    app.conf.broker_use_ssl = _connection.ssl or None
