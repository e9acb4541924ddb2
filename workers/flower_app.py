"""What ``celery -A nepiq.workers.flower_app flower`` loads: the application of workers, for Flower.

Flower counts the messages that wait in queues only where the broker's URL names a transport that
it knows, and takes options of TLS only from Celery's configuration.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

from ..controller.engine.messaging.publisher import TRANSPORT
from .app import app

__all__ = ["app"]

# Ours, under the names of kombu's own; in this process nobody else connects with Redis.
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = TRANSPORT
_url = str(app.conf.broker_url).replace("nepiq+socket://", "redis+socket://", 1)
app.conf.update(broker_transport=None, broker_url=_url)
with app.connection() as _connection:
    app.conf.broker_use_ssl = _connection.ssl or None
