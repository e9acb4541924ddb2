"""Publisher of steps, as task messages for Celery's workers.

Messages follow version 2 of Celery's task protocol ("Message Protocol" in its documentation) and
are sent by kombu. A user's script then need not import Celery, which takes a sixth of the time of
its first deployment. Tasks are referred to by name, so that it does not import workers' code.
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
from ...settings import URL_HINT, redacted_url
from ..store.calls import DueStep
from . import queues
from .affinity import Affinity

#: Import path of the transport; see :mod:`.kombu_transport`.
TRANSPORT = "nepiq.controller.engine.messaging.kombu_transport:Transport"
BATCH = 100
#: Most steps with I/O in one message, and least number of messages for steps due together.
MOST_PARALLEL, SHARES = 8, 3
#: Most joint steps, stops or releases in one message, which are batched on their host.
MOST_JOINT = 128
_ENDS = {"stop", "release"}
_NO_ETA = 0.001
_ANNOUNCE = 8
_MAX_LABELS = 8
_LONGEST_SHOWN = 300
# Reconnection while a message is sent, with Celery's values.
_RETRY = {"max_retries": 3, "interval_start": 0.0, "interval_step": 0.2, "interval_max": 0.2}


def transport_options() -> dict[str, Any]:
    """Return kombu's options for Redis, for publishers and workers."""
    return {
        # Above the horizon, so that a message waiting for its ETA is not redelivered; the sweeper
        # comes first, redelivery is the fallback.
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": 1000,
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


def connection(url: str) -> Connection:
    """Return a connection to the broker, established on first use.

    Raises:
        InvalidValue: its URL has options that Celery does not support.
    """
    TRANSPORT_ALIASES["nepiq"] = TRANSPORT
    try:
        return Connection(
            url, transport=TRANSPORT, connect_timeout=5.0, transport_options=transport_options()
        )
    except (TypeError, ValueError):
        # No cause: its text and traceback may contain parts of the URL.
        raise InvalidValue(
            f"broker URL {redacted_url(url)!r} has options that Celery does not support",
            hint=URL_HINT,
        ) from None


def task_message(
    task: str, args: Sequence[Any], task_id: str, shown: str, eta: datetime | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """Return body and headers of a task message.

    Args:
        task: name of the task.
        args: its arguments, as JSON values.
        task_id: its id.
        shown: a description of its arguments, for monitors.
        eta: when to execute it; None for now.
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
    """The sender of steps to workers, for use by several threads.

    Args:
        url: URL of the broker, in the form of :func:`.redis_connection.broker_url`.
        affinity: the preferred workers of hosts.
    """

    def __init__(self, url: str, affinity: Affinity) -> None:
        self._url = url
        self._affinity = affinity
        # One connection for each thread that sends concurrently: a producer's channel must not
        # be shared between threads.
        self._idle: deque[Any] = deque()

    def prepare(self) -> None:
        """Import the modules that kombu would load on first use, without connecting."""
        from . import kombu_transport  # noqa: F401 - the broker's URL names it

        with self._producer():
            pass

    def connection(self) -> Connection:
        """Return another connection to the broker, for health checks."""
        return connection(self._url)

    def submit(self, run_id: str, due: Sequence[DueStep]) -> None:
        """Send due steps: those without I/O in batches, others one or a few per message.

        Many steps with I/O that are due together later are sent as one announcement, from which a
        worker submits them when they are due; otherwise one worker would hold all of them.
        """
        if not due:
            return
        pending = list(messages(run_id, due, self._affinity.queue))
        with self._producer() as producer:
            if len(pending) == 1:
                self._send(producer, *pending[0])
                return
            with producer.batch(max_size=100):
                for message in pending:
                    self._send(producer, *message)

    def call(self, task: str, queue_name: str, args: list[Any], *, shown: str) -> None:
        """Send one task that is not a step; ``shown`` describes it and may be cut."""
        with self._producer() as producer:
            self._send(producer, task, queue_name, args, shown[:_LONGEST_SHOWN], 0.0)

    def advance(self, campaign: str) -> None:
        """Send the step of a campaign."""
        self.call("nepiq.advance", queues.COMMON, [campaign], shown=f"advance {campaign}")

    def rounds(self, exp_id: str, items: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Send short steps of several runs of an experiment in one message: run, and its steps."""
        shown = f"rounds of {exp_id}, {len(items)} runs from {items[0][0]} on"
        self.call("nepiq.rounds", queues.COMMON, [exp_id, list(items)], shown=shown)

    def close(self) -> None:
        """Close the connections, those in use after their use."""
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
        # Short, for Flower's table, and unique.
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
    run_id: str, due: Sequence[DueStep], route: Callable[[str, int], str]
) -> Iterator[tuple[str, str, list[Any], str, float]]:
    """Yield (task, queue, arguments, description, delay) of each message to send.

    Args:
        run_id: the run.
        due: the due steps.
        route: returns the queue for a step's queue and attempt; see :meth:`Affinity.queue`.
    """

    def batch_key(item: DueStep) -> tuple[bool, bool, str, str, int]:
        moment = round(max(item.delay, 0.0) * 1000)
        return item.batch, item.joint, queues.shared(item.queue), _action(item), moment

    def target(item: DueStep) -> str:
        return route(item.queue, item.attempt)

    for key, group in groupby(sorted(due, key=batch_key), key=batch_key):
        batch, joint, queue_name, action, _ = key
        items = list(group)
        delay = max(item.delay for item in items)
        if batch:
            for part in _parts(items, BATCH):
                yield _message(run_id, action, queue_name, part, delay)
        elif delay > _NO_ETA and len(items) >= _ANNOUNCE and not joint:
            for part in _parts(items, 1000):
                arguments = [run_id, [[i.step, i.queue, i.label, i.attempt] for i in part]]
                yield (
                    "nepiq.announce",
                    queue_name,
                    arguments,
                    description(run_id, action, part),
                    delay,
                )
        else:
            for target_queue, members in groupby(sorted(items, key=target), key=target):
                # Many steps share messages, but spread so that several threads get some.
                steps = list(members)
                size = MOST_JOINT if joint else _share(action, len(steps))
                for part in _parts(steps, size):
                    yield _message(run_id, action, target_queue, part, delay, parallel=True)


def _share(action: str, count: int) -> int:
    """Return how many of the steps due together one message has."""
    most = MOST_JOINT if action in _ENDS else MOST_PARALLEL
    return min(most, max(1, count // SHARES))


def _message(
    run_id: str,
    action: str,
    queue_name: str,
    items: Sequence[DueStep],
    delay: float,
    *,
    parallel: bool = False,
) -> tuple[str, str, list[Any], str, float]:
    arguments: list[Any] = [run_id, [item.step for item in items]]
    if parallel and len(items) > 1:
        arguments.append(True)
    return f"nepiq.{action}", queue_name, arguments, description(run_id, action, items), delay


def description(run_id: str, action: str, items: Sequence[DueStep]) -> str:
    """Return a description: ``start server, run 20261122064638447311, attempt 1``.

    It names the first resources only. Flower's table has room for about 45 characters.
    """
    labels = " ".join(item.label for item in items[:_MAX_LABELS])
    if len(items) > _MAX_LABELS:
        labels += f" and {len(items) - _MAX_LABELS} more"
    attempts = sorted({item.attempt for item in items})
    attempt_text = f"attempt {attempts[0]}" + (f" to {attempts[-1]}" if len(attempts) > 1 else "")
    return f"{action} {labels}, run {run_id}, {attempt_text}"


def _action(item: DueStep) -> str:
    return item.step.split(".", 2)[1]


def _parts(items: Sequence[DueStep], size: int) -> Iterable[Sequence[DueStep]]:
    return (items[at : at + size] for at in range(0, len(items), size))
