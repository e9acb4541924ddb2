"""Redis loses its data in mid-run: scripts learn it, and workers end what runs left on hosts."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.installation import Installation
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Stand, bearers, until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController
from nepiq.controller.errors import RunLost

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]

# A process that ignores TERM, one that left its process group, and one that does as it is told.
STUBBORN = "setsid sleep 3001 & (trap '' TERM; exec sleep 3002) & exec sleep 3003"
LEARNS = 2.0
"""Seconds within which a client learns that its run is gone."""


def flush(stand: Stand) -> None:
    stand.backend().redis.flushall()


def restart_without_file(stand: Stand) -> None:
    stand.stop_redis(signal.SIGKILL)
    shutil.rmtree(stand.socket.parent / "appendonlydir")
    stand.start_redis()


def sleeper(ec: ExperimentController, node: int, command: str = "sleep 3000") -> int:
    return ec.register_resource(APPLICATION, command=command, connectedTo=node)


@pytest.mark.parametrize("empty", [flush, restart_without_file])
def test_hosts_are_cleaned_of_a_run_that_redis_lost(
    testbed: Testbed, tmp_path: Path, empty: Callable[[Stand], None]
) -> None:
    with Lab(tmp_path, testbed) as lab:
        lab.start_workers(2)
        stand = lab.stand
        ec = stand.experiment("lost", quiet=True)
        nodes = lab.nodes(ec, testbed.hosts[:2])
        here = ec.register_resource("linux::Node", label="here")
        apps = [sleeper(ec, node, STUBBORN) for node in (*nodes, here)]
        ec.deploy()
        assert ec.wait_started(apps, "60s")
        run_id = ec.detach()
        empty(stand)
        with pytest.raises(RunLost) as caught:
            ec.wait_finished(timeout="60s")
        assert "emptied" in str(caught.value)
        for host in testbed.hosts[:2]:
            until(lambda host=host: not host.bearers(run_id), 60.0, f"{host.name} has some left")  # type: ignore[misc]
            kept = host.root / "lab" / ".nepiq" / run_id
            until(lambda kept=kept: not kept.exists(), 10.0, "its directory is left")  # type: ignore[misc]
        until(lambda: not bearers(run_id), 60.0, "this machine has some left")
        until(lambda: not (stand.home / ".nepiq" / run_id).exists(), 10.0, "a directory is left")
        ec.close()


def test_a_waiting_script_learns_it_at_once(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        ec = stand.experiment("learns", quiet=True)
        one = ec.register_resource("nepiq::Null")
        ec.deploy()
        assert ec.wait_started(one, "30s")
        ec.detach()
        waiting = stand.script(
            "import sys, time\n"
            "from nepiq.controller import ExperimentController\n"
            f"ec = ExperimentController.attach({ec.run_id!r})\n"
            "print('waits', flush=True)\n"
            "try:\n"
            "    ec.wait_finished()\n"
            "finally:\n"
            "    print(time.time(), flush=True)\n"
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        # It has to be in its blocked read: nothing else of it is a client that waits.
        redis = stand.backend().redis
        until(
            lambda: any(client["cmd"] == "xread" for client in redis.client_list()),
            10.0,
            "the script does not wait",
        )
        flushed = time.time()
        flush(stand)
        out, err = waiting.communicate(timeout=60.0)
        assert "RunLost" in err
        assert float(out) - flushed < LEARNS
        ec.close()


@pytest.mark.parametrize("call", ["state", "records", "deploy", "find", "release", "trace"])
def test_any_call_says_so(tmp_path: Path, call: str) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        ec = stand.experiment("calls", quiet=True)
        node = ec.register_resource("linux::Node")
        one = sleeper(ec, node, "echo 1")
        ec.deploy()
        assert ec.wait_finished(one, "30s")
        ec.detach()
        flush(stand)
        more = ec.register_resource("nepiq::Null") if call == "deploy" else 0
        calls: dict[str, Callable[[], object]] = {
            "state": lambda: ec.state(one),
            "records": lambda: ec.failures,
            "deploy": lambda: ec.deploy(more),
            "find": lambda: ec.find("nobody"),
            "release": ec.release,
            "trace": lambda: ec.trace(one, "stdout"),
        }
        with pytest.raises(RunLost):
            calls[call]()
        ec.close()


def test_a_mere_restart_ends_nothing(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        with stand.experiment("kept") as ec:
            app = sleeper(ec, ec.register_resource("linux::Node"))
            ec.deploy()
            assert ec.wait_started(app, "30s")
            aside = tmp_path / "aside"
            data = stand.socket.parent / "appendonlydir"
            # Empty for a moment, since somebody put its file aside; then it is back.
            stand.stop_redis()
            shutil.move(data, aside)
            stand.start_redis()
            redis = stand.backend().redis
            until(lambda: redis.exists("nepiq:dataset"), 30.0, "no worker has seen it empty")
            stand.stop_redis()
            shutil.rmtree(data)
            shutil.move(aside, data)
            stand.start_redis()
            again = ec.register_resource("nepiq::Null")
            ec.register_condition(again, "START", app, "STARTED", "12s")
            ec.deploy(again)
            # Longer than the grace: the step is carried out by the same worker, which looked.
            assert ec.wait_started(again, "60s")
            assert ec.state(app, hr=True) == "STARTED"
            assert bearers(ec.run_id)


def test_a_run_that_was_forgotten_is_no_loss(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        ec = stand.experiment("forgotten")
        app = sleeper(ec, ec.register_resource("linux::Node"), "echo 1")
        ec.deploy()
        assert ec.wait_finished(app, "30s")
        kept = stand.home / ".nepiq" / ec.run_id
        run_id = ec.run_id
        ec.shutdown()
        stand.backend().forget(run_id)
        with stand.experiment("next") as after:
            one = after.register_resource("nepiq::Null")
            two = after.register_resource("nepiq::Null")
            after.register_condition(two, "START", one, "STARTED", "12s")
            after.deploy()
            assert after.wait_started(two, "60s")
        assert kept.exists()


def test_what_no_worker_knows_the_doctor_names(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path, testbed) as lab:
        (worker,) = lab.start_workers(1)
        stand, host = lab.stand, lab.host
        ec = stand.experiment("lost", quiet=True)
        app = sleeper(ec, lab.nodes(ec, [host])[0])
        ec.deploy()
        assert ec.wait_started(app, "60s")
        run_id = ec.detach()
        ec.close()
        worker.signal(signal.SIGKILL)
        worker.ended()
        flush(stand)
        lab.start_workers(1)
        user = Installation(tmp_path / "user", **stand.environment)
        told = user.nepiq("doctor")
        assert told.code == 3
        (line,) = [line for line in told.out.splitlines() if run_id in line]
        assert line.startswith("!!")
        assert f"nepiq clean {host.name}" in line
        assert host.bearers(run_id)
        assert user.nepiq("clean", host.name, "--yes").code == 0
        assert not host.bearers(run_id)
        assert run_id not in user.nepiq("doctor").out
        user.close()
