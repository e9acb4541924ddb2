"""Functions of campaigns: metrics, stopping rules, and those that describe runs."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, until

from nepiq.controller import (
    Campaign,
    CampaignError,
    ExperimentController,
    InvalidValue,
    Metric,
    NotAllowed,
    Parameter,
    Row,
    Space,
)
from nepiq.controller.campaign.statistics import converged
from nepiq.controller.engine.store import keys

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and a worker."""
    imports = {"NEPIQ_IMPORTS": "tests.e2e.designs"}
    with Stand(tmp_path_factory.mktemp("functions"), **imports) as made:
        made.start_worker("w0")
        yield made


def printing(stand: Stand, name: str, command: str, space: Space, **plan: Any) -> Campaign:
    """A campaign whose runs print something."""
    ec = stand.experiment(name)
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    ec.register_resource("linux::Application", label="app", connectedTo=node, command=command)
    return stand.owned(Campaign(ec, space, settings=stand.settings, **plan))


def output(ec: ExperimentController) -> int:
    """What the application of a run printed."""
    return int(ec.trace("app", "stdout"))


SCRIPT = """
import os, signal
from nepiq.controller import Campaign, ExperimentController, Parameter, Space
ec = ExperimentController("killed")
node = ec.register_resource("linux::Node", label="node", hostname="localhost")
ec.register_resource("linux::Application", label="app", connectedTo=node, command="echo ${n}")
calls = []

def value(ec):
    calls.append(ec.run_id)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(ec.trace("app", "stdout"))

with Campaign(ec, Space.grid(n=list(range(8))), parallel=2,
              metrics={"value": value, "code": "app.exitCode"}) as campaign:
    campaign.submit().wait()
"""


def test_rows_wait_for_the_next_process_if_the_script_is_killed(stand: Stand) -> None:
    script = stand.script(SCRIPT)
    assert script.communicate(timeout=60.0)[1] == ""
    assert script.returncode == -signal.SIGKILL
    campaign = stand.owned(Campaign.attach("killed", settings=stand.settings))
    # The runs go on without it.
    until(lambda: campaign.status().waiting == 6, 30.0, "not all runs wait")
    record = campaign.status()
    assert (record.phase, record.done, record.active) == ("running", 2, 0)
    assert "6 waiting for a function of the script" in stand.command("campaign", "status", "killed")
    assert not stand.backend().redis.exists(keys.campaigns("main"))

    other = stand.owned(
        Campaign.attach("killed", metrics={"value": output}, settings=stand.settings)
    )
    record = other.wait(60.0)
    assert (record.phase, record.finished, record.waiting) == ("finished", 8, 0)
    rows = list(campaign.rows())
    assert Counter(row.parameters["n"] for row in rows) == dict.fromkeys(range(8), 1)
    assert all(row.metrics == {"value": row.parameters["n"], "code": 0} for row in rows)
    assert stand.backend().redis.keys(r"nepiq:{2*") == []
    until(lambda: not stand.run_directories(rows), 30.0, "the directories of runs stay")


def test_a_run_whose_records_were_deleted_while_it_waited_is_begun_again(stand: Stand) -> None:
    space = Space.grid(n=[7])
    campaign = printing(stand, "gone", "echo ${n}", space, metrics={"value": output}).submit()
    until(lambda: campaign.status().waiting, 30.0, "nothing waits")
    redis = stand.backend().redis
    redis.delete(*redis.keys("nepiq:{2*"))
    assert campaign.wait(60.0).finished == 1
    [row] = campaign.rows()
    assert (row.attempts, row.metrics) == (2, {"value": 7})


def test_each_run_is_measured_once_by_one_of_two_processes(stand: Stand) -> None:
    called: list[str] = []

    def value(ec: ExperimentController) -> int:
        called.append(ec.run_id)
        return output(ec)

    space = Space.grid(n=list(range(8)))
    campaign = printing(stand, "shared", "echo ${n}", space, metrics={"value": value}).submit()
    other = stand.owned(
        Campaign.attach("shared", metrics={"value": value}, settings=stand.settings)
    )
    thread = threading.Thread(target=other.wait)
    thread.start()
    rows = list(campaign.rows(follow=True))
    thread.join(30.0)
    assert sorted(called) == sorted(row.run_id for row in rows)
    assert sorted(row.metrics["value"] for row in rows) == list(range(8))


def test_what_a_function_raises_ends_the_call_and_loses_nothing(stand: Stand) -> None:
    values: Iterator[Any] = iter([1, ZeroDivisionError(), object(), None, 5])

    def value(ec: ExperimentController) -> Any:
        found = next(values)
        if isinstance(found, Exception):
            raise found
        return found

    space = Space.grid(n=[0, 1, 2])
    campaign = printing(
        stand, "raising", "true", space, metrics={"value": value}, parallel=1
    ).submit()
    with pytest.raises(ZeroDivisionError):
        campaign.wait(60.0)
    with pytest.raises(InvalidValue, match=r"metric value of run \d{20}: .*is not a number"):
        campaign.wait(60.0)
    assert campaign.status().done == 1
    assert campaign.wait(60.0).finished == 3
    assert [row.metrics for row in campaign.rows()] == [{"value": v} for v in (1, None, 5)]


def test_a_script_stops_the_runs_of_a_point(stand: Stand) -> None:
    samples = [10, 10, 10, 10, 12, 10, 12, 10, 10, 11, 10, 10]
    asked: list[tuple[int, int]] = []

    def enough(rows: list[Row]) -> bool:
        asked.append((rows[0].parameters["n"], len(rows)))
        return rows[0].parameters["n"] == 0 or converged([row.metrics["value"] for row in rows])

    words = " ".join(map(str, samples))
    campaign = printing(
        stand,
        "nepi",
        f"set -- {words}; shift $((${{repetition}} - 1)); echo $1",
        Space.grid(n=[0, 1]),
        repetitions={"min": 5, "max": 12},
        parallel=1,
        metrics={"value": output},
        stop=enough,
    )
    record = campaign.submit().wait(90.0)
    assert (record.phase, record.done, record.skipped) == ("finished", 15, 9)
    rows = [row for row in campaign.rows() if row.parameters["n"] == 1]
    # As conformance 37 of NEPI's runner.
    assert [row.metrics["value"] for row in rows] == samples[:10]
    assert sorted(asked) == [(0, 5), *[(1, number) for number in range(5, 11)]]


def test_the_precision_of_a_function_of_the_script(stand: Stand) -> None:
    campaign = printing(
        stand,
        "precise",
        "echo $((100 + ${n} * ${repetition} * 100))",
        Space.grid(n=[0, 1]),
        repetitions={"min": 3, "max": 6},
        parallel=1,
        metrics={"value": output},
        stop={"metric": "value", "within": "1%"},
    )
    record = campaign.submit().wait(90.0)
    counted = Counter(row.parameters["n"] for row in campaign.rows())
    assert (record.phase, counted) == ("finished", {0: 3, 1: 6})


def test_a_process_without_the_functions_waits(stand: Stand) -> None:
    ec = stand.experiment("else")
    ec.register_resource("nepiq::Sleep", label="sleep", duration=Parameter("pause"))
    space = Space.grid(pause=[0.01, 0.02])

    def other(ec: ExperimentController) -> int:
        return 1

    plan: dict[str, Any] = {"metrics": {"value": other}, "stop": bool, "repetitions": 2}
    campaign = stand.owned(Campaign(ec, space, settings=stand.settings, **plan)).submit()
    with pytest.raises(CampaignError, match="another campaign"):
        Campaign(ec, space, settings=stand.settings, metrics={"value": "sleep.duration"}).submit()
    with pytest.raises(InvalidValue, match="metric value is a function of the script"):
        stand.owned(Campaign.attach("else", stop=bool, settings=stand.settings)).wait(30.0)
    with pytest.raises(InvalidValue, match="stop is the function bool of the script"):
        stand.owned(
            Campaign.attach("else", metrics={"value": other}, settings=stand.settings)
        ).wait(30.0)
    bystander = stand.owned(Campaign.attach("else", settings=stand.settings))
    until(lambda: bystander.status().waiting, 30.0, "nothing waits")
    campaign.cancel()
    until(lambda: bystander.status().phase == "cancelled", 30.0, "it is not cancelled")
    assert bystander.wait(30.0).waiting > 0
    campaign.remove()


def test_workers_call_a_function_that_describes_runs(stand: Stand) -> None:
    campaign = stand.owned(
        Campaign(
            "tests.e2e.designs:echoing",
            Space.grid(n=[4, 2, 5]),
            order="given",
            settings=stand.settings,
            metrics={"status": "app-1.exitCode", "said": Metric("app-0", "stdout", regex="(.+)")},
            collect={"app-1": "stdout"},
        )
    )
    assert campaign.submit().wait(60.0).phase == "finished"
    rows = {row.parameters["n"]: row for row in campaign.rows()}
    assert rows[2].outcome == "failed"
    assert "echoing raised ZeroDivisionError: integer division or modulo by zero" in rows[2].cause
    for n in (4, 5):
        assert rows[n].metrics == {"status": 0, "said": rows[n].seed}
    files = [file.name for _, found in campaign.files() for file in found]
    assert files == ["stdout", "stdout"]
    assert Campaign.attach("echoing", settings=stand.settings).add(Space.grid(n=[5, 8])) == 1
    assert campaign.wait(60.0).finished == 3
    [added] = [row for row in campaign.rows() if row.parameters["n"] == 8]
    assert added.metrics == {"status": None, "said": added.seed}, "n = 8 has no app-1"


def test_a_worker_without_the_module_pauses_the_campaign(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "design_of_script.py").write_text(
        "def describe(ec):\n    ec.register_resource('nepiq::Sleep', duration=0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    campaign = stand.owned(
        Campaign("design_of_script:describe", Space.grid(), settings=stand.settings)
    )
    record = campaign.submit().wait(60.0)
    assert record.phase == "paused"
    assert "the build function design_of_script:describe is not imported here" in record.why


BUILDING = """
from nepiq.controller import Campaign, Space

def build(ec, n, seed):
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    for number in range(n):
        ec.register_resource("linux::Application", label=f"app-{number}", connectedTo=node,
                             command=f"echo {n} {seed}")

with Campaign(build, Space.grid(n=[1, 2, 3]), name="built", repetitions=2,
              metrics={"said": {"label": "app-0", "trace": "stdout", "regex": "(.+)"}}) as campaign:
    campaign.submit().add(Space.grid(n=[3, 5]))
"""


def test_the_script_whose_function_describes_runs_may_leave(stand: Stand) -> None:
    script = stand.script(BUILDING)
    assert script.communicate(timeout=60.0)[1] == ""
    campaign = stand.owned(Campaign.attach("built", settings=stand.settings))
    assert campaign.wait(60.0).finished == 7
    for row in campaign.rows():
        assert row.metrics == {"said": f"{row.parameters['n']} {row.seed}"}
    campaign.set(repetitions=3)
    assert campaign.wait(60.0).finished == 12
    with pytest.raises(NotAllowed, match="described by a function of the script"):
        campaign.add(Space.grid(n=[4]))


@pytest.mark.needs("flock", "setsid")
def test_the_local_worker_imports_the_module_of_a_function(installation: Installation) -> None:
    installation.script(
        """
        def doing(ec, n):
            ec.register_resource("nepiq::Sleep", duration=n / 100)
        """,
        "beside_the_script.py",
    )
    done = installation.run(
        """
        import beside_the_script
        from nepiq.controller import Campaign, Space

        with Campaign(beside_the_script.doing, Space.grid(n=[1, 2])) as campaign:
            record = campaign.submit().wait(60.0)
            print(record.phase, record.finished, record.why)
        """
    )
    assert done.out == "finished 2 \n", done.err
