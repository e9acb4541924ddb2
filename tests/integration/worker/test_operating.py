"""What is late is seen, with the reason; runs are forgotten; memory is told."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, until

from nepiq.controller import ExperimentController
from nepiq.controller.engine.store import keys
from nepiq.controller.errors import NotAllowed, RedisUnreachable, UnknownRun
from nepiq.controller.monitoring.overdue import overdue

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(60)]


def test_what_is_late_and_why(stand: Stand) -> None:
    worker = stand.start_worker()
    ec = stand.experiment("late")
    node = ec.register_resource("linux::Node", label="laptop")
    app = ec.register_resource(
        "linux::Application",
        label="slow",
        command="sleep 300",
        startedWhen="output:never",
        connectedTo=node,
    )
    null = ec.register_resource("nepiq::Null", label="null")
    ec.register_condition(null, "START", node, "READY", "1s")
    ec.deploy([node, app])
    run = stand.backend().run(ec.run_id)
    until(lambda: run.store.step(f"{app}.start").status == "claimed", 20.0, "not begun")  # type: ignore[union-attr]
    assert overdue(run) == []
    worker.signal(signal.SIGKILL)
    worker.ended()
    stand.pretend_worker()
    ec.deploy([null], wait_all_ready=False)
    # It takes a minute until somebody is told, and a start may take one; we ask sooner.
    found = {(item.about, item.label): item.why for item in overdue(run, slack=-600.0)}
    assert "is executed by w0@here" in found["step", "slow"]
    assert "a worker of queue nepiq will claim it next" in found["step", "null"]
    store = run.store
    store.redis.zadd(store.keys.of("watch"), {node: time.time() - 20})
    stand.backend().redis.zrem(keys.BEATS, "pretended", "w0@here")
    found = {(item.about, item.label): item.why for item in overdue(run, slack=-600.0)}
    assert "no worker follows its journal" in found["journal", "laptop"]
    assert "no worker serves queue nepiq" in found["step", "null"]
    ec.detach()
    run.release()
    found = {(item.about, item.label): item.why for item in overdue(run, slack=-600.0)}
    assert "its release has made no progress" in found["release", ""]
    stand.start_worker()
    until(lambda: run.snapshot().phase == "RELEASED", 40.0, "not released")
    assert overdue(run, slack=-600.0) == []


def test_memory_and_forgetting(stand: Stand) -> None:
    stand.start_worker()
    backend = stand.backend()
    ec = stand.experiment("kept")
    guids = [ec.register_resource("nepiq::Null") for _ in range(300)]
    ec.deploy()
    assert ec.wait_started(guids, timeout="30s")
    redis = backend.redis
    pattern = keys.prefix(ec.run_id) + "*"
    exact = sum(int(redis.memory_usage(key, samples=0) or 0) for key in redis.scan_iter(pattern))
    assert 0.7 * exact < backend.run(ec.run_id).store.memory() < 1.3 * exact
    with pytest.raises(NotAllowed, match="is not released"):
        backend.forget(ec.run_id)
    ec.release()
    user = stand.owned(Installation(stand.folder / "user", **stand.environment))
    listed = json.loads(user.nepiq("ls", "--memory", "--json").out)
    assert [item["memory"] > 10_000 for item in listed] == [True]
    assert "kB" in user.nepiq("ls", "--memory", COLUMNS="120").out
    assert user.nepiq("forget", "kept").code == 0
    assert list(redis.scan_iter(pattern)) == []
    assert user.nepiq("ls").out == ""
    with pytest.raises(UnknownRun):
        backend.run(ec.run_id)
    assert user.nepiq("forget", "kept").code == 2


def test_a_broker_out_of_reach_is_reported_before_anything_is_submitted(stand: Stand) -> None:
    away = replace(stand.settings, broker_url="redis://127.0.0.1:1/0", connect_timeout=0.2)
    with ExperimentController("away", settings=away) as ec:
        ec.register_resource("nepiq::Null")
        with pytest.raises(RedisUnreachable, match=r"redis://127\.0\.0\.1:1/0"):
            ec.deploy()
    assert stand.backend().runs() == []
