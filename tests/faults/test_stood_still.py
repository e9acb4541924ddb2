"""Workers that stood still and go on: what they did not hear meanwhile is nobody's silence."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Worker, until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController, ResourceState
from nepiq.controller.engine.store import keys

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-stood-still"),
]

PATIENCE = "4"
STOPPED = 20.0
"""Seconds; more than the lease of a watch, and than the silence after which its channel is dead."""


@pytest.fixture
def lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    """Hosts, and a Redis; no workers yet."""
    with Lab(tmp_path, testbed) as made:
        yield made


def holder(lab: Lab, ec: ExperimentController, node: int) -> str:
    """The name of the worker that follows the journal of a node; empty if nobody does."""
    run = lab.stand.backend().run(ec.run_id)
    told = run.store.redis.hget(run.store.keys.of("journal"), str(node))
    return json.loads(told)["worker"].partition("@")[0] if told else ""


def stop(worker: Worker, seconds: float) -> None:
    """Have a worker stand still for so long, and go on."""
    worker.signal(signal.SIGSTOP)
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 1.0, "the time passed")
    worker.signal(signal.SIGCONT)


def test_the_only_worker(lab: Lab) -> None:
    (worker,) = lab.start_workers(1, NEPIQ_HOST_LOST=PATIENCE)
    with lab.stand.experiment("still") as ec:
        nodes = lab.nodes(ec, lab.bed.hosts[:2])
        longer = [
            ec.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
            for node in nodes
        ]
        ends = ec.register_resource(APPLICATION, command="sleep 2", connectedTo=nodes[0])
        ec.deploy()
        assert ec.wait_started([*longer, ends], timeout=60.0)
        until(lambda: holder(lab, ec, nodes[0]) == "w0", 20.0, "nobody follows")
        stop(worker, STOPPED)
        assert ec.wait_finished(ends, timeout=30.0)
        later = ec.register_resource(APPLICATION, command="echo on", connectedTo=nodes[1])
        ec.deploy([later])
        assert ec.wait_finished(later, timeout=30.0)
        assert ec.failures == []
        assert {ec.state(guid) for guid in longer} == {ResourceState.STARTED}
        ec.release()
        lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])


def test_another_took_over(lab: Lab) -> None:
    workers = lab.start_workers(2, NEPIQ_HOST_LOST=PATIENCE)
    with lab.stand.experiment("over") as ec:
        (node,) = lab.nodes(ec, lab.bed.hosts[:1])
        longer = ec.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
        gate = ec.register_resource("nepiq::Null")
        ec.register_condition(gate, "START", longer, ResourceState.STARTED)
        ec.deploy()
        assert ec.wait_started([longer, gate], timeout=60.0)
        until(lambda: holder(lab, ec, node), 20.0, "nobody follows")
        first = holder(lab, ec, node)
        (sleepy,) = [worker for worker in workers if worker.name == first]
        sleepy.signal(signal.SIGSTOP)
        (other,) = [worker for worker in workers if worker is not sleepy]
        until(lambda: holder(lab, ec, node) == other.name, 40.0, "nobody took over")
        stop(sleepy, 6.0)  # the silence of its channel is long over when it goes on
        later = ec.register_resource(APPLICATION, command="echo on", connectedTo=node)
        ec.deploy([later])
        assert ec.wait_finished(later, timeout=30.0)
        beats_on(lab, sleepy)
        assert ec.failures == []
        assert ec.state(longer) is ResourceState.STARTED
        ec.release()
        lab.expect_nothing(ec.run_id, lab.bed.hosts[0])


def beats_on(lab: Lab, worker: Worker, count: int = 3) -> None:
    """Wait until a worker has given that many signs of life more."""
    redis = lab.stand.backend().redis
    for _ in range(count):
        before = redis.zscore(keys.BEATS, f"{worker.name}@here")
        until(
            lambda before=before: redis.zscore(keys.BEATS, f"{worker.name}@here") != before,  # type: ignore[misc]
            30.0,
            "it does not go on",
        )
