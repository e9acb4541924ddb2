"""The forms in which values are written and sent."""

from __future__ import annotations

import pytest

from nepiq.controller.engine.store import Timing
from nepiq.controller.engine.store.forms import seconds, step_action, step_guid
from nepiq.controller.engine.store.scripts import script
from nepiq.controller.engine.store.wire import decode_gate, encode_gate, ranges
from nepiq.controller.model.spec import Gate


@pytest.mark.parametrize(
    ("guids", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([1, 2, 3, 7, 9, 10], "1-3,7,9-10"),
        ([3, 2, 1], "3,2,1"),
        ([2, 2], "2,2"),
        (range(1, 100_001), "1-100000"),
    ],
)
def test_ranges(guids: list[int], text: str) -> None:
    assert ranges(guids) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (2.0, "2"), (0.5, "0.5"), (100, "100"), (1e-6, "0.000001")]
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize("need", [True, False])
def test_conditions(need: bool) -> None:
    condition = Gate("start", 12, "READY", 2.25, need)
    assert encode_gate(condition) == f"start|12|READY|2.25|{'n' if need else 'c'}"
    assert decode_gate(encode_gate(condition)) == condition


def test_steps() -> None:
    assert (step_guid("12.set.3"), step_action("12.set.3")) == (12, "set")
    assert (step_guid("12.deploy"), step_action("12.deploy")) == (12, "deploy")


def test_fault_tests_can_cut_everything_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Timing.from_environment() == Timing()
    monkeypatch.setenv("NEPIQ_CHUNK", "3")
    assert Timing.from_environment() == Timing(limit=3)


def test_a_script_carries_what_it_needs_and_not_more() -> None:
    assert "local function reach" in script("commit").text
    assert "local function reach" not in script("renew").text
