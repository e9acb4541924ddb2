"""When a campaign stops, and how many of its runs go on at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.campaigns import experiment, phases, series
from tests.e2e.installation import Installation

from nepiq.controller import (
    CampaignError,
    ExperimentController,
    ExperimentRunner,
    InvalidValue,
    ResourceAction,
    ResourceState,
    UnknownResource,
)

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

STOP, STARTED = ResourceAction.STOP, ResourceState.STARTED


def test_the_default_rule_stops_as_nepis_does(installation: Installation) -> None:
    runner = ExperimentRunner()
    samples = [10, 10, 10, 10, 12, 10, 12, 10, 10, 11, 10, 10]
    count = runner.run(
        experiment(installation, "nepi"), min_runs=5, compute_metric_callback=series(samples)
    )
    assert count == 10
    assert runner.samples == samples[:10]
    assert runner.mean == 10.5
    assert runner.interval == pytest.approx((9.892, 11.108), abs=1e-3)
    assert phases(installation, "nepi") == ["RELEASED"] * 10


def test_without_a_metric_there_are_max_runs(installation: Installation) -> None:
    runner = ExperimentRunner()
    assert runner.run(experiment(installation, "most"), min_runs=2, max_runs=4) == 4
    assert (runner.samples, runner.mean, runner.interval) == ([], None, None)
    assert [record.number for record in runner.runs] == [1, 2, 3, 4]


def test_each_run_is_the_same_experiment(installation: Installation) -> None:
    ec = experiment(installation, "same", "echo HOLA")
    seen = []

    def look(run: ExperimentController, number: int) -> None:
        seen.append((run.exp_id, run.resources, run.find("app"), run.trace("app", "stdout")))
        assert run.run_id not in ids
        ids.append(run.run_id)

    ids: list[str] = []
    runner = ExperimentRunner()
    assert runner.run(ec, max_runs=2, wait_guids="app", compute_metric_callback=look) == 2
    assert seen == [("same", ec.resources, ec.find("app"), "HOLA\n")] * 2
    assert [record.run_id for record in runner.runs] == ids
    assert ec.state("app", hr=True) == "NEW"


def test_a_rule_of_ones_own_is_asked_from_min_runs_on(installation: Installation) -> None:
    asked = []

    def enough(ec: ExperimentController, run: int, samples: list[float]) -> bool:
        asked.append((run, samples))
        return len(samples) >= 4

    values = [1.5, None, 2, float("nan"), 3, 4.25, 5]
    runner = ExperimentRunner()
    count = runner.run(
        experiment(installation, "own"),
        min_runs=3,
        compute_metric_callback=series(values),
        evaluate_convergence_callback=enough,
    )
    assert count == 6
    assert asked == [
        (3, [1.5, 2]),
        (4, [1.5, 2]),
        (5, [1.5, 2, 3]),
        (6, [1.5, 2, 3, 4.25]),
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, CampaignError, "neither max_runs nor a metric"),
        ({"min_runs": 5, "max_runs": 4}, InvalidValue, "max_runs cannot be 4"),
        ({"min_runs": 0}, InvalidValue, "min_runs cannot be 0"),
        ({"max_runs": 2, "parallel": 0}, InvalidValue, "parallel cannot be 0"),
        ({"max_runs": 2, "on_failure": "ignore"}, InvalidValue, "on_failure"),
        ({"max_runs": 2, "wait_guids": "nobody"}, UnknownResource, "nobody"),
        ({"max_runs": 2, "wait_time": "soon"}, InvalidValue, "not a duration"),
        ({"max_runs": 2, "collect": {"nothing": "stdout"}}, InvalidValue, "needs folder="),
        (
            {"compute_metric_callback": max, "on_failure": "continue"},
            CampaignError,
            "if each run failed",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    installation: Installation, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ExperimentRunner().run(experiment(installation, "refused"), **options)
    assert phases(installation, "refused") == []
    assert issubclass(CampaignError, RuntimeError)


def test_runs_at_a_time(installation: Installation, tmp_path: Path) -> None:
    # Each ends only when three have begun; a fourth is not there before one has been released.
    command = f"mkdir {tmp_path}/$$; until [ $(ls {tmp_path} | wc -l) -ge 3 ]; do sleep 0.02; done"
    runner = ExperimentRunner()
    running = []

    def count(ec: ExperimentController, run: int) -> float:
        left = [phase for phase in phases(installation, "three") if phase == "RUNNING"]
        running.append(len(left))
        return run

    ec = experiment(installation, "three", command)
    assert runner.run(ec, max_runs=7, min_runs=7, parallel=3, compute_metric_callback=count) == 7
    assert len(phases(installation, "three")) == 7
    assert sorted(runner.samples) == [1, 2, 3, 4, 5, 6, 7]
    assert max(running) <= 3


def test_those_under_way_count_when_the_others_have_converged(installation: Installation) -> None:
    runner = ExperimentRunner()
    count = runner.run(
        experiment(installation, "late", "true"),
        min_runs=2,
        parallel=3,
        compute_metric_callback=lambda ec, run: 5,
    )
    assert 3 <= count <= 4
    assert runner.samples == [5] * count
    assert phases(installation, "late") == ["RELEASED"] * count
