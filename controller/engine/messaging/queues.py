"""Names of the queues of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

PREFIX = "nepiq:"
"""Prefix of the broker's keys; a queue is the list with this prefix and its name."""

COMMON = "nepiq"
"""The queue of steps without a host and of callbacks, served by all workers."""


def of_site(site: str) -> str:
    """Return the queue of the steps on a site's hosts."""
    return f"{COMMON}.{site}"


def of_worker(queue: str, worker: str) -> str:
    """Return the queue of one worker of a site.

    Args:
        queue: the site's queue.
        worker: the worker's Celery node name.
    """
    return f"{queue}@{worker}"


def shared(queue: str) -> str:
    """Return the queue that all workers of a site serve, for that of one worker or host."""
    return queue.partition("@")[0]


def of_machine(machine: str) -> str:
    """Return the queue of the steps bound to one worker machine, such as on its localhost."""
    return f"{COMMON}.m.{machine}"


def is_of_machine(queue: str) -> bool:
    """Return whether a queue is that of one worker machine."""
    return queue.startswith(of_machine(""))


def backlogged(broker: Redis, names: Iterable[str]) -> list[str]:
    """Return the queues with waiting messages.

    Args:
        broker: client of the broker's Redis.
        names: the queues to look at.
    """
    ordered = sorted(names)
    return [name for name, length in zip(ordered, depths(broker, ordered), strict=True) if length]


def depths(broker: Redis, names: Iterable[str]) -> list[int]:
    """Return the number of waiting messages in each queue.

    Args:
        broker: client of the broker's Redis.
        names: the queues to look at.
    """
    pipe = broker.pipeline(transaction=False)
    for name in names:
        pipe.llen(PREFIX + name)
    return list(pipe.execute())


def hand_over(broker: Redis, names: Iterable[str]) -> int:
    """Move the messages for single workers to the queues that all workers of their sites serve.

    Args:
        broker: client of the broker's Redis.
        names: queues of single workers.

    Returns:
        The number of messages moved.
    """
    sources = list(names)
    moved = 0
    for name, count in zip(sources, depths(broker, sources), strict=True):
        for _ in range(count):
            moved += broker.rpoplpush(PREFIX + name, PREFIX + shared(name)) is not None
    return moved


def site_of(queue: str) -> str:
    """Return the site of a queue or of a worker's queue; empty for other queues."""
    prefix = f"{COMMON}."
    plain = shared(queue)
    return plain[len(prefix) :] if plain.startswith(prefix) and not is_of_machine(plain) else ""
