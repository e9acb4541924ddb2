"""What happens next: the only part of the controller that speaks to Redis and Celery.

The names below are loaded when first used, since a description needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import Backend as Backend
    from .backend import RunInfo as RunInfo
    from .events import Event as Event
    from .membership import WorkerInfo as WorkerInfo
    from .run import Run as Run

_HOMES = {
    "Event": "events",
    "Run": "run",
    "RunInfo": "backend",
    "Backend": "backend",
    "WorkerInfo": "membership",
}

__all__ = ["Backend", "Event", "Run", "RunInfo", "WorkerInfo"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
