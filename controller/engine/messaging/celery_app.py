"""Celery application of workers: its settings and queues.

A function creates it, since its URL is known only at run time. Its messages are sent by
:mod:`.publisher`, and received through :mod:`.kombu_transport`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection, Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from . import queues

#: Import path of the transport; see :mod:`.kombu_transport`.
TRANSPORT = "nepiq.controller.engine.messaging.kombu_transport:Transport"

# Seconds between attempts to reconnect to Redis.
_RECONNECT = {"interval_start": 1, "interval_step": 1, "interval_max": 3}


class _Connection(Connection):
    """A connection that is restored soon after Redis is back, however long it was down.

    kombu pauses 2, 4, 6 and finally 30 seconds between attempts.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Wait until the connection is established."""
        return super().ensure_connection(*args, **{**_RECONNECT, **options})


class _Amqp(AMQP):
    Connection = _Connection


def queue(name: str) -> Queue:
    """Return a queue that needs no look-up of an exchange."""
    return Queue(name, Exchange(""), routing_key=name)


def make_app(
    url: str, queue_names: Sequence[str] = (queues.COMMON,), *, name: str = "nepiq"
) -> Celery:
    """Return a Celery application for a broker.

    Args:
        url: ``redis://``, ``rediss://`` or ``redis+socket://`` URL of the broker.
        queue_names: the queues that a worker of this application consumes.
        name: name of the application.
    """
    TRANSPORT_ALIASES["nepiq"] = TRANSPORT
    app = Celery(name, broker=url, set_as_current=False, amqp=_Amqp)
    app.conf.update(
        broker_transport=TRANSPORT,
        # Data only: reading a message must never run code.
        task_serializer="json",
        accept_content=["json"],
        event_serializer="json",
        # State lives in the run's records; results would double the Redis traffic.
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # The lease protects a running step, not the broker: acknowledge on start.
        task_acks_late=False,
        task_track_started=True,
        worker_prefetch_multiplier=1,
        # Flower enables them; otherwise unused, they cost a fourth of a short step.
        worker_send_task_events=False,
        task_send_sent_event=False,
        # A dead monitor must not fill Redis with events.
        event_queue_expires=60.0,
        event_queue_ttl=5.0,
        # A misspelt name must not create a queue without a worker.
        task_queues=[queue(item) for item in queue_names],
        task_default_queue=queues.COMMON,
        task_create_missing_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5.0,
        # Cancelling needs a pool that can kill; here deadlines and fences end tasks.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
        timezone="UTC",
        broker_transport_options=_transport_options(),
    )
    return app


def _transport_options() -> dict[str, Any]:
    return {
        # It would record by two transactions which worker has a message. The sweeper sends again
        # within seconds what is lost with a worker (docs/decisions/0066-no-acknowledgements.md).
        "ack_emulation": False,
        # By default kombu waits indefinitely on a half-open connection.
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": queues.PREFIX,
        "fanout_prefix": True,
        "fanout_patterns": True,
        # Without priorities one list per queue is enough to poll.
        "priority_steps": [0],
        "queue_order_strategy": "round_robin",
        "max_connections": 200,
    }
