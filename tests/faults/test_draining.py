"""Workers that are asked to end, or lose Redis: what they hold goes on, nothing twice."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, Worker, until

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


def user_of(stand: Stand, folder: Path) -> Installation:
    return stand.owned(Installation(folder / "user", **stand.environment))


def begin(
    stand: Stand, ec: ExperimentController, first: str = "sleep 3"
) -> tuple[list[int], int, int]:
    """Applications in ten seconds' time, one that is being started now, and a long one."""
    node = ec.register_resource("linux::Node", label="node")
    tally = stand.home / "tally"

    def app(label: str, command: str, **more: object) -> int:
        text = f"echo {label} >> {tally}; {command}"
        return ec.register_resource(
            "linux::Application", label=label, command=text, connectedTo=node, **more
        )

    long = app("long", "sleep 300")
    slow = app("slow", f"{first}; echo up; sleep 300", startedWhen="output:up")
    later = [app(f"later-{n}", "true") for n in range(6)]
    for guid in later:
        ec.register_condition(guid, "START", long, "STARTED", "6s")
    ec.deploy()
    assert ec.wait_started(long, "30s")
    until(lambda: tally.exists() and "slow" in tally.read_text(), 10.0, "slow did not begin")
    return later, slow, long


def went_well(stand: Stand, ec: ExperimentController, later: list[int], slow: int) -> None:
    assert ec.wait_started(slow, "30s")
    assert ec.wait_finished(later, "30s")
    assert {ec.state(guid) for guid in later} == {ResourceState.FINISHED}
    names = (stand.home / "tally").read_text().split()
    assert sorted(names) == sorted({"long", "slow", *(f"later-{n}" for n in range(6))})
    events = list(stand.backend().run(ec.run_id).events())
    assert [event for event in events if event.what == "lost"] == []


def follower(stand: Stand, run_id: str) -> str:
    """Which worker follows the journal of the run's node; empty if none."""
    store = stand.backend().run(run_id).store
    told = store.redis.hget(store.keys.of("journal"), 1) or b""
    live = [end for end in store.watches().values() if end > store.now()]
    return told.decode() if live else ""


@pytest.mark.parametrize("how", ["drain", "SIGTERM"])
def test_what_it_holds_goes_to_another(tmp_path: Path, how: str) -> None:
    with Stand(tmp_path) as stand:
        first = stand.start_worker("first")
        with stand.experiment() as ec:
            later, slow, _ = begin(stand, ec)
            assert '"first@here ' in follower(stand, ec.run_id)
            stand.start_worker("second")
            if how == "drain":
                done = user_of(stand, tmp_path).nepiq("drain", "first")
                assert (done.code, done.out) == (0, "")
                assert "first@here: has ended" in done.err
            else:
                first.signal(signal.SIGTERM)
            assert first.ended(20.0) == 0
            names = [info.name for info in stand.backend().workers()]
            assert names == ["second@here"]
            until(lambda: '"second@here ' in follower(stand, ec.run_id), 20.0, "nobody follows")
            went_well(stand, ec, later, slow)


def test_running_steps_are_handed_over_when_their_time_is_up(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        first = stand.start_worker("first")
        with stand.experiment() as ec:
            gate = tmp_path / "gate"
            later, slow, _ = begin(stand, ec, f"while [ ! -e {gate} ]; do sleep 0.1; done")
            stand.start_worker("second")
            done = user_of(stand, tmp_path).nepiq("drain", "first", "--timeout", "100ms")
            gate.touch()
            assert done.code == 0, done.err
            assert first.ended(10.0) == 0
            assert "requeueing 1 running steps" in first.text()
            went_well(stand, ec, later, slow)
            assert stand.backend().run(ec.run_id).store.step(f"{slow}.start").lost == 0


def test_what_is_bound_to_its_machine_keeps_it(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        first = stand.start_worker("first")
        user = user_of(stand, tmp_path)
        with stand.experiment("bound") as ec:
            ec.register_resource("linux::Node", label="laptop")
            ec.deploy()
            assert ec.wait_deployed(timeout="30s")
            done = user.nepiq("drain", "here")
            assert done.code == 2
            assert f"laptop of bound (run {ec.run_id})" in done.complaint
            assert first.process.poll() is None
        assert user.nepiq("drain", "nobody").code == 2
        assert user.nepiq("drain", "here").code == 0
        assert first.ended(10.0) == 0


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files of a worker."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


class Crowd:
    """Applications that begin once a file is there: more of them than a worker has threads."""

    COUNT = 16

    def __init__(self, ec: ExperimentController, folder: Path) -> None:
        self._ec = ec
        self._gate, self._tally = folder / "gate", folder / "tally"
        node = ec.register_resource("linux::Node")
        text = f"while [ ! -e {self._gate} ]; do sleep 0.1; done; echo >> {self._tally}; "
        self._guids = [
            ec.register_resource(
                "linux::Application",
                command=f"{text} echo up; sleep 300",
                startedWhen="output:up",
                connectedTo=node,
            )
            for _ in range(self.COUNT)
        ]

    def deploy(self, worker: Worker) -> None:
        """Deploy them, until messages wait in the worker."""
        self._ec.deploy()
        until(lambda: waiting(worker) >= 3, 20.0, "no message waits")

    def begin(self) -> None:
        """Let them begin: each does once."""
        self._gate.touch()
        assert self._ec.wait_started(self._guids, "60s")
        assert self._tally.read_text() == "\n" * self.COUNT


def test_what_waits_while_redis_restarts_is_sent_again(tmp_path: Path, temporary: Path) -> None:
    with Stand(tmp_path) as stand:
        worker = stand.start_worker("first", threads=2, TMPDIR=str(temporary))
        with stand.experiment() as ec:
            crowd = Crowd(ec, tmp_path)
            crowd.deploy(worker)
            stand.stop_redis()
            until(lambda: "Connection to broker lost" in worker.text(), 20.0, "it is not noticed")
            stand.start_redis()
            crowd.begin()
        assert worker.process.poll() is None
        # kombu writes messages that it cannot return to files, which nobody reads.
        assert list(temporary.iterdir()) == []


def test_a_worker_ends_without_redis(tmp_path: Path, temporary: Path) -> None:
    """It returns no message, and another worker gets each of them once Redis is back."""
    with Stand(tmp_path) as stand:
        worker = stand.start_worker(
            "first", threads=2, TMPDIR=str(temporary), NEPIQ_DRAIN_TIMEOUT="1"
        )
        with stand.experiment() as ec:
            crowd = Crowd(ec, tmp_path)
            crowd.deploy(worker)
            stand.stop_redis()
            worker.signal(signal.SIGTERM)
            assert worker.ended(30.0) == 0
            assert "cannot return messages" in worker.text()
            assert list(temporary.iterdir()) == []
            stand.start_redis()
            stand.start_worker("second")
            crowd.begin()


def waiting(worker: Worker) -> int:
    """How many messages of starts it has that have not ended; more than threads: they wait."""
    return len(re.findall(r"Task nepiq.start\[\S+ received", worker.text())) - len(
        re.findall(r"Task nepiq.start\[\S+ succeeded", worker.text())
    )
