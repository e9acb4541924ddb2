"""What Redis holds of one run, as plain Python values, and the formats they are written in.

Keys and fields are those of ``docs/engine.md``, without the run's prefix. Field values are text,
as Redis keeps them, so that the records of the model and of the Lua scripts can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nepiq.controller.engine.store.calls import DueStep
from nepiq.controller.engine.store.timing import Timing

Hash = dict[str, str]
Zset = dict[str, float]

ENDED = ("STOPPED", "FINISHED", "FAILED", "RELEASED")

_PREPARED = ("DISCOVERED", "RESERVED", "PROVISIONED", "READY")
_RAN = (*_PREPARED, "STARTED")
_ENDED_WELL = (*_RAN, "STOPPED", "FINISHED")

#: The milestones that an RM has reached once it is in a state. A critical RM that FAILED is the
#: exception: it has reached FAILED alone.
IMPLIED: dict[str, tuple[str, ...]] = {
    "DISCOVERED": _PREPARED[:1],
    "RESERVED": _PREPARED[:2],
    "PROVISIONED": _PREPARED[:3],
    "READY": _PREPARED,
    "STARTED": _RAN,
    "STOPPED": _ENDED_WELL,
    "FINISHED": _ENDED_WELL,
    "FAILED": (*_ENDED_WELL, "FAILED"),
    "RELEASED": (*_ENDED_WELL, "FAILED", "RELEASED"),
}
MILESTONES = IMPLIED["RELEASED"]


def guid_of(step: str) -> str:
    """The RM that a step belongs to."""
    return step.split(".", maxsplit=1)[0]


def action_of(step: str) -> str:
    """What a step does."""
    return step.split(".", 2)[1]


def is_extra(step: str) -> bool:
    """Whether a step was requested and so bears a number."""
    return step.count(".") == 2


def text(time: float) -> str:
    """A time as it is kept."""
    return f"{time:.6f}"


def number(time: str | None) -> float:
    """A kept time; 0 if there is none."""
    return float(time) if time else 0.0


def to_json(value: Any) -> str:
    """A value as it is kept in a field that holds JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Cause(NamedTuple):
    """The step that an event comes from; the attempt's number and worker if it is claimed."""

    step: str = ""
    tries: str = ""
    worker: str = ""


@dataclass
class Records:
    """The keys of one run, by type; a key that is not there reads as an empty value.

    Args:
        clock: gives the seconds since the epoch, as Redis' ``TIME`` does.
    """

    clock: Callable[[], float]
    timing: Timing = field(default_factory=Timing)
    hashes: dict[str, Hash] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)
    zsets: dict[str, Zset] = field(default_factory=dict)
    outputs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    events: list[Hash] = field(default_factory=list)

    #: The run id of the Redis process (INFO): another one may have lost the latest changes.
    server: str = "1"

    # Values of the script that is running.
    now: float = 0.0
    budget: int = 0
    due: list[DueStep] = field(default_factory=list)

    def hash_at(self, key: str) -> Hash:
        """The hash at ``key``."""
        return self.hashes.setdefault(key, {})

    def list_at(self, key: str) -> list[str]:
        """The list at ``key``."""
        return self.lists.setdefault(key, [])

    def set_at(self, key: str) -> set[str]:
        """The set at ``key``."""
        return self.sets.setdefault(key, set())

    def zset_at(self, key: str) -> Zset:
        """The sorted set at ``key``: member to score."""
        return self.zsets.setdefault(key, {})

    @property
    def meta(self) -> Hash:
        """The record of the run."""
        return self.hash_at("meta")

    @property
    def todo(self) -> list[str]:
        """Openings and chunked work not finished."""
        return self.list_at("todo")

    @property
    def alarm(self) -> Zset:
        """When somebody must look at a step again if nothing happened."""
        return self.zset_at("alarm")

    def rm(self, guid: str) -> Hash:
        """The record of a resource manager; empty if there is none."""
        return self.hash_at(f"rm:{guid}")

    def step(self, step: str) -> Hash:
        """The record of a step; empty if there is none."""
        return self.hash_at(f"step:{step}")

    def cause(self, step: str) -> Cause:
        """A step, as the cause of an event that happens now."""
        record = self.step(step)
        if record.get("status") != "claimed":
            return Cause(step)
        return Cause(step, record["tries"], record["worker"])

    def event(
        self,
        guid: str,
        what: str,
        cause: Cause | None = None,
        info: str = "",
        time: float | None = None,
    ) -> None:
        """Append to the run's history; guid 0 is the run itself."""
        step, tries, worker = cause or Cause()
        entry = {"t": text(self.now if time is None else time), "g": guid, "e": what}
        more = {"s": step, "n": tries, "w": worker, "i": info}
        self.events.append(entry | {name: value for name, value in more.items() if value})

    def copy(self) -> Records:
        """These records as they are now, whatever happens to the original."""
        return Records(
            clock=self.clock,
            timing=self.timing,
            hashes={key: dict(value) for key, value in self.hashes.items()},
            lists={key: list(value) for key, value in self.lists.items()},
            sets={key: set(value) for key, value in self.sets.items()},
            zsets={key: dict(value) for key, value in self.zsets.items()},
            outputs={key: dict(value) for key, value in self.outputs.items()},
            events=list(self.events),
        )

    def restore(self, earlier: Records) -> None:
        """Go back to records as they were copied earlier."""
        copy = earlier.copy()
        for name in ("hashes", "lists", "sets", "zsets", "outputs", "events"):
            setattr(self, name, getattr(copy, name))

    def dump(self) -> dict[str, object]:
        """Every key that is not empty, and its value."""
        kinds = (self.hashes, self.lists, self.sets, self.zsets, self.outputs)
        dumped = {key: value for kind in kinds for key, value in kind.items() if value}
        return dumped | ({"ev": self.events} if self.events else {})
