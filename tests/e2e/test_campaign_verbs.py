"""Campaigns that the workers carry out: their verbs, each given twice, and their rows."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stand import Stand, until

from nepiq.controller import (
    Campaign,
    CampaignError,
    ExperimentController,
    InvalidValue,
    Metric,
    NepiqError,
    NotAllowed,
    Parameter,
    Space,
    UnknownAttribute,
    UnknownCampaign,
    UnknownResource,
    WaitTimeout,
)
from nepiq.controller.engine.store import keys

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers."""
    with Stand(tmp_path_factory.mktemp("campaigns")) as made:
        for name in ("w0", "w1"):
            made.start_worker(name)
        yield made


def sleeping(stand: Stand, name: str) -> ExperimentController:
    """A run that takes the time of the parameter ``pause``."""
    ec = stand.experiment(name)
    ec.register_resource("nepiq::Sleep", label="sleep", duration=Parameter("pause"))
    return ec


def started(stand: Stand, name: str, points: int, pause: float = 0.01, **plan: Any) -> Campaign:
    """A campaign of sleeping runs, submitted."""
    space = Space.grid(pause=[pause], n=list(range(points)))
    campaign = Campaign(sleeping(stand, name), space, settings=stand.settings, **plan)
    return stand.owned(campaign).submit()


def again(stand: Stand, name: str) -> Campaign:
    """The same campaign, as another process has it."""
    return stand.owned(Campaign.attach(name, settings=stand.settings))


def numbers(campaign: Campaign) -> list[int]:
    """The parameter ``n`` of all rows, sorted."""
    return sorted(row.parameters["n"] for row in campaign.rows())


def test_each_repetition_of_each_point_has_a_row(stand: Stand) -> None:
    campaign = started(stand, "all", 5, repetitions=3, parallel=4)
    record = campaign.wait(30.0)
    assert (record.phase, record.total, record.done, record.active) == ("finished", 15, 15, 0)
    rows = list(campaign.rows())
    assert Counter(row.parameters["n"] for row in rows) == dict.fromkeys(range(5), 3)
    # Blocks of one repetition of each point; common seeds at all points.
    begun = sorted(rows, key=lambda row: row.run_id)
    assert {row.repetition for row in begun[:5]} == {1}
    assert len({(row.repetition, row.seed) for row in rows}) == 3
    assert all(row.ended - row.began >= 0.01 for row in rows if row.ended and row.began)
    campaign.submit()
    assert campaign.status().done == 15


def test_another_campaign_of_this_name_is_refused(stand: Stand) -> None:
    started(stand, "taken", 1).wait(30.0)
    with pytest.raises(CampaignError, match="another campaign has the name 'taken'"):
        started(stand, "taken", 2)


def test_points_are_added_to_a_finished_campaign(stand: Stand) -> None:
    campaign = started(stand, "more", 3)
    campaign.wait(30.0)
    more = Space.grid(pause=[0.01], n=[2, 3, 4])
    assert again(stand, "more").add(more) == 2
    assert again(stand, "more").add(more) == 0
    assert campaign.wait(30.0).done == 5
    assert numbers(campaign) == [0, 1, 2, 3, 4]


def test_repetitions_are_added_to_a_finished_campaign(stand: Stand) -> None:
    campaign = started(stand, "longer", 3)
    campaign.wait(30.0)
    campaign.add(Space.grid(pause=[0.01], n=[3]), repetitions=2)
    for _ in range(2):
        again(stand, "longer").set(repetitions=3, parallel=4)
    assert campaign.wait(30.0).done == 12
    found = Counter((row.parameters["n"], row.repetition) for row in campaign.rows())
    assert found == {(n, number): 1 for n in range(4) for number in (1, 2, 3)}
    assert len({(row.repetition, row.seed) for row in campaign.rows()}) == 3


def test_paused_and_resumed(stand: Stand) -> None:
    campaign = started(stand, "pausing", 100, parallel=2)
    next(campaign.rows(follow=True))
    for _ in range(2):
        again(stand, "pausing").pause()
    until(lambda: not campaign.status().active, 20.0, "runs go on")
    paused = campaign.status()
    assert (paused.phase, paused.begun) == ("paused", paused.done)
    assert paused.done < 100
    with pytest.raises(WaitTimeout):
        campaign.wait(0.5)
    assert campaign.status().begun == paused.begun
    for _ in range(2):
        again(stand, "pausing").resume()
    assert campaign.wait(30.0).done == 100
    assert numbers(campaign) == list(range(100))


def test_a_worker_that_fails_in_the_step_gives_it_back(stand: Stand) -> None:
    campaign = started(stand, "broken", 40, pause=0.05, parallel=2)
    next(campaign.rows(follow=True))
    redis, key = stand.backend().redis, keys.campaign("broken")
    definition = redis.get(key + "definition")
    with redis.pipeline() as pipe:
        pipe.set(key + "definition", b"no definition")
        pipe.hincrbyfloat(key + "state", "created", 1.0)  # so that workers read it again
        pipe.execute()

    def is_given_back() -> bool:
        status, retry = redis.hmget(key + "state", "status", "retry")
        return status == b"idle" and retry is not None

    until(is_given_back, 10.0, "the worker keeps the step")
    redis.set(key + "definition", definition)
    campaign.set(parallel=4)  # a verb makes it due
    assert campaign.wait(30.0).finished == 40


def test_stopped_lets_runs_end(stand: Stand) -> None:
    campaign = started(stand, "stopping", 40, pause=0.1, parallel=2)
    next(campaign.rows(follow=True))
    for _ in range(2):
        again(stand, "stopping").stop()
    stopped = campaign.wait(30.0)
    assert (stopped.phase, stopped.begun) == ("stopped", stopped.done)
    assert stopped.done < 40


def test_cancelled_runs_are_begun_again_when_it_is_resumed(stand: Stand) -> None:
    campaign = started(stand, "cancelling", 6, pause=30.0, parallel=4)
    until(lambda: campaign.status().active == 4, 20.0, "no runs")
    for _ in range(2):
        again(stand, "cancelling").cancel()
    cancelled = campaign.wait(20.0)
    assert (cancelled.phase, cancelled.done, cancelled.active) == ("cancelled", 0, 0)
    assert [info for info in stand.backend().runs() if info.exp_id == "cancelling"] == []
    campaign.resume()
    until(lambda: campaign.status().active == 4, 20.0, "no runs after resume")
    campaign.cancel()
    campaign.wait(20.0)
    campaign.remove()
    with pytest.raises(UnknownCampaign):
        campaign.status()


def test_parallel_changes_while_it_runs(stand: Stand) -> None:
    campaign = started(stand, "wider", 8, pause=30.0, parallel=1)
    until(lambda: campaign.status().active == 1, 20.0, "no run")
    with pytest.raises(NotAllowed, match="1 runs are under way"):
        campaign.remove()
    for _ in range(2):
        again(stand, "wider").set(parallel=3, priority=-2)
    until(lambda: campaign.status().active == 3, 20.0, "not more runs")
    assert campaign.status().priority == -2
    with pytest.raises(InvalidValue, match="priority: cannot be 1000"):
        campaign.set(priority=1000)
    campaign.cancel()
    campaign.wait(20.0)


def test_the_time_that_is_left_is_estimated_from_the_third_run_on(stand: Stand) -> None:
    points = [{"pause": pause} for pause in (0.01, 0.02, 0.03, 30.0, 31.0)]
    campaign = Campaign(
        sleeping(stand, "estimated"), Space.points(points), settings=stand.settings, order="given"
    )
    stand.owned(campaign).submit()
    until(lambda: campaign.status().done == 3, 20.0, "no rows")
    found = campaign.left()
    assert found is not None
    assert 0 < found.low < found.seconds < found.high
    campaign.cancel()
    campaign.wait(20.0)
    assert campaign.left() is None


def test_failures_are_told_by_cause_and_begun_again(stand: Stand, tmp_path: Path) -> None:
    good = tmp_path / "good"
    command = f"test -e {good} || test ${{n}} -lt 3"
    ec = stand.experiment("failing")
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    ec.register_resource("linux::Application", label="app", connectedTo=node, command=command)
    campaign = stand.owned(
        Campaign(ec, Space.grid(n=list(range(6))), settings=stand.settings, max_failures=2)
    )
    campaign.submit()
    paused = campaign.wait(60.0)
    assert paused.phase == "paused"
    assert "runs failed" in paused.why
    [(cause, (count, example))] = campaign.causes().items()
    assert "app" in cause
    assert count == paused.failed >= 2
    # Their records are kept.
    with ExperimentController.attach(example, settings=stand.settings) as failed:
        assert failed.failures[0].label == "app"
        failed.detach()
    row = next(row for row in campaign.rows() if row.run_id == example)
    assert (row.outcome, row.cause, row.hosts) == ("failed", cause, {"node": "localhost"})
    good.touch()
    assert campaign.retry("no such cause") == 0
    assert campaign.retry(cause) == count
    assert campaign.retry(cause) == 0
    campaign.resume()
    assert campaign.wait(60.0).finished == 6
    assert numbers(campaign) == list(range(6))


def test_time_limit(stand: Stand) -> None:
    campaign = started(stand, "late", 2, pause=30.0, timeout="1s")
    record = campaign.wait(30.0)
    assert (record.failed, record.finished) == (2, 0)
    assert {row.cause for row in campaign.rows()} == {"WaitTimeout: the run took longer than <n> s"}


def test_a_point_that_cannot_be_described_fails_alone(stand: Stand) -> None:
    space = Space.points([{"pause": 0.01}, {"pause": "never"}, {"pause": 0.02}])
    campaign = stand.owned(Campaign(sleeping(stand, "odd"), space, settings=stand.settings))
    record = campaign.submit().wait(30.0)
    assert (record.finished, record.failed) == (2, 1)
    row = next(row for row in campaign.rows() if row.outcome == "failed")
    assert row.parameters == {"pause": "never"}
    assert "duration" in row.error


def test_metrics(stand: Stand) -> None:
    ec = stand.experiment("measured")
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    ec.register_resource(
        "linux::Application", label="app", connectedTo=node, command="echo value=${n}; exit 0"
    )
    metrics = {
        "value": Metric("app", "stdout", regex=r"value=(\d+)"),
        "code": "app.exitCode",
        "nothing": {"label": "app", "trace": "stdout", "regex": "absent"},
    }
    space = Space.grid(n=[1, 2])
    campaign = stand.owned(Campaign(ec, space, settings=stand.settings, metrics=metrics))
    campaign.submit().wait(60.0)
    measured = {row.parameters["n"]: row.metrics for row in campaign.rows()}
    assert {n: values["value"] for n, values in measured.items()} == {1: 1, 2: 2}
    assert all("nothing" in row.error for row in campaign.rows())


def test_a_run_that_a_user_releases_is_cancelled(stand: Stand) -> None:
    campaign = started(stand, "released", 1, pause=30.0)
    until(lambda: campaign.status().active == 1, 20.0, "no run")
    [run_id] = campaign.active()
    stand.backend().run(run_id).release()
    assert campaign.wait(20.0).cancelled == 1
    [row] = campaign.rows()
    assert (row.outcome, row.error) == ("cancelled", "another client released the run")


def test_rows_are_followed_while_it_runs(stand: Stand) -> None:
    campaign = started(stand, "followed", 6, parallel=1)
    seen: list[int] = []
    reader = threading.Thread(
        target=lambda: seen.extend(row.parameters["n"] for row in campaign.rows(follow=True))
    )
    reader.start()
    campaign.wait(30.0)
    reader.join(20.0)
    assert sorted(seen) == list(range(6))


def test_a_paused_campaign_costs_nothing(stand: Stand) -> None:
    campaign = started(stand, "resting", 10_000)
    next(campaign.rows(follow=True))
    campaign.pause()
    until(lambda: not campaign.status().active, 20.0, "runs go on")
    redis = stand.backend().redis
    until(lambda: not redis.smembers(keys.campaigns("main")), 20.0, "it is active")
    redis.config_set("slowlog-max-len", 100_000)
    redis.config_set("slowlog-log-slower-than", 0)
    redis.slowlog_reset()
    passes = keys.campaigns("main").encode()

    def commands() -> list[bytes]:
        return [entry["command"] for entry in redis.slowlog_get(100_000)]

    # Three passes of the sweeper, which looks for campaigns that have work.
    until(lambda: sum(passes in text for text in commands()) >= 3, 20.0, "nothing sweeps")
    redis.config_set("slowlog-log-slower-than", 10_000)
    assert [text for text in commands() if b"resting" in text] == []
    campaign.remove()


def test_many_points_cost_what_their_description_does(stand: Stand) -> None:
    stand.backend()
    redis = stand.backend().redis
    before = redis.info("memory")["used_memory"]
    space = Space.grid(a=range(1000), b=range(100))
    campaign = Campaign(sleeping(stand, "large"), space, settings=stand.settings, repetitions=10)
    with pytest.raises(NepiqError, match="duration"):
        campaign.submit()  # there is no pause at any point
    points = Space.grid(pause=[60])
    for metric, error in (("slept.x", UnknownResource), ("sleep.x", UnknownAttribute)):
        campaign = Campaign(
            sleeping(stand, "large"), points, settings=stand.settings, metrics={"a": metric}
        )
        with pytest.raises(NepiqError, match=r"'(slept|x)'") as refused:
            campaign.submit()
        assert type(refused.value) is error
        assert refused.value.where.startswith("metrics a")
    campaign = Campaign(
        sleeping(stand, "large"), Space.grid(pause=[60]) * space, settings=stand.settings
    )
    began = time.monotonic()
    stand.owned(campaign).submit()
    assert time.monotonic() - began < 5.0
    assert redis.info("memory")["used_memory"] - before < 2_000_000
    assert campaign.status().total == 100_000
    campaign.cancel()
    campaign.wait(30.0)


def test_on_the_command_line(stand: Stand, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "nepiq: 1\nexp_id: line\nresources:\n"
        "  sleep: {type: 'nepiq::Sleep', duration: '${pause}'}\n"
        "campaign:\n  space: {grid: {pause: [0.01, 0.02]}}\n  repetitions: 2\n"
    )

    def nepiq(*words: str) -> str:
        return stand.command("campaign", *words)

    assert "4 of 4 runs ended" in nepiq("run", str(file))
    assert "finished" in nepiq("ls")
    assert nepiq("run", str(file), "--name", "line-2", "--set", "pause=0.03", "-d") == "line-2\n"
    nepiq("watch", "line-2")
    assert nepiq("add", "line-2", "--set", "pause=0.03,0.04") == "1 run added\n"
    nepiq("watch", "line-2")
    rows = [json.loads(line) for line in nepiq("results", "line-2").splitlines()]
    assert sorted(row["parameters"]["pause"] for row in rows) == [0.03, 0.03, 0.04]
    assert nepiq("summary", "line-2").split() == ["pause", "runs", "0.03", "2", "0.04", "1"]
    for verb in ("pause", "resume", "stop", "cancel"):
        assert nepiq(verb, "line-2") == ""
    assert nepiq("set", "line-2", "--parallel", "3") == ""
    assert nepiq("retry", "line-2") == "0 runs to begin again\n"
    assert json.loads(nepiq("status", "line-2", "--json"))["parallel"] == 3
    nepiq("export", "line-2", str(tmp_path / "line.csv"))
    assert len((tmp_path / "line.csv").read_text().splitlines()) == 4
    assert nepiq("rm", "line-2") == ""
    assert "unknown campaign 'line-2'" in nepiq("status", "line-2")


def test_a_point_has_as_many_runs_as_its_metric_needs(stand: Stand) -> None:
    ec = stand.experiment("precise")
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    # At n=0 all samples are equal, at n=1 they differ from run to run.
    command = "echo $((100 + ${n} * ${repetition} * 100))"
    ec.register_resource("linux::Application", label="app", connectedTo=node, command=command)
    campaign = Campaign(
        ec,
        Space.grid(n=[0, 1]),
        repetitions={"min": 3, "max": 6},
        stop={"metric": "value", "within": "1%"},
        metrics={"value": Metric("app", "stdout", regex=r"\d+")},
        parallel=1,
        settings=stand.settings,
    )
    record = stand.owned(campaign).submit().wait(90.0)
    counted = Counter(row.parameters["n"] for row in campaign.rows())
    assert counted == {0: 3, 1: 6}
    assert (record.phase, record.total, record.done, record.skipped) == ("finished", 12, 9, 3)
