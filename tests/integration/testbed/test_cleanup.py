"""A test bed leaves nothing, however it ends, and two do not meet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Need
from tests.integration.testbed.reach import connects
from tests.stand import until
from tests.testbed import Testbed, TestbedFailed, missing
from tests.testbed.claim import STATE, bearers

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def possible(need: Need) -> None:
    need("hosts made by namespaces", not missing(), f"needs {missing()}")


def left(mark: str) -> list[str]:
    """What is there of a bed: processes, its interface, its file, mounts of its folder."""
    link, mounts = f"nepiq{mark.partition('.')[0]}", Path("/proc/self/mounts").read_text()
    state = STATE / f"{mark.partition('.')[0]}.json"
    found = [f"process {pid}" for pid in bearers(mark)]
    # The kernel gives the number of an ended bed to the next one: only our own file counts.
    if state.exists() and mark in state.read_text():
        found += [str(state)]
        found += [link] if Path(f"/sys/class/net/{link}").exists() else []
    return found + [line for line in mounts.splitlines() if "nepiq-testbed" in line]


def test_close_leaves_nothing() -> None:
    with Testbed(hosts=1, private=1) as bed:
        mark, folder = bed.mark, bed.known_hosts.parent
        assert len(bearers(mark)) > 3
        bed.hosts[0].run("setsid sleep 1000 >/dev/null 2>&1 &")
    assert left(mark) == []
    assert not folder.exists()
    bed.close()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(kind: type[BaseException]) -> None:
    bed = Testbed(hosts=1)
    with pytest.raises(kind), bed:
        raise kind
    assert left(bed.mark) == []


def test_a_host_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    bed = Testbed(hosts=2, folder=tmp_path, sshd_of={"host-2": {"NoSuchOption": "1"}})
    with pytest.raises(TestbedFailed, match=r"host-2 .*NoSuchOption"), bed:
        pass
    assert left(bed.mark) == []


def test_two_beds_at_once() -> None:
    with Testbed(hosts=1) as one, Testbed(hosts=1) as two:
        assert one.hosts[0].address != two.hosts[0].address
        assert connects(one.hosts[0].address)
        assert connects(two.hosts[0].address)


def claims() -> Iterator[dict[str, Any]]:
    """What is on record of all test beds; those of other tests may go meanwhile."""
    for path in STATE.glob("*.json"):
        with suppress(FileNotFoundError):
            yield json.loads(path.read_text())


@contextmanager
def developer() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """``python -m tests.testbed`` as soon as it has told all, and what is on record of it."""
    command = [sys.executable, "-m", "tests.testbed", "--hosts", "1", "--private", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            text = ""
            while "until ctrl-C" not in text:
                line = process.stdout.readline()
                assert line, text
                text += line
            assert "ssh -F /" in text
            assert 'ec.register_resource("linux::Node", hostname="10.' in text
            here = str(Path("/proc/self/ns/pid").readlink())
            owner = (here, process.pid)
            (state,) = [one for one in claims() if (one["namespace"], one["pid"]) == owner]
            assert Path(state["folder"]).is_dir()
            yield process, state
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_developers_bed(number: int) -> None:
    with developer() as (process, state):
        process.send_signal(number)
        assert process.wait(20.0) == 0
        assert left(state["mark"]) == []


def test_kill_9_is_cleared_by_the_next_bed() -> None:
    with developer() as (process, state):
        process.kill()
        process.wait()
        until(lambda: not bearers(state["mark"]), 20.0, "hosts outlived the process that made them")
    with Testbed(hosts=1):
        assert left(state["mark"]) == []
        assert not Path(state["folder"]).exists()


def test_a_held_host_of_a_dead_process_is_cleared_too() -> None:
    with developer() as (process, state):
        held = bearers(state["mark"])
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        process.wait()
    assert bearers(state["mark"])
    with Testbed(hosts=1):
        until(lambda: not bearers(state["mark"]), 20.0, "held hosts were not killed")
        assert left(state["mark"]) == []
