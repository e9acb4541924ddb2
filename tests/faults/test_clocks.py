"""Workers whose clocks are wrong, and others of another protocol."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, until

from nepiq.controller import ExperimentController
from nepiq.controller.engine import WorkerInfo
from nepiq.controller.engine.protocol import PROTOCOL
from nepiq.controller.engine.store import keys
from nepiq.controller.errors import ProtocolMismatch
from nepiq.workers.runtime.context import Runtime

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

OFFSET = 1.5
needs_faketime = pytest.mark.needs("faketime")


def clock(folder: Path, ahead: str) -> dict[str, str]:
    """Environment of a worker whose clock is wrong, as long as the file in ``folder`` says so."""
    library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    (folder / "clock").write_text(ahead)
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NEPIQ_IMPORTS": "tests.faults.faked",
    }


def info(stand: Stand, name: str) -> WorkerInfo:
    return next(found for found in stand.backend().workers() if found.name == f"{name}@here")


def delayed(stand: Stand, ec: ExperimentController) -> float:
    """Run something that starts after a delay; the seconds from its cause to its start."""
    node = ec.register_resource("linux::Node")
    first, second = (
        ec.register_resource("linux::Application", command=command, connectedTo=node)
        for command in ("sleep 300", "true")
    )
    ec.register_condition(second, "START", first, "STARTED", f"{OFFSET}s")
    ec.deploy()
    assert ec.wait_finished(second, "30s")
    began, started = (stand.milestone(ec, guid, "STARTED") for guid in (first, second))
    return started - began


@needs_faketime
@pytest.mark.parametrize("ahead", ["+2s", "-2s"])
def test_two_seconds_make_nothing_early(tmp_path: Path, ahead: str) -> None:
    with Stand(tmp_path) as stand:
        worker = stand.start_worker("wrong", **clock(tmp_path, ahead))
        assert "the clock of this machine is 2.0" in worker.text()
        assert abs(info(stand, "wrong").ahead - float(ahead[:-1])) < 0.2
        with stand.experiment() as ec:
            took = delayed(stand, ec)
            # A message that comes late for the clock is sent again after two seconds.
            assert OFFSET - 0.01 <= took < OFFSET + 5.0


@needs_faketime
def test_a_clock_that_is_six_seconds_wrong_is_refused(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        worker = stand.start_worker("wrong", wait=False, **clock(tmp_path, "+6s"))
        assert worker.ended() == 3
        assert "6.00 s ahead of that of Redis" in worker.text()
        assert "chrony" in worker.text()
        assert stand.backend().workers() == []


@needs_faketime
def test_a_clock_that_goes_wrong_stops_the_worker_from_taking_steps(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        worker = stand.start_worker("wrong", **clock(tmp_path, "+0s"))
        (tmp_path / "clock").write_text("+8s")
        until(lambda: info(stand, "wrong").paused, 15.0, "it does not see its clock")
        until(lambda: "Canceling queue nepiq\n" in worker.text(), 20.0, "it consumes")
        told = stand.owned(Installation(tmp_path / "user", **stand.environment)).nepiq("doctor")
        assert told.code == 3
        assert "wrong@here" in told.out
        assert "8 s ahead of Redis" in told.out
        with stand.experiment() as ec:
            stand.pretend_worker()
            ec.register_resource("nepiq::Null", label="null")
            ec.deploy()
            (tmp_path / "clock").write_text("+0s")
            assert ec.wait_started(timeout="30s")
        assert not info(stand, "wrong").paused


def pretend(stand: Stand, name: str, protocol: int) -> None:
    """Leave the traces of somebody who speaks another protocol."""
    redis = stand.backend().redis
    told = {"machine": "there", "queues": ["nepiq"], "pid": 0, "version": "9", "protocol": protocol}
    redis.hset(keys.WORKERS, name, json.dumps(told))
    redis.zadd(keys.BEATS, {name: time.time()})
    redis.set(keys.protocol("main"), protocol)


def test_others_speak_another_protocol(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        pretend(stand, "newer@there", PROTOCOL + 1)
        worker = stand.start_worker("old", wait=False)
        with pytest.raises(ProtocolMismatch, match=r"newer@there.*upgrade nepiq"):
            stand.backend().create_run("refused")
        assert worker.ended() == 3
        assert f"protocol {PROTOCOL + 1}" in worker.text()
        # Once they have gone, and none of their runs is active, ours is spoken.
        redis = stand.backend().redis
        redis.sadd(keys.active("main"), "20260101000000000000")
        redis.zadd(keys.BEATS, {"newer@there": time.time() - 60})
        with pytest.raises(ProtocolMismatch, match="1 active run protocol"):
            stand.backend().agree()
        redis.delete(keys.active("main"))
        stand.backend().agree()
        assert int(redis.get(keys.protocol("main")) or 0) == PROTOCOL


def test_of_two_that_come_in_the_same_instant_one_is_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither has given a sign of life yet when the other one joins."""
    with Stand(tmp_path) as stand:
        first, second = (Runtime(stand.settings, f"{name}@here", []) for name in ("one", "two"))
        try:
            first.join()
            monkeypatch.setattr("nepiq.controller.engine.protocol.PROTOCOL", PROTOCOL + 1)
            with pytest.raises(ProtocolMismatch, match=rf"\(one@here\) protocol {PROTOCOL}"):
                second.join()
        finally:
            first.close()
            second.close()
