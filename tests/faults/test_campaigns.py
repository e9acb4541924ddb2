"""Campaigns whose script, workers and Redis are killed: each repetition of a point has one row."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.lab import Lab
from tests.stand import Stand, Worker, until

from nepiq.controller import Campaign, Metric, Parameter, Space
from nepiq.controller.engine.store import keys

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(300)]

POINTS, REPETITIONS = 25, 4
TOTAL = POINTS * REPETITIONS

SCRIPT = f"""
import os, signal, sys
from nepiq.controller import Campaign, ExperimentController, Parameter, Space
ec = ExperimentController("sweep")
first = ec.register_resource("nepiq::Null", ends=True)
pause = ec.register_resource("nepiq::Sleep", duration=Parameter("pause"))
ec.register_condition(pause, "start", first, "STARTED")
points = range(int(sys.argv[1]))
seconds = [float(sys.argv[2]) * (n % {POINTS}) for n in points]
space = Space.zip(pause=seconds, name=list(points))
Campaign(ec, space, repetitions={REPETITIONS}, parallel=8).submit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def submitted(stand: Stand, points: int = POINTS, unit: float = 0.01) -> Campaign:
    """Have a script submit the campaign and kill itself; attach to the campaign.

    Args:
        stand: Redis and workers.
        points: number of its points.
        unit: a run takes none of these seconds, or up to 24 of them.
    """
    script = stand.script(SCRIPT, str(points), str(unit))
    _, stderr = script.communicate(timeout=60.0)
    assert script.returncode == -signal.SIGKILL, stderr
    return stand.owned(Campaign.attach("sweep", settings=stand.settings))


def expect_each_once(stand: Stand, campaign: Campaign, points: int = POINTS) -> None:
    """Wait for the end; fail unless each repetition of each point has one row, and none is left."""
    record = campaign.wait(timeout=200.0)
    assert record.phase == "finished"
    rows = list(campaign.rows())
    counted = Counter((row.point, row.repetition) for row in rows)
    total = points * REPETITIONS
    assert len({point for point, _ in counted}) == points
    assert len(counted) == total
    assert set(counted.values()) == {1}
    assert {row.outcome for row in rows} == {"finished"}
    assert (record.finished, record.failed, record.cancelled) == (total, 0, 0)
    redis = stand.backend().redis
    assert redis.keys(r"nepiq:{2*") == []
    for key in (keys.active("main"), keys.campaigns("main"), keys.ENDED, keys.RUNS):
        assert redis.exists(key) == 0, key


def wait_for_rows(campaign: Campaign, count: int) -> None:
    """Wait until so many runs have a row."""
    for number, _ in enumerate(campaign.rows(follow=True), 1):
        if number >= count:
            return


@pytest.mark.parametrize("point", ["advancing", "settling", "settled"])
def test_worker_killed_in_the_step_of_a_campaign(tmp_path: Path, point: str) -> None:
    with Stand(tmp_path) as stand:
        doomed = stand.start_worker("doomed", NEPIQ_FAULT=f"{point}=kill")
        campaign = submitted(stand)
        assert doomed.ended() == -signal.SIGKILL
        stand.start_worker("other")
        expect_each_once(stand, campaign)


def test_workers_killed_at_random(tmp_path: Path) -> None:
    seed = int(os.environ.get("NEPIQ_SEED") or random.randrange(10**6))
    print(f"NEPIQ_SEED={seed}")
    chance = random.Random(seed)
    with Stand(tmp_path) as stand:
        workers: list[Worker] = [stand.start_worker(f"w{n}") for n in range(2)]
        campaign = submitted(stand)
        for at in sorted(chance.sample(range(1, TOTAL - 5), 3)):
            wait_for_rows(campaign, at)
            killed = chance.randrange(2)
            print(f"after {at} rows: kill {workers[killed].name}")
            workers[killed].signal(signal.SIGKILL)
            workers[killed].ended()
            workers[killed] = stand.start_worker(f"w{at}-{killed}")
        expect_each_once(stand, campaign)


def test_redis_killed(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        for name in ("w0", "w1"):
            stand.start_worker(name)
        campaign = submitted(stand)
        for at in (10, 60):
            wait_for_rows(campaign, at)
            stand.stop_redis(signal.SIGKILL)
            until(lambda: not stand.socket.unlink(missing_ok=True), 1.0, "the socket stays")
            stand.start_redis()
        expect_each_once(stand, campaign)


VERBS = """
import sys
from nepiq.controller import Campaign, Space
with Campaign.attach("sweep") as campaign:
    for _ in range(2):
        match sys.argv[1]:
            case "add":
                campaign.add(Space.zip(pause=[0.0, 0.01], name=[0, 100]))
            case "set":
                campaign.set(parallel=3)
            case verb:
                getattr(campaign, verb)()
"""


def test_verbs_from_other_processes_while_workers_are_replaced(tmp_path: Path) -> None:
    seed = int(os.environ.get("NEPIQ_SEED") or random.randrange(10**6))
    print(f"NEPIQ_SEED={seed}")
    chance = random.Random(seed)
    with Stand(tmp_path) as stand:
        workers = [stand.start_worker(f"w{n}") for n in range(2)]
        campaign = submitted(stand)

        def command(verb: str) -> None:
            script = stand.script(VERBS, verb)
            _, stderr = script.communicate(timeout=60.0)
            assert script.returncode == 0, stderr

        rows = 0
        for verb in ("add", "set", "pause", "resume", "cancel", "resume"):
            rows += chance.randrange(1, 12)
            print(f"after {rows} rows: {verb}")
            if campaign.status().phase == "running":
                wait_for_rows(campaign, rows)
            command(verb)
            if verb == "pause":
                for number, worker in enumerate(workers):
                    worker.signal(signal.SIGTERM)
                    worker.ended()
                    stand.start_worker(f"new{number}")
        record = campaign.wait(timeout=200.0)
        assert (record.phase, record.total, record.parallel) == ("finished", TOTAL + 1, 3)
        counted = Counter((row.point, row.repetition) for row in campaign.rows())
        assert len(counted) == TOTAL + 1
        assert set(counted.values()) == {1}


def test_hosts_are_parameters(lab: Lab) -> None:
    hosts = [host.name for host in lab.bed.hosts[:2]]
    ec = lab.stand.experiment("tour")
    node = ec.register_resource("linux::Node", label="node", hostname=Parameter("host"))
    ec.register_resource(
        "linux::Application", label="app", connectedTo=node, command="hostname; echo ${word}"
    )
    space = Space.grid(host=hosts, word=["one", "two"])
    metrics = {"word": Metric("app", "stdout", regex=r"^(one|two)$")}
    with Campaign(ec, space, parallel=3, metrics=metrics, settings=lab.stand.settings) as campaign:
        assert campaign.submit().wait(90.0).finished == 4
        rows = list(campaign.rows())
        for row in rows:
            assert row.hosts == {"node": row.parameters["host"]}
            assert row.metrics == {"word": row.parameters["word"]}
        campaign.remove()
    lab.expect_nothing(rows[0].run_id, *lab.bed.hosts[:2])
