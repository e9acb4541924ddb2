"""Events of a run, read from its stream from any position."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .store import keys

if TYPE_CHECKING:
    from redis import Redis

START = "0-0"


@dataclass(frozen=True)
class Event:
    """One event of a run.

    Attributes:
        id: its id in the stream; pass it to read the events after it.
        time: when it happened, in seconds since the epoch by Redis' clock.
        guid: the resource, or 0 for the run itself.
        what: a state or phase, or ``claim``, ``again``, ``lost``, ``void``, ``set``.
        step: the id of its step; may be empty.
        attempt: number of the attempt; 0 if it does not apply.
        worker: the worker that executed the step; may be empty.
        info: error, exit code and the like; may be empty.
    """

    id: str
    time: float
    guid: int
    what: str
    step: str = ""
    attempt: int = 0
    worker: str = ""
    info: Mapping[str, Any] | None = None


def read(
    redis: Redis, run_id: str, after: str = START, *, block: float = 0.0, count: int = 5000
) -> list[Event]:
    """Read the events after ``after``.

    Args:
        redis: a client whose socket timeout, if any, is longer than ``block``.
        run_id: the run.
        after: id of the last event already read.
        block: seconds to wait for an event if there is none; 0 returns at once.
        count: the largest number of events to return.
    """
    wait = max(1, int(block * 1000)) if block > 0 else None
    key = keys.RunKeys(run_id).events
    reply: Any = redis.xread({key: after}, count=count, block=wait)
    if not reply:
        return []
    entries = next(iter(reply.values()))[0] if isinstance(reply, dict) else reply[0][1]
    return [_event(entry_id, fields) for entry_id, fields in entries]


def wait(redis: Redis, positions: Mapping[str, str], block: float) -> dict[str, str]:
    """Wait until any of several runs has an event after its position.

    Args:
        redis: a client whose socket timeout, if any, is longer than ``block``.
        positions: id of the last known event by run.
        block: the longest time to wait, in seconds.

    Returns:
        The new positions of runs that have such events; empty if the time passed.
    """
    runs = {keys.RunKeys(run_id).events: run_id for run_id in positions}
    streams: dict[Any, Any] = {key: positions[run_id] for key, run_id in runs.items()}
    reply: Any = redis.xread(streams, count=1000, block=max(1, int(block * 1000)))
    pairs = reply.items() if isinstance(reply, dict) else reply or ()
    return {
        runs[key.decode()]: (entries[0] if isinstance(reply, dict) else entries)[-1][0].decode()
        for key, entries in pairs
    }


def last(redis: Redis, run_id: str) -> Event | None:
    """Return the latest event of a run, or None."""
    entries: Any = redis.xrevrange(keys.RunKeys(run_id).events, count=1)
    return _event(*entries[0]) if entries else None


def _event(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
    info = fields.get(b"i")
    return Event(
        id=entry_id.decode(),
        time=float(fields[b"t"]),
        guid=int(fields.get(b"g", 0)),
        what=fields[b"e"].decode(),
        step=fields.get(b"s", b"").decode(),
        attempt=int(fields.get(b"n", 0) or 0),
        worker=fields.get(b"w", b"").decode(),
        info=json.loads(info) if info else None,
    )
