"""Work on hosts that one step does for all that need it, while the others are put back.

A step that carries a content or builds takes a thread of its worker as long as that lasts. Others
of the same host return Later, without a request to the host. Between workers, locks on the host
have the same effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ...model import Context, Later

Key = tuple[str, ...]

_SHORTEST, _LONGEST = 0.2, 5.0

_lock = threading.Lock()
_flights: dict[Key, tuple[float, str]] = {}


class Wait(NamedTuple):
    """A wait for what another step does.

    Attributes:
        later: when to look again.
        what: what it does, for people.
    """

    later: Later
    what: str


def key(context: Context, what: str) -> Key:
    """Return the key of something that a host does once, however many applications need it."""
    return (context.host.facts.boot_id, context.run_dir.rsplit("/", 4)[0], what)


def under_way(keys: Iterable[Key]) -> Wait | None:
    """Return the wait for what is under way in this process, if one of these is; else None.

    The pauses grow with its age, so that long work is looked at rarely.
    """
    with _lock:
        flying = [_flights[key] for key in keys if key in _flights]
    if not flying:
        return None
    began, what = max(flying)
    pause = (time.monotonic() - began) / 4
    return Wait(Later(min(_LONGEST, max(_SHORTEST, pause))), what)


@contextmanager
def flight(keys: Sequence[Key], what: str) -> Iterator[bool]:
    """Mark keys as under way during the block; yield False if one of them is already."""
    with _lock:
        mine = not any(key in _flights for key in keys)
        if mine:
            _flights.update(dict.fromkeys(keys, (time.monotonic(), what)))
    try:
        yield mine
    finally:
        if mine:
            with _lock:
                for key in keys:
                    _flights.pop(key, None)
