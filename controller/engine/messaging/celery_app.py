"""The Celery application of workers: its settings and queues.

It is made by a function, since its URL is known only at run time. What it receives is sent by
:mod:`.publisher`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection, Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from . import queues
from .publisher import TRANSPORT, transport_options

# Seconds between attempts to reach Redis again.
_AGAIN = {"interval_start": 1, "interval_step": 1, "interval_max": 3}


class _Connection(Connection):
    """A connection that is made again soon after Redis is back, however long it was away.

    kombu tries after 2, 4, 6... and in the end 30 seconds.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Return when there is a connection."""
        return super().ensure_connection(*args, **{**_AGAIN, **options})


class _Amqp(AMQP):
    Connection = _Connection


def queue(name: str) -> Queue:
    """A queue that is reached directly, without an exchange to look up."""
    return Queue(name, Exchange(""), routing_key=name)


def make_app(url: str, served: Sequence[str] = (queues.COMMON,), *, name: str = "nepiq") -> Celery:
    """Make the Celery application for a broker.

    Args:
        url: ``redis://``, ``rediss://`` or ``redis+socket://`` URL of the broker.
        served: what a worker of this application consumes; publishers need none.
        name: name of the application.
    """
    TRANSPORT_ALIASES["nepiq"] = TRANSPORT
    app = Celery(name, broker=url, set_as_current=False, amqp=_Amqp)
    app.conf.update(
        broker_transport=TRANSPORT,
        # Data only: a message must never be able to run code by being read.
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
        # Flower asks for them; nobody else reads them, and they cost a fourth of a short step.
        worker_send_task_events=False,
        task_send_sent_event=False,
        # A dead monitor must not fill Redis with events.
        event_queue_expires=60.0,
        event_queue_ttl=5.0,
        # Typing errors must not make queues that nobody serves.
        task_queues=[queue(item) for item in served],
        task_default_queue=queues.COMMON,
        task_create_missing_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5.0,
        # Cancelling needs a pool that can kill; ours leaves that to deadlines and fences.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
        timezone="UTC",
        broker_transport_options=transport_options(),
    )
    return app
