"""The records of a run in Redis, and the Lua scripts that alone change them (docs/engine.md)."""

from __future__ import annotations

from .calls import Due, Early, Grant, Outcome, Reply, WatchGrant
from .records import Condition, ResourceRecord, ResourceSpec, RunRecord, Snapshot, StepRecord
from .store import RunStore
from .timing import Timing

__all__ = [
    "Condition",
    "Due",
    "Early",
    "Grant",
    "Outcome",
    "Reply",
    "ResourceRecord",
    "ResourceSpec",
    "RunRecord",
    "RunStore",
    "Snapshot",
    "StepRecord",
    "Timing",
    "WatchGrant",
]
