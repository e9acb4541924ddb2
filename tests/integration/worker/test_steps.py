"""Steps on a real worker: batches, rounds, retries, sets, and what goes wrong in them."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from tests.integration.worker import kinds  # noqa: F401 - the types must be known here too
from tests.stand import Stand, until

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, errors
from nepiq.controller.engine.store.calls import DueStep

pytestmark = pytest.mark.needs("redis-server")


def started(stand: Stand, ec: ExperimentController, guid: int) -> float:
    return stand.milestone(ec, guid, "STARTED")


def test_a_hanging_hook_holds_nobody_else_of_its_batch(stand: Stand, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    stand.start_worker()
    with stand.experiment() as ec:
        first = ec.register_resource("test::Quick", mood=str(gate))
        others = [ec.register_resource("test::Quick") for _ in range(49)]
        ec.deploy()
        assert ec.wait_started(others, timeout=30.0)
        assert ec.state(first) is ResourceState.READY
        gate.touch()
        assert ec.wait_started(first, timeout=30.0)


@pytest.mark.parametrize("mood", ["exit", "raise"])
def test_what_a_hook_raises_belongs_to_its_step(stand: Stand, mood: str) -> None:
    stand.start_worker()
    with stand.experiment() as ec:
        bad = ec.register_resource("test::Quick", mood=mood, critical=False)
        others = [ec.register_resource("test::Quick") for _ in range(20)]
        ec.deploy()
        assert ec.wait_started(timeout=30.0)
        assert ec.state(bad) is ResourceState.FAILED
        assert {ec.state(guid) for guid in others} == {ResourceState.STARTED}
        (failure,) = ec.failures
        assert failure.label == "quick-1"
        assert "start" in failure.where


def test_a_step_is_woken(stand: Stand, tmp_path: Path) -> None:
    """What it waits for comes long before its next round."""
    stand.start_worker()
    file = tmp_path / "file"
    with stand.experiment() as ec:
        sleeper = ec.register_resource("test::Sleeper", file=str(file))
        ec.deploy()
        run = stand.backend().run(ec.run_id)
        until(lambda: run.store.steps(sleeper)[0].tries == 1, 30.0, "its first round did not come")
        file.touch()
        assert ec.wait_deployed(sleeper, timeout=30.0)


def test_rounds_and_retries(stand: Stand) -> None:
    worker = stand.start_worker(NEPIQ_METRICS="127.0.0.1:0")
    with stand.experiment() as ec:
        flaky = ec.register_resource("test::Flaky")
        ec.deploy()
        assert ec.wait_started(flaky, timeout=30.0)
        assert ec.get(flaky, "polls") == 3
        assert ec.get(flaky, "attempt") == 3
    found = re.search(r"metrics at (\S+)", worker.text())
    assert found
    url = found.group(1)

    def ended() -> set[str]:
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            lines = answer.read().decode().splitlines()
        return {line for line in lines if re.match(r"nepiq_steps_total.* [1-9]", line)}

    # A step is counted when its worker has heard that it is recorded.
    until(lambda: any("release" in line for line in ended()), 30.0, "the release is not counted")
    assert ended() == {
        'nepiq_steps_total{action="deploy",outcome="again"} 2.0',
        'nepiq_steps_total{action="deploy",outcome="done"} 1.0',
        'nepiq_steps_total{action="start",outcome="retry"} 2.0',
        'nepiq_steps_total{action="start",outcome="done"} 1.0',
        'nepiq_steps_total{action="release",outcome="done"} 1.0',
    }


def test_set_reaches_the_running_resource(stand: Stand) -> None:
    stand.start_worker()
    with stand.experiment() as ec:
        dial = ec.register_resource("test::Dial", level=1)
        ec.deploy()
        assert ec.wait_started(dial, timeout=30.0)
        ec.set(dial, "level", 5)
        assert ec.get(dial, "level") == 5
        assert ec.get(dial, "applied") == "level=5;"
        with pytest.raises(errors.NepiqError, match="seven"):
            ec.set(dial, "level", 7)
        assert ec.get(dial, "level") == 5
        assert ec.state(dial) is ResourceState.STARTED


@pytest.mark.timeout(300)  # four leases have to run out, one after the other
def test_a_poison_step_fails_its_resource_and_no_more(stand: Stand) -> None:
    for _ in range(5):
        stand.start_worker(threads=2, wait=False)
    with stand.experiment() as ec:
        poison = ec.register_resource("test::Poison", critical=False)
        other = ec.register_resource("test::Quick")
        ec.deploy(poison)
        ec.deploy(other)
        assert ec.wait_started(timeout=240.0)
        assert ec.state(poison) is ResourceState.FAILED
        assert ec.state(other) is ResourceState.STARTED
        (failure,) = ec.failures
        assert "worker lost 4 times" in failure.message


@pytest.mark.parametrize("offset", [0.2, 1.5])
def test_what_comes_early_is_neither_lost_nor_run_early(stand: Stand, offset: float) -> None:
    stand.start_worker()
    with stand.experiment() as ec:
        first = ec.register_resource("test::Quick")
        second = ec.register_resource("test::Quick", label="second")
        ec.register_condition(
            second, ResourceAction.START, first, ResourceState.STARTED, f"{offset}s"
        )
        ec.deploy()
        assert ec.wait_started(first, timeout=30.0)
        # As a worker with a clock ahead would have it: the message comes before its time.
        backend = stand.backend()
        early = DueStep(f"{second}.start", 0.0, "nepiq", batch=False, label="second")
        backend.publisher.submit(ec.run_id, [early])
        assert ec.wait_started(second, timeout=30.0)
        assert started(stand, ec, second) - started(stand, ec, first) >= offset
        assert backend.run(ec.run_id).store.step(f"{second}.start").tries == 1


def test_a_lost_message_is_sent_again(stand: Stand) -> None:
    with stand.experiment() as ec:
        lost = ec.register_resource("test::Quick")
        stand.start_worker("first")
        ec.deploy()
        assert ec.wait_started(lost, timeout=30.0)
        second = ec.register_resource("test::Quick")
        stand.workers[0].signal(15)
        stand.workers[0].ended()
        stand.pretend_worker()
        ec.deploy()
        # The first worker may stop between a commit and the acknowledgement of its message,
        # which then goes back into the queue.
        assert stand.drop_messages("nepiq") >= 1
        stand.start_worker("second")
        assert ec.wait_started(second, timeout=30.0)


def test_a_worker_outlives_a_restart_of_redis(stand: Stand) -> None:
    worker = stand.start_worker()
    ec = stand.experiment()
    first = ec.register_resource("test::Quick")
    later = [ec.register_resource("test::Quick") for _ in range(5)]
    ec.register_condition(later, ResourceAction.START, first, ResourceState.STARTED, "6s")
    ec.deploy()
    assert ec.wait_started(first, timeout=30.0)
    time.sleep(1.2)  # the append-only file is written every second
    stand.stop_redis(9)
    time.sleep(1.0)  # it is this long away, and attempts to reach it fail
    stand.start_redis()
    assert ec.wait_started(later, timeout=60.0)
    assert worker.process.poll() is None
    ec.shutdown()


def test_a_machine_that_is_gone_fails_what_was_bound_to_it(stand: Stand) -> None:
    worker = stand.start_worker("bound", NEPIQ_MACHINE="there")
    ec = stand.experiment()
    node = ec.register_resource("linux::Node")
    app = ec.register_resource("linux::Application", command="sleep 0.1; exit 0", connectedTo=node)
    ec.deploy()
    assert ec.wait_finished(app, timeout=30.0)
    worker.signal(9)
    worker.ended()
    stand.start_worker("other", NEPIQ_MACHINE_GONE="3")
    assert not ec.wait_finished(node, timeout=60.0)
    (failure,) = [item for item in ec.failures if item.guid == node]
    assert failure.kind == "WorkerGone"
    assert "there" in failure.message
    ec.shutdown()
    assert ec.state(node) is ResourceState.RELEASED


def test_a_worker_that_is_told_to_end_says_nothing_wrong(stand: Stand) -> None:
    worker = stand.start_worker()
    with stand.experiment() as ec:
        ec.register_resource("test::Quick")
        ec.deploy()
        assert ec.wait_started(timeout=30.0)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert "Error" not in worker.text()
    assert "Traceback" not in worker.text()
