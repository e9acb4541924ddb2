"""The names of all Redis keys (docs/engine.md, "Keys")."""

from __future__ import annotations

from dataclasses import dataclass

RUNS = "nepiq:runs"
ENDED = "nepiq:ended"
WORKERS = "nepiq:workers"
BEATS = "nepiq:beats"
MACHINES = "nepiq:machines"
DRAIN = "nepiq:drain"
DATASET = "nepiq:dataset"
LOST = "nepiq:lost"
CONTENTS = "nepiq:contents"
POOLS = "nepiq:{pools}:"
CAMPAIGNS = "nepiq:campaigns"


def active(broker: str) -> str:
    """The set of runs that have work on this broker."""
    return f"nepiq:active:{broker}"


def campaigns(broker: str) -> str:
    """The set of campaigns that have work on this broker."""
    return f"nepiq:campaigns:{broker}"


def campaign(name: str) -> str:
    """What all keys of a campaign begin with."""
    return f"nepiq:{{campaign:{name}}}:"


def protocol(broker: str) -> str:
    """The version of the engine's protocol that is in use on this broker."""
    return f"nepiq:protocol:{broker}"


def sweeper(broker: str) -> str:
    """The lock of the worker that sweeps the runs of this broker."""
    return f"nepiq:sweeper:{broker}"


def content(name: str) -> str:
    """The pieces of a content, by its SHA-256."""
    return f"nepiq:content:{name}"


def prefix(run_id: str) -> str:
    """What all keys of a run begin with; in braces what decides their slot."""
    return f"nepiq:{{{run_id}}}:"


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of one run. They share a slot, since the run's id stands in braces.

    Attributes:
        run_id: the run.
    """

    run_id: str

    @property
    def prefix(self) -> str:
        """What all keys of the run begin with."""
        return prefix(self.run_id)

    def of(self, kind: str, *parts: object) -> str:
        """The key of that kind, such as ``of("rm", 3)`` or ``of("wait", 3, "READY")``."""
        return ":".join([self.prefix + kind, *map(str, parts)])

    @property
    def events(self) -> str:
        """The stream of the run's events."""
        return self.of("ev")
