"""The summary of a campaign: rows by point, with means and intervals."""

from __future__ import annotations

import random

import pytest

from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.statistics import interval
from nepiq.controller.campaign.summary import summaries
from nepiq.controller.reports.words import bounds, number


def row(point: dict[str, object], repetition: int = 1, **fields: object) -> Row:
    return Row("c", str(sorted(point.items())), point, repetition, 7, "r", **fields)  # type: ignore[arg-type]


def test_points_have_their_order_and_their_means() -> None:
    delays: list[object] = ["5ms", "20ms", "100ms"]
    rows = [
        row({"delay": delay, "n": n}, i, metrics={"rate": float(n * i), "mode": f"m{i % 2}"})
        for delay in delays
        for n in (2, 10)
        for i in range(1, 5)
    ]
    random.Random(1).shuffle(rows)
    points = summaries(rows)
    assert [(item.parameters["delay"], item.parameters["n"]) for item in points] == [
        (delay, n) for delay in delays for n in (2, 10)
    ]
    assert [item.runs for item in points] == [4] * 6
    assert points[0].mean("rate") == 5.0
    assert points[0].interval("rate") == pytest.approx(interval([2.0, 4.0, 6.0, 8.0]))
    assert sorted(points[0].texts["mode"]) == ["m0", "m1"]


def test_failed_runs_and_missing_values_count_as_runs_only() -> None:
    (point,) = summaries(
        [
            row({}, 1, metrics={"rate": 3.0, "up": True}),
            row({}, 2, metrics={"rate": None, "up": False}),
            row({}, 3, outcome="failed"),
        ]
    )
    assert (point.runs, point.failed) == (3, 1)
    assert point.mean("rate") == 3.0
    assert point.interval("rate") is None
    assert point.mean("up") == 0.5
    assert point.mean("other") is None
    assert point.to_data()["metrics"]["rate"] == {"mean": 3.0, "samples": 1}


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [
        (0.0, None, "0"),
        (0.012346, 0.001, "0.01235 ± 0.001"),
        (9999.0, None, "9999"),
        (12345.0, 20.0, "12.35 ± 0.02 k"),
        (-18_407_242.0, 2498.0, "-18.41 ± 0.0025 M"),
        (54.0, 112.4, "54 ± 110"),
        (999_960.0, None, "1 M"),
        (5e15, None, "5000 T"),
    ],
)
def test_numbers(value: float, margin: float | None, text: str) -> None:
    assert number(value, margin) == text
    assert number(abs(value), margin, signed=True) == "+" + text.removeprefix("-")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.25, 3.0, "-0.25 to +3"),
        (-1_260_000.0, 20_400.0, "-1.26 to +0.0204 M"),
        (9000.0, 12000.0, "+9 to +12 k"),
    ],
)
def test_bounds_have_one_unit(low: float, high: float, text: str) -> None:
    assert bounds(low, high) == text
