"""Work on hosts that one step does for all that need it, while the others are put back.

A step that carries a content or builds takes a thread of its worker as long as that lasts. Others
of the same host return Later, without a request to the host, and are woken when it is over. Between
workers, locks on the host have the same effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ...model import Context, Later

Key = tuple[str, ...]

#: Seconds until a step looks again that nobody has woken.
_LONGEST = 5.0


@dataclass
class _Flight:
    """Work that is under way.

    Attributes:
        what: what it does, for people.
        began: when, by the monotonic clock.
        waiting: what wakes the steps that wait for its end, by the run directory of each.
    """

    what: str
    began: float = field(default_factory=time.monotonic)
    waiting: dict[str, Callable[[], None]] = field(default_factory=dict)


_lock = threading.Lock()
_flights: dict[Key, _Flight] = {}


class Wait(NamedTuple):
    """A wait for what another step does.

    Attributes:
        later: when to look again, unless the step is woken before.
        what: what it does, for people.
    """

    later: Later
    what: str


def key(context: Context, what: str) -> Key:
    """Return the key of something that a host does once, however many applications need it."""
    return (context.host.facts.boot_id, context.run_dir.rsplit("/", 4)[0], what)


def under_way(context: Context, whats: Iterable[str]) -> Wait | None:
    """Return the wait for what is under way in this process, if one of these is; else None.

    The step is woken at its end.
    """
    keys = [key(context, what) for what in whats]
    with _lock:
        flying = [_flights[key] for key in keys if key in _flights]
        if not flying:
            return None
        latest = max(flying, key=lambda flight: flight.began)
        latest.waiting[context.run_dir] = context.wake
    return Wait(Later(_LONGEST), latest.what)


@contextmanager
def flight(keys: Sequence[Key], what: str) -> Iterator[bool]:
    """Mark keys as under way during the block; yield False if one of them is already."""
    own = _Flight(what)
    with _lock:
        mine = not any(key in _flights for key in keys)
        if mine:
            _flights.update(dict.fromkeys(keys, own))
    try:
        yield mine
    finally:
        if mine:
            with _lock:
                for key in keys:
                    del _flights[key]
            for wake in own.waiting.values():
                wake()
