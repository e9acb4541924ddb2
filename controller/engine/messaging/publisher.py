"""Publisher of steps, as task messages for Celery's workers.

Messages follow version 2 of Celery's task protocol ("Message Protocol" in its documentation), in
the envelope that kombu reads from the lists of Redis. A user's script then imports neither Celery
nor kombu, which would take a third of the time until its first deployment
(docs/decisions/0065-messages-without-kombu.md). Tasks are referred to by name, so that it does not
import workers' code.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .. import redis_memory
from ..store.calls import DueStep
from . import queues
from .affinity import Affinity

if TYPE_CHECKING:
    from redis import Redis

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

#: Task, queue, arguments, description, and delay in seconds.
Message = tuple[str, str, list[Any], str, float]


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


def envelope(queue_name: str, body: list[Any], headers: dict[str, Any]) -> str:
    """Return a task message as kombu's transports of plain queues read it from a list.

    Args:
        queue_name: the queue it is sent to.
        body: as :func:`task_message` returns it.
        headers: likewise.
    """
    properties = {
        "correlation_id": headers["id"],
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue_name},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


class Publisher:
    """The sender of steps to workers, for use by several threads.

    Args:
        broker: returns the client of the broker's Redis.
        affinity: the preferred workers of hosts.
    """

    def __init__(self, broker: Callable[[], Redis], affinity: Affinity) -> None:
        self._broker = broker
        self._affinity = affinity

    def submit(self, run_id: str, due: Sequence[DueStep]) -> None:
        """Send due steps: those without I/O in batches, others one or a few per message.

        Many steps with I/O that are due together later are sent as one announcement, from which a
        worker submits them when they are due; otherwise one worker would hold all of them.
        """
        if due:
            self._send(messages(run_id, due, self._affinity.queue))

    def call(self, task: str, queue_name: str, args: list[Any], *, shown: str) -> None:
        """Send one task that is not a step; ``shown`` describes it and may be cut."""
        self._send([(task, queue_name, args, shown[:_LONGEST_SHOWN], 0.0)])

    def advance(self, campaign: str) -> None:
        """Send the step of a campaign."""
        self.call("nepiq.advance", queues.COMMON, [campaign], shown=f"advance {campaign}")

    def rounds(self, exp_id: str, items: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Send short steps of several runs of an experiment in one message: run, and its steps."""
        shown = f"rounds of {exp_id}, {len(items)} runs from {items[0][0]} on"
        self.call("nepiq.rounds", queues.COMMON, [exp_id, list(items)], shown=shown)

    def _send(self, pending: Iterable[Message]) -> None:
        # Workers take messages from the other end of a list.
        pushes = [("LPUSH", queues.PREFIX + item[1], _serialized(*item)) for item in pending]
        redis_memory.execute(self._broker(), pushes)


def _serialized(task: str, queue_name: str, args: list[Any], shown: str, delay: float) -> str:
    eta = datetime.now(timezone.utc) + timedelta(seconds=delay) if delay > _NO_ETA else None
    # Short, for Flower's table, and unique.
    words = shown.partition(",")[0].split()[:2]
    task_id = "/".join([str(args[0]), *words, secrets.token_hex(3)])
    return envelope(queue_name, *task_message(task, args, task_id, shown, eta))


def messages(
    run_id: str, due: Sequence[DueStep], route: Callable[[str, int], str]
) -> Iterator[Message]:
    """Yield the messages to send.

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
) -> Message:
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
