"""The benchmark harness: sides take turns, and a side that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks.measure import Budget, Outcome, Samples, Workload, measure
from tests.benchmarks.report import table, write


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def side(calls: list[str]) -> Callable[[str, float], Callable[[], Samples]]:
    def make(name: str, seconds: float) -> Callable[[], Samples]:
        def run() -> Samples:
            calls.append(name)
            return [seconds]

        return run

    return make


def test_sides_take_turns_after_an_unmeasured_round(calls, side) -> None:
    workload = Workload("w", "a span", {"nepiq": side("nepiq", 0.1), "peer": side("peer", 0.2)})
    outcomes = measure(workload, rounds=2)
    assert calls == ["nepiq", "peer", "peer", "nepiq", "nepiq", "peer"]
    assert outcomes["nepiq"].samples == [0.1, 0.1]


def test_a_failing_side_leaves_the_others(side) -> None:
    def broken() -> Samples:
        raise ConnectionError("no broker")

    outcomes = measure(Workload("w", "a span", {"a": broken, "b": side("b", 1.0)}), rounds=3)
    assert outcomes["a"].error == "ConnectionError: no broker"
    assert outcomes["b"].samples == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (19, 19), (20, 19), (100, 95)])
def test_p95_is_the_nearest_rank(count: int, expected: int) -> None:
    outcome = Outcome([float(value) for value in range(count, 0, -1)])
    assert outcome.p95 == expected


def test_table_shows_ratio_and_budget() -> None:
    workload = Workload("w", "a span", {}, budgets=(Budget("median", 0.01),))
    lines = list(table(workload, {"nepiq": Outcome([0.02]), "peer": Outcome([0.01])}))
    assert lines[0] == "a span (budget: median 10 ms)"
    assert lines[2].endswith("over budget")
    assert lines[3].split()[-1] == "2"


def test_file_holds_every_sample(tmp_path: Path) -> None:
    workload = Workload("w", "a span", {}, budgets=(Budget("median", 0.01),))
    path = write(tmp_path, [(workload, {"nepiq": Outcome([0.5, 0.25]), "x": Outcome(error="no")})])
    (written,) = json.loads(path.read_text())["workloads"]
    assert written["sides"]["nepiq"]["samples"] == [0.5, 0.25]
    assert written["sides"]["x"] == {"error": "no"}
    assert written["budgets"] == {"median": 0.01}
