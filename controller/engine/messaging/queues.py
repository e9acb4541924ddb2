"""Names of the queues that steps travel through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

PREFIX = "nepiq:"
"""What the broker's keys begin with; a queue is the list of that name behind it."""

COMMON = "nepiq"
"""Every worker serves it: steps that act on no host, and callbacks."""


def of_site(site: str) -> str:
    """The queue of the steps that act on a site's hosts."""
    return f"{COMMON}.{site}"


def of_worker(queue: str, worker: str) -> str:
    """The queue of those steps on a site's hosts that one of its workers shall have.

    Args:
        queue: the site's.
        worker: the worker's Celery node name.
    """
    return f"{queue}@{worker}"


def shared(queue: str) -> str:
    """The queue that all workers of a site serve, of one that is meant for one worker or host."""
    return queue.partition("@")[0]


def of_machine(machine: str) -> str:
    """The queue of the steps bound to one worker machine, such as those on its localhost."""
    return f"{COMMON}.m.{machine}"


def is_of_machine(queue: str) -> bool:
    """True for a queue of one worker machine."""
    return queue.startswith(of_machine(""))


def backlogged(broker: Redis, names: Iterable[str]) -> list[str]:
    """The queues in which messages wait for a worker.

    Args:
        broker: client of the broker's Redis.
        names: the queues to look at.
    """
    asked = sorted(names)
    return [name for name, length in zip(asked, depths(broker, asked), strict=True) if length]


def depths(broker: Redis, names: Iterable[str]) -> list[int]:
    """How many messages wait in each queue.

    Args:
        broker: client of the broker's Redis.
        names: the queues to look at.
    """
    pipe = broker.pipeline(transaction=False)
    for name in names:
        pipe.llen(PREFIX + name)
    return list(pipe.execute())


def hand_over(broker: Redis, names: Iterable[str]) -> int:
    """Move what waits for one worker to where all workers of the site find it.

    Args:
        broker: client of the broker's Redis.
        names: queues of one worker.

    Returns:
        How many messages were moved.
    """
    asked = list(names)
    moved = 0
    for name, count in zip(asked, depths(broker, asked), strict=True):
        for _ in range(count):
            moved += broker.rpoplpush(PREFIX + name, PREFIX + shared(name)) is not None
    return moved


def site_of(queue: str) -> str:
    """The site whose queue it is, or the queue of one of its workers; empty for the others."""
    prefix = f"{COMMON}."
    plain = shared(queue)
    return plain[len(prefix) :] if plain.startswith(prefix) and not is_of_machine(plain) else ""
