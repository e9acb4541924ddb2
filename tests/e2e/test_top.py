"""What nepiq top shows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand

from nepiq.controller.engine.store import keys

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path / "stand") as made:
        yield made


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Installation:
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    return stand.owned(Installation(tmp_path / "user", **urls))


def test_it_shows_workers_queues_and_runs(stand: Stand, user: Installation) -> None:
    stand.start_worker()
    with stand.experiment("shown") as ec:
        null = ec.register_resource("nepiq::Null")
        ec.deploy()
        ec.wait_started(null)
        told = json.loads(user.nepiq("top", "--json").out)
        text = user.nepiq("top", "--once").out
    (worker,) = told["workers"]
    assert (worker["name"], worker["machine"], worker["sites"]) == (
        "w0@here",
        "here",
        ["default"],
    )
    assert (worker["alive"], worker["slots"]) == (True, 16)
    (run,) = [run for run in told["runs"] if run["run_id"] == ec.run_id]
    assert (run["exp_id"], run["phase"], run["states"]) == ("shown", "RUNNING", {"STARTED": 1})
    assert told["queues"]["nepiq.default"] == 0
    words = [line.split() for line in text.splitlines()]
    assert ["w0@here", "default", "here", "0", "of", "16"] in [row[:6] for row in words]
    assert [ec.run_id, "shown", "RUNNING"] in [row[:3] for row in words]
    assert "1 STARTED" in text


def test_it_shows_what_nobody_does(stand: Stand, user: Installation) -> None:
    redis = stand.backend().redis
    told = {"machine": "gone", "queues": ["nepiq.far"], "pid": 0, "version": "0"}
    redis.hset(keys.WORKERS, "gone", json.dumps(told))
    redis.zadd(keys.BEATS, {"gone": time.time()})
    ec = stand.experiment("stuck")
    node = ec.register_resource("linux::Node", hostname="far.example", site="far")
    ec.deploy()
    ec.detach()
    # Its worker has said farewell, and nobody sweeps: let the alarm be old.
    redis.hdel(keys.WORKERS, "gone")
    redis.zadd(f"nepiq:{{{ec.run_id}}}:alarm", {f"{node}.deploy": 1.0})
    text = user.nepiq("top").out
    assert f"overdue: step {node}.deploy of run {ec.run_id}" in text
    assert "nepiq.far 1 0 workers" in [" ".join(line.split()) for line in text.splitlines()]
