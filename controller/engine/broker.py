"""The Celery application: its settings, queues, task names, and the submission of steps.

The application is made by a function, since its URL is known only at run time. The controller
submits tasks by name, so that a script never imports what runs on workers.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from . import queues
from .store.records import Due

BATCH = 100
#: Steps with I/O in one message, and into how many messages those due at once are spread at least.
MOST_APART, SHARES = 8, 12
_TRANSPORT = "nepiq.controller.engine.transport:Transport"
_NO_ETA = 0.001
_ANNOUNCE = 8


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
    TRANSPORT_ALIASES["nepiq"] = _TRANSPORT
    app = Celery(name, broker=url, set_as_current=False)
    app.conf.update(
        broker_transport=_TRANSPORT,
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
        broker_transport_options=_transport_options(),
    )
    return app


def _transport_options() -> dict[str, Any]:
    return {
        # Above the horizon, so that a message waiting for its ETA is not sent twice; redelivery
        # is only a second safety behind the sweeper.
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": 1000,
        # kombu's default waits for ever on a half-open connection.
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


class Publisher:
    """Submits steps to workers. Safe to use from several threads."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._pid = os.getpid()
        self._local = threading.local()

    def prepare(self) -> None:
        """Import what sending needs, which Celery and kombu put off, without connecting."""
        from . import transport  # noqa: F401 - the broker's URL names it

        self._producer()
        _ = self.app.backend, self.app.AsyncResult, self.app.amqp.send_task_message

    def submit(self, run_id: str, due: Sequence[Due]) -> None:
        """Send what became due: steps without I/O in batches, others by themselves or in few.

        Steps with I/O that are due together later travel in one announcement, which a worker
        turns into single messages at the moment; else one worker would hold them all.
        """
        if not due:
            return
        messages = list(_messages(run_id, due))
        producer = self._producer()
        if len(messages) == 1:
            self._send(producer, *messages[0])
            return
        with producer.batch(max_size=100):
            for message in messages:
                self._send(producer, *message)

    def call(self, task: str, queue_name: str, args: list[Any], *, shown: str) -> None:
        """Send one task that is not a step."""
        self._send(self._producer(), task, queue_name, args, shown, 0.0)

    def close(self) -> None:
        """Close this thread's connection."""
        producer = getattr(self._local, "producer", None)
        if producer is not None:
            self._local.producer = None
            producer.release()
            producer.__connection__.release()

    def _producer(self) -> Any:
        # One connection a thread: a producer's channel must not be shared between threads.
        producer = getattr(self._local, "producer", None)
        if producer is None:
            connection = self.app.connection_for_write()
            producer = self.app.amqp.Producer(connection, auto_declare=False)
            self._local.producer = producer
        return producer

    def _send(
        self, producer: Any, task: str, queue_name: str, args: list[Any], shown: str, delay: float
    ) -> None:
        eta = datetime.now(timezone.utc) + timedelta(seconds=delay) if delay > _NO_ETA else None
        self.app.send_task(
            task,
            args,
            producer=producer,
            task_id=f"{shown.replace(' ', '/')}/{secrets.token_hex(3)}",
            argsrepr=shown,
            kwargsrepr="",
            queue=queue(queue_name),  # type: ignore[arg-type]  # the stubs know names only
            declare=(),
            eta=eta,
            ignore_result=True,
        )


def _messages(run_id: str, due: Sequence[Due]) -> Iterator[tuple[str, str, list[Any], str, float]]:
    """Yield (task, queue, arguments, text for people, delay) of each message to send."""

    def together(item: Due) -> tuple[bool, str, str, int]:
        return item.batch, item.queue, _action(item), round(max(item.delay, 0.0) * 1000)

    for (batch, queue_name, action, _), group in groupby(sorted(due, key=together), key=together):
        items = list(group)
        delay = max(item.delay for item in items)
        if batch:
            for part in _parts(items, BATCH):
                yield _message(run_id, action, queue_name, part, delay)
        elif delay > _NO_ETA and len(items) >= _ANNOUNCE:
            for part in _parts(items, 1000):
                shown = f"{run_id} {len(part)} of {action}"
                arguments = [run_id, [[i.step, i.queue, i.label] for i in part]]
                yield "nepiq.announce", queue_name, arguments, shown, delay
        else:
            # Many at once share messages, but so that every worker gets some.
            size = min(MOST_APART, max(1, len(items) // SHARES))
            for part in _parts(items, size):
                yield _message(run_id, action, queue_name, part, delay, apart=True)


def _message(
    run_id: str,
    action: str,
    queue_name: str,
    items: Sequence[Due],
    delay: float,
    *,
    apart: bool = False,
) -> tuple[str, str, list[Any], str, float]:
    shown = f"{run_id} {items[0].label} {action}"
    if len(items) > 1:
        shown += f" and {len(items) - 1} more"
    arguments: list[Any] = [run_id, [item.step for item in items]]
    if apart and len(items) > 1:
        arguments.append(True)
    return f"nepiq.{action}", queue_name, arguments, shown, delay


def _action(item: Due) -> str:
    return item.step.split(".", 2)[1]


def _parts(items: Sequence[Due], size: int) -> Iterable[Sequence[Due]]:
    return (items[at : at + size] for at in range(0, len(items), size))
