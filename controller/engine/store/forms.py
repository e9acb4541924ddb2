"""The text forms of what is stored: ids of steps, durations, JSON."""

from __future__ import annotations

import json
from typing import Any


def step_guid(step: str) -> int:
    """The resource manager of a step: ``7`` of ``7.set.12``."""
    return int(step.partition(".")[0])


def step_action(step: str) -> str:
    """The action of a step: ``set`` of ``7.set.12``."""
    return step.split(".", 2)[1]


def seconds(value: float) -> str:
    """A duration in its shortest form with at most six decimals: ``2``, ``0.5``."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def loads(text: str | bytes | None) -> Any:
    """JSON text as a value; None for no text."""
    return json.loads(text) if text else None


def dumps(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
