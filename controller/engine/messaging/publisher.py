"""The submission of steps, as messages that Celery's workers take for tasks.

A message is made by hand, after version 2 of Celery's task protocol ("Message Protocol" in its
documentation), and sent by kombu: a script that describes and watches an experiment then need not
import Celery, which takes a sixth of the time of its first deployment. Tasks go by name, so that
it never imports what runs on workers either.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

from kombu import Connection
from kombu.messaging import Producer
from kombu.transport import TRANSPORT_ALIASES

from ...errors import InvalidValue
from ...settings import URL_HINT, shown_url
from ..store.calls import Due
from . import queues
from .affinity import Homes

#: The transport, by name; see :mod:`.transport`.
TRANSPORT = "nepiq.controller.engine.messaging.kombu_transport:Transport"
BATCH = 100
#: Steps with I/O in one message, and into how many messages those due at once are spread at least.
MOST_APART, SHARES = 8, 3
#: The same of stops and releases, which go together on their host.
MOST_ENDS = 64
_ENDS = {"stop", "release"}
_NO_ETA = 0.001
_ANNOUNCE = 8
_NAMED = 8
_LONGEST_SHOWN = 300
# How a lost connection is made again while something is sent, as Celery does.
_RETRY = {"max_retries": 3, "interval_start": 0.0, "interval_step": 0.2, "interval_max": 0.2}


def transport_options() -> dict[str, Any]:
    """How kombu uses Redis, on both sides."""
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


def connection(url: str) -> Connection:
    """A connection with the broker, which is made when it is used.

    Raises:
        InvalidValue: its URL has options that Celery does not take.
    """
    TRANSPORT_ALIASES["nepiq"] = TRANSPORT
    try:
        return Connection(
            url, transport=TRANSPORT, connect_timeout=5.0, transport_options=transport_options()
        )
    except (TypeError, ValueError):
        # Their texts have parts of the URL, and so may the traceback.
        raise InvalidValue(
            f"broker URL {shown_url(url)!r} has options that Celery does not take", hint=URL_HINT
        ) from None


def task_message(
    task: str, args: Sequence[Any], task_id: str, shown: str, eta: datetime | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """The body and the headers of a message that a Celery worker takes for a task.

    Args:
        task: the task's name.
        args: its arguments, as JSON has them.
        task_id: its id.
        shown: its arguments, for people who watch.
        eta: when to carry it out; at once if None.
    """
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "group_index": None,
        "shadow": None,
        "eta": None if eta is None else eta.isoformat(),
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": shown,
        "kwargsrepr": "",
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    signatures = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return [list(args), {}, signatures], headers


class Publisher:
    """Submits steps to workers. Safe to use from several threads.

    Args:
        url: URL of the broker, as :func:`.stack.broker_url` gives it.
        homes: tells which worker a step on a host goes to.
    """

    def __init__(self, url: str, homes: Homes) -> None:
        self._url = url
        self._homes = homes
        # One connection for each thread that sends at the same time: a producer's channel must
        # not be shared between threads.
        self._idle: deque[Any] = deque()

    def prepare(self) -> None:
        """Import what sending needs, which kombu puts off, without connecting."""
        from . import kombu_transport  # noqa: F401 - the broker's URL names it

        with self._producer():
            pass

    def connection(self) -> Connection:
        """Another connection with the broker, for whoever asks whether it answers."""
        return connection(self._url)

    def submit(self, run_id: str, due: Sequence[Due]) -> None:
        """Send what became due: steps without I/O in batches, others by themselves or in few.

        Steps with I/O that are due together later travel in one announcement, which a worker
        turns into single messages at the moment; else one worker would hold them all.
        """
        if not due:
            return
        made = list(messages(run_id, due, self._homes.queue))
        with self._producer() as producer:
            if len(made) == 1:
                self._send(producer, *made[0])
                return
            with producer.batch(max_size=100):
                for message in made:
                    self._send(producer, *message)

    def call(self, task: str, queue_name: str, args: list[Any], *, shown: str) -> None:
        """Send one task that is not a step; of a long ``shown`` the beginning."""
        with self._producer() as producer:
            self._send(producer, task, queue_name, args, shown[:_LONGEST_SHOWN], 0.0)

    def close(self) -> None:
        """Close the connections; those in use, when they have been used."""
        idle, self._idle = self._idle, deque()
        while idle:
            _release(idle.pop())

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        idle = self._idle
        try:
            producer = idle.pop()
        except IndexError:
            producer = Producer(connection(self._url), auto_declare=False)
        try:
            yield producer
        finally:
            idle.append(producer)
            if idle is not self._idle:
                while idle:
                    _release(idle.pop())

    def _send(
        self, producer: Any, task: str, queue_name: str, args: list[Any], shown: str, delay: float
    ) -> None:
        eta = datetime.now(timezone.utc) + timedelta(seconds=delay) if delay > _NO_ETA else None
        # Short, and unique: Flower's table shows it too.
        words = shown.partition(",")[0].split()[:2]
        task_id = "/".join([str(args[0]), *words, secrets.token_hex(3)])
        body, headers = task_message(task, args, task_id, shown, eta)
        producer.publish(
            body,
            routing_key=queue_name,
            exchange="",
            serializer="json",
            headers=headers,
            correlation_id=task_id,
            reply_to="",
            delivery_mode=2,
            retry=True,
            retry_policy=_RETRY,
        )


def _release(producer: Any) -> None:
    producer.release()
    producer.__connection__.release()


def messages(
    run_id: str, due: Sequence[Due], home: Callable[[str, int], str]
) -> Iterator[tuple[str, str, list[Any], str, float]]:
    """Yield (task, queue, arguments, text for people, delay) of each message to send.

    Args:
        run_id: the run.
        due: what became due.
        home: where a step of that queue and attempt goes; see :meth:`Homes.queue`.
    """

    def together(item: Due) -> tuple[bool, str, str, int]:
        moment = round(max(item.delay, 0.0) * 1000)
        return item.batch, queues.shared(item.queue), _action(item), moment

    def at_home(item: Due) -> str:
        return home(item.queue, item.attempt)

    for (batch, queue_name, action, _), group in groupby(sorted(due, key=together), key=together):
        items = list(group)
        delay = max(item.delay for item in items)
        if batch:
            for part in _parts(items, BATCH):
                yield _message(run_id, action, queue_name, part, delay)
        elif delay > _NO_ETA and len(items) >= _ANNOUNCE:
            for part in _parts(items, 1000):
                arguments = [run_id, [[i.step, i.queue, i.label, i.attempt] for i in part]]
                yield "nepiq.announce", queue_name, arguments, in_words(run_id, action, part), delay
        else:
            for place, there in groupby(sorted(items, key=at_home), key=at_home):
                # Many at once share messages, but so that every thread gets some.
                some = list(there)
                most = MOST_ENDS if action in _ENDS else MOST_APART
                size = min(most, max(1, len(some) // SHARES))
                for part in _parts(some, size):
                    yield _message(run_id, action, place, part, delay, apart=True)


def _message(
    run_id: str,
    action: str,
    queue_name: str,
    items: Sequence[Due],
    delay: float,
    *,
    apart: bool = False,
) -> tuple[str, str, list[Any], str, float]:
    arguments: list[Any] = [run_id, [item.step for item in items]]
    if apart and len(items) > 1:
        arguments.append(True)
    return f"nepiq.{action}", queue_name, arguments, in_words(run_id, action, items), delay


def in_words(run_id: str, action: str, items: Sequence[Due]) -> str:
    """A message as a monitor shows it: ``start server, run 20261122064638447311, attempt 1``.

    Of many resources the first are named. Flower's table has room for some 45 characters.
    """
    labels = " ".join(item.label for item in items[:_NAMED])
    if len(items) > _NAMED:
        labels += f" and {len(items) - _NAMED} more"
    attempts = sorted({item.attempt for item in items})
    told = f"attempt {attempts[0]}" + (f" to {attempts[-1]}" if len(attempts) > 1 else "")
    return f"{action} {labels}, run {run_id}, {told}"


def _action(item: Due) -> str:
    return item.step.split(".", 2)[1]


def _parts(items: Sequence[Due], size: int) -> Iterable[Sequence[Due]]:
    return (items[at : at + size] for at in range(0, len(items), size))
