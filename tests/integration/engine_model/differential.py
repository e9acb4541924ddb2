"""Holds the Lua scripts against the reference model, call by call and key by key."""

from __future__ import annotations

import json
import re
from dataclasses import astuple, is_dataclass
from typing import Any

from tests.reference.calls import Call
from tests.reference.model import Model

from nepiq.controller.engine.store.calls import ExitReport
from nepiq.controller.engine.store.records import Snapshot
from nepiq.controller.engine.store.store import RunStore

#: Fields that hold JSON, whose keys Lua may order as it likes.
_JSON = ("cause", "error", "i", "gone", "peers", "args")
#: Times have six decimals; sums of them may be rounded differently.
_TIME = re.compile(r"\d{9,11}\.\d{6}")
_TOLERANCE = 2.5e-6


class Clock:
    """Gives the model the time that Redis used for the same call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def apply(store: RunStore, model: Model, clock: Clock, call: Call) -> tuple[Any, Any]:
    """Run a call on both and return the two answers."""
    found: Any
    if call.name == "exited":  # the model takes one report
        *report, watch = call.args
        (found,) = store.exited([ExitReport(*report)], watch)
    else:
        found = getattr(store, call.name)(*call.args)
    meta = store.meta()
    if meta is not None:
        clock.now = meta.last
    return found, getattr(model, call.name)(*call.args)


def alike(found: Any, expected: Any) -> bool:
    """Whether two answers or records say the same."""
    if isinstance(found, Snapshot):
        # Ids of the stream are Redis' own.
        found, expected = astuple(found)[1:], astuple(expected)[1:]
    elif is_dataclass(found) and not isinstance(found, type):
        found, expected = astuple(found), astuple(expected)
    if isinstance(found, tuple | list):
        same = isinstance(expected, tuple | list) and len(found) == len(expected)
        return same and all(map(alike, found, expected))
    if isinstance(found, dict):
        same = isinstance(expected, dict) and found.keys() == expected.keys()
        return same and all(_alike_field(name, found[name], expected[name]) for name in found)
    if isinstance(found, float) and isinstance(expected, float | int):
        return abs(found - expected) < _TOLERANCE
    same_text = isinstance(found, str) and isinstance(expected, str)
    return bool(found == expected) or (same_text and _alike_times(found, expected))


def _alike_field(name: str, found: Any, expected: Any) -> bool:
    if name in _JSON and isinstance(found, str) and isinstance(expected, str):
        return bool(json.loads(found) == json.loads(expected))
    return alike(found, expected)


def _alike_times(found: str, expected: str) -> bool:
    """Whether two texts are the same but for the last digit of the times in them."""
    if _TIME.sub("", found) != _TIME.sub("", expected):
        return False
    pairs = zip(_TIME.findall(found), _TIME.findall(expected), strict=True)
    return all(abs(float(one) - float(other)) < _TOLERANCE for one, other in pairs)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What differs between the records of the Lua scripts and those of the model."""
    lines = []
    for key in sorted(found.keys() | expected.keys()):
        ours, theirs = found.get(key), expected.get(key)
        if alike(ours, theirs):
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            for name in sorted(ours.keys() | theirs.keys()):
                if not _alike_field(name, ours.get(name), theirs.get(name)):
                    one, other = ours.get(name), theirs.get(name)
                    lines.append(f"{key} {name}: Lua {one!r}, model {other!r}")
        else:
            lines.append(f"{key}: Lua {ours!r}, model {theirs!r}")
    return lines
