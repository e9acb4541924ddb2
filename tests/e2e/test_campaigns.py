"""Many runs of one experiment: what counts, what is kept, and what a crash leaves."""

from __future__ import annotations

import itertools
import re
import signal
from pathlib import Path

import pytest
from tests.e2e.campaigns import experiment, phases, series
from tests.e2e.installation import Installation, Process
from tests.stand import bearers, until

from nepiq.controller import (
    CampaignError,
    ExperimentController,
    ExperimentFailed,
    ExperimentRunner,
    InvalidValue,
    ResourceAction,
    ResourceState,
)

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

STOP, STARTED = ResourceAction.STOP, ResourceState.STARTED


# -- failures -----------------------------------------------------------------------------------

ODD = "n=$(ls {0} | wc -l); mkdir {0}/$$; [ $n != 1 ] || {{ echo broken >&2; exit 3; }}"


def test_a_failed_run_stops_the_campaign(installation: Installation, tmp_path: Path) -> None:
    runner = ExperimentRunner()
    ec = experiment(installation, "broken", ODD.format(tmp_path))
    with pytest.raises(ExperimentFailed, match=r"run 2 \(\d{20}\): app: .*exited with 3.*broken"):
        runner.run(ec, max_runs=4, compute_metric_callback=lambda ec, run: run)
    assert [record.outcome for record in runner.runs] == ["finished", "failed"]
    assert runner.samples == [1]
    assert phases(installation, "broken") == ["RELEASED"] * 2


def test_or_counts_as_a_run_that_is_no_sample(installation: Installation, tmp_path: Path) -> None:
    runner = ExperimentRunner()
    count = runner.run(
        experiment(installation, "goes-on", ODD.format(tmp_path)),
        max_runs=4,
        min_runs=4,
        compute_metric_callback=lambda ec, run: run,
        on_failure="continue",
    )
    assert count == 4
    assert runner.samples == [1, 3, 4]
    assert "exited with 3" in runner.runs[1].error


def test_a_run_that_takes_too_long_has_failed(installation: Installation) -> None:
    runner = ExperimentRunner()
    ec = experiment(installation, "slow", "sleep 300")
    assert runner.run(ec, max_runs=1, timeout="300ms", on_failure="continue") == 1
    assert "not finished after 0.3 s" in runner.runs[0].error
    assert phases(installation, "slow") == ["RELEASED"]


def test_a_run_that_somebody_releases_has_failed(installation: Installation) -> None:
    ec = experiment(installation, "taken", "sleep 300")

    def measure(run: ExperimentController, number: int) -> None:
        raise AssertionError("it was measured")

    script = installation.script(
        """
        import time
        while not (runs := [r for r in ExperimentController.runs() if r.exp_id == "taken"]):
            time.sleep(0.05)
        with ExperimentController.attach(runs[0].run_id) as ec:
            while len(ec.resources) < 2:
                time.sleep(0.05)
            ec.wait_started("app")
            ec.release()
        """,
        "releaser.py",
    )
    releaser = installation.python(script)
    runner = ExperimentRunner()
    runner.run(
        ec,
        max_runs=1,
        wait_guids="app",
        compute_metric_callback=measure,
        on_failure="continue",
    )
    assert releaser.ended().code == 0
    assert runner.runs[0].outcome == "failed"
    assert "released" in runner.runs[0].error


def test_what_a_callback_raises_releases_all_runs(installation: Installation) -> None:
    turns = itertools.count()

    def wrong(ec: ExperimentController, run: int) -> float:
        if next(turns) < 1:
            return 1
        raise ZeroDivisionError

    runner = ExperimentRunner()
    ec = experiment(installation, "raises", "true")
    with pytest.raises(ZeroDivisionError):
        runner.run(ec, min_runs=9, parallel=2, compute_metric_callback=wrong)
    assert set(phases(installation, "raises")) == {"RELEASED"}
    assert runner.samples == [1]


def test_a_metric_that_is_no_number(installation: Installation) -> None:
    with pytest.raises(InvalidValue, match="metric of run 1 cannot be 'fast'"):
        ExperimentRunner().run(
            experiment(installation, "text"),
            compute_metric_callback=series(["fast"]),
        )


# -- what is kept -------------------------------------------------------------------------------


def test_traces_are_collected(installation: Installation, tmp_path: Path) -> None:
    runner = ExperimentRunner()
    ec = experiment(installation, "collected", "echo out; echo err >&2; echo more > extra.txt")
    collect = {"app": ["stdout", "extra.txt"]}
    seen = []

    def read(ec: ExperimentController, run: int) -> None:
        seen.append((tmp_path / ec.run_id / "app.stdout").read_text())

    runner.run(ec, max_runs=2, folder=tmp_path, collect=collect, compute_metric_callback=read)
    assert seen == ["out\n", "out\n"]
    for record in runner.runs:
        found = {path.name: path.read_text() for path in (tmp_path / record.run_id).iterdir()}
        assert found == {"app.stdout": "out\n", "app.extra.txt": "more\n"}


def test_a_trace_that_is_not_there_is_a_failure(installation: Installation, tmp_path: Path) -> None:
    ec = experiment(installation, "missing", "true")
    with pytest.raises(ExperimentFailed, match=r"unknown trace 'result\.csv'"):
        ExperimentRunner().run(ec, max_runs=2, folder=tmp_path, collect={"app": "result.csv"})


def test_a_campaign_that_is_done_is_done(installation: Installation, tmp_path: Path) -> None:
    ec = experiment(installation, "done")
    for most, samples in ((2, [7, 7]), (2, []), (4, [8, 9]), (None, [])):
        runner = ExperimentRunner()
        runner.run(
            ec,
            max_runs=most,
            min_runs=2 if most is None else most,
            folder=tmp_path,
            compute_metric_callback=series(samples),
            evaluate_convergence_callback=lambda ec, run, samples: len(samples) >= 4,
        )
    assert runner.samples == [7, 7, 8, 9]
    assert len(phases(installation, "done")) == 4
    ec.register_resource("nepiq::Null", label="another")
    with pytest.raises(CampaignError, match="changed: another"):
        ExperimentRunner().run(ec, max_runs=5, folder=tmp_path)


# -- crashes ------------------------------------------------------------------------------------

CAMPAIGN = """
import os, signal, sys
from pathlib import Path
here = Path(sys.argv[0]).parent / "{name}"
here.mkdir(exist_ok=True)
first = not (here / "killed").exists()

def die(*_):
    (here / "killed").touch()
    os.kill(os.getpid(), signal.SIGKILL)

ec = ExperimentController("{name}")
node = ec.register_resource("linux::Node", label="here")
# The third that starts waits until somebody opens the gate.
ec.register_resource("linux::Application", label="app", connectedTo=node, command=
    f"cd {{here}}; exec 9> lock; flock 9; echo $$ >> started; n=$(wc -l < started); exec 9>&-;"
    "echo $n;"
    f"[ $n -ne 3 ] || until [ -e gate ]; do sleep 0.02; done")

def metric(ec, run):
    {metric}
    return int(ec.trace("app", "stdout"))

{patch}
runner = ExperimentRunner()
try:
    print(runner.run(ec, min_runs=4, max_runs=4, folder=here / "kept", parallel={parallel},
                     compute_metric_callback=metric), sorted(runner.samples))
finally:
    print(*[r.run_id for r in runner.runs if r.outcome != "interrupted"], flush=True)
"""


def begin(
    installation: Installation, name: str, metric: str = "", patch: str = "", parallel: int = 1
) -> Process:
    text = CAMPAIGN.format(name=name, metric=metric or "pass", patch=patch, parallel=parallel)
    return installation.python(installation.script(text, f"{name}.py"))


def started(installation: Installation, name: str) -> int:
    path = installation.folder / name / "started"
    return path.read_text().count("\n") if path.exists() else 0


def finish(installation: Installation, name: str, parallel: int = 1) -> list[str]:
    """Carry on with a campaign to its end; the ids of its runs."""
    (installation.folder / name / "gate").touch()
    done = begin(installation, name, parallel=parallel).ended()
    assert done.code == 0, done.err
    told, ids = done.out.splitlines()
    assert set(phases(installation, name)) == {"RELEASED"}
    assert told.startswith("4 ")
    assert all(bearers(run_id) == [] for run_id in ids.split())
    return [told.removeprefix("4 "), *ids.split()]


def three_ended_and_one_waits(installation: Installation, name: str) -> None:
    path = installation.folder / name / "kept" / "campaign.jsonl"
    until(lambda: started(installation, name) == 4, 30, "no fourth run")
    until(lambda: path.read_text().count('"outcome"') == 3, 30, "three have not ended")


def test_a_killed_campaign_goes_on_with_the_run_that_was_under_way(
    installation: Installation,
) -> None:
    process = begin(installation, "killed", parallel=2)
    three_ended_and_one_waits(installation, "killed")
    process.signal(signal.SIGKILL)
    process.ended()
    assert "RUNNING" in phases(installation, "killed")
    before = ExperimentController.runs(settings=installation.settings())
    known = {run.run_id for run in before if run.exp_id == "killed"}
    samples, *ids = finish(installation, "killed", parallel=2)
    # The processes that were started are all there are: nothing ran twice.
    assert started(installation, "killed") == 4
    assert samples == "[1, 2, 3, 4]"
    assert known == set(ids)


@pytest.mark.parametrize(
    ("name", "metric", "patch", "runs"),
    [
        ("in-metric", "if run == 2 and first: die()", "", 4),
        ("before-deploy", "", "if first: ExperimentController.deploy = die", 5),
        ("before-release", "", "if first: ExperimentController.shutdown = die", 4),
    ],
)
def test_wherever_it_is_killed(
    installation: Installation, name: str, metric: str, patch: str, runs: int
) -> None:
    killed = begin(installation, name, metric, patch).ended()
    assert killed.code == -signal.SIGKILL, killed.err
    samples, *ids = finish(installation, name)
    assert samples == "[1, 2, 3, 4]"
    assert len(ids) == 4
    assert started(installation, name) == 4
    assert len(phases(installation, name)) == runs


def test_ctrl_c_releases_the_runs_and_the_campaign_can_go_on(installation: Installation) -> None:
    process = begin(installation, "ctrl-c", parallel=2)
    three_ended_and_one_waits(installation, "ctrl-c")
    process.signal(signal.SIGINT)
    done = process.ended()
    assert done.code == -signal.SIGINT, done.err
    assert re.search(r"releasing [12] runs? \(ctrl-C again", done.err)
    assert set(phases(installation, "ctrl-c")) == {"RELEASED"}
    samples, *ids = finish(installation, "ctrl-c", parallel=2)
    assert samples == "[1, 2, 4, 5]"
    assert len(ids) == 4
    assert len(phases(installation, "ctrl-c")) == 5
