"""The records of a run in Redis, and the Lua scripts that alone change them (docs/engine.md)."""

from __future__ import annotations

from .calls import Claim, DueStep, ExitReport, NotDue, Outcome, Reply, WatchGrant
from .records import ResourceRecord, RunRecord, Snapshot, StepRecord
from .store import RunStore
from .timing import Timing

__all__ = [
    "Claim",
    "DueStep",
    "ExitReport",
    "NotDue",
    "Outcome",
    "Reply",
    "ResourceRecord",
    "RunRecord",
    "RunStore",
    "Snapshot",
    "StepRecord",
    "Timing",
    "WatchGrant",
]
