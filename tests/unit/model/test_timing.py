"""Durations and deadlines."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.errors import InvalidValue
from nepiq.controller.model import Deadline, seconds
from nepiq.controller.model.durations import Backoff
from nepiq.controller.testing import FakeClock

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2s", 2.0),
        ("2.5m", 150.0),
        ("500ms", 0.5),
        ("10us", 1e-5),
        ("1h", 3600.0),
        ("2m30s", 150.0),
        ("1m 30s", 90.0),
        (" 5s ", 5.0),
        (".5s", 0.5),
        ("1d2h", 93600.0),
        ("1h5ms", 3600.005),
        ("0s", 0.0),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_reads_durations(text: str | float, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "2m30", "30s2m", "s", "2x", "-1s", "1.2.3s", "1 s", "2s2s", "٣s", "9" * 400 + "s"],
)
def test_refuses_other_text(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a duration"):
        seconds(text)


def test_a_number_without_a_unit_as_text() -> None:
    with pytest.raises(InvalidValue, match=r"'60' is not a duration \(write '60s'\)"):
        seconds("60")


@pytest.mark.parametrize("value", [True, None, math.inf, math.nan, -1, -0.5, [1], b"1s"])
def test_refuses_other_values(value: Any) -> None:
    with pytest.raises(InvalidValue):
        seconds(value)


@given(st.floats(0, 1e9, allow_nan=False), st.sampled_from(sorted(UNITS)))
def test_one_unit_multiplies(amount: float, unit: str) -> None:
    text = f"{amount:.9f}"
    assert seconds(text + unit) == pytest.approx(float(text) * UNITS[unit], rel=1e-12, abs=1e-18)


@given(st.lists(st.sampled_from(list(UNITS)), unique=True, min_size=1), st.integers(0, 999))
def test_units_add_up_in_falling_order_only(units: list[str], amount: int) -> None:
    text = "".join(f"{amount}{unit}" for unit in units)
    if units == [unit for unit in UNITS if unit in units]:
        assert seconds(text) == pytest.approx(sum(amount * UNITS[unit] for unit in units))
    else:
        with pytest.raises(InvalidValue):
            seconds(text)


def test_deadline_counts_down() -> None:
    clock = FakeClock()
    deadline = Deadline.after("2s", clock=clock)
    assert (deadline.remaining, deadline.expired) == (2.0, False)
    clock.advance(1.5)
    assert (deadline.remaining, deadline.expired) == (0.5, False)
    clock.advance(1.5)
    assert (deadline.remaining, deadline.expired) == (0.0, True)


def test_deadline_may_be_never() -> None:
    deadline = Deadline.after(math.inf)
    assert not deadline.expired
    assert deadline.remaining == math.inf


def test_sooner_takes_the_earlier() -> None:
    clock = FakeClock()
    deadline = Deadline.after(10, clock=clock)
    assert deadline.sooner(None) is deadline
    assert deadline.sooner("20s") is deadline
    assert deadline.sooner(3).remaining == 3.0


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = Backoff(0.5, 5.0)
    assert [pauses.pause(failures) for failures in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert Backoff(1.0, factor=3.0).pause(3) == 9.0


def test_pauses_after_very_many_failures() -> None:
    assert Backoff(0.1, 5.0).pause(5000) == 5.0
    assert Backoff(0.0).pause(5000) == 0.0
    assert Backoff(1.0).pause(5000) == math.inf
