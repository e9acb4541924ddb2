"""When a process counts as STARTED."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

import pytest
from tests.net import free_port

from nepiq.controller.errors import Cancelled, HostError, StartTimeout
from nepiq.controller.model.host import Launch

from .rig import Rig, until

LISTEN = """
import socket, sys, time
time.sleep(0.2)
server = socket.socket(getattr(socket, sys.argv[1]))
server.bind((sys.argv[2], int(sys.argv[3])))
server.listen()
time.sleep(60)
"""


def cut_off(rig: Rig, command: str, started_when: str) -> None:
    """Launch it, and have the session end that once the command runs."""
    cancel = threading.Event()

    def give_up() -> None:
        until((rig.run_dir(5) / ".group").exists)
        cancel.set()

    thread = threading.Thread(target=give_up)
    thread.start()
    with pytest.raises(Cancelled):
        rig.host(5, cancel=cancel).supervise(command, started_when=started_when)
    thread.join()


@pytest.mark.parametrize(("family", "address"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_port(rig: Rig, family: str, address: str) -> None:
    port = free_port()
    rig.host(5).write("listen.py", LISTEN.encode())
    launch = rig.host(5).supervise(
        f"exec '{sys.executable}' listen.py {family} {address} {port}", started_when=f"port:{port}"
    )
    assert launch.exit is None
    socket.create_connection((address, port), timeout=1).close()


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output(rig: Rig, stream: str) -> None:
    launch = rig.host(5).supervise(
        f"echo not yet; sleep 0.2; echo 'is ready, 42' >&{stream}; exec sleep 60",
        started_when="output:^is (ready|up), [0-9]+$",
    )
    assert launch.exit is None
    text = (rig.run_dir(5) / {"1": "stdout", "2": "stderr"}[stream]).read_text()
    assert "ready" in text


def test_file(rig: Rig) -> None:
    for guid, path in ((5, "a file"), (6, str(rig.home / "absolute")), (7, "-x")):
        launch = rig.host(guid).supervise(
            f"sleep 0.1; touch -- '{path}'; exec sleep 60", started_when=f"file:{path}"
        )
        assert launch.exit is None
        assert (rig.run_dir(guid) / path).exists()


def test_our_own_files_are_no_sign(rig: Rig) -> None:
    with pytest.raises(StartTimeout):
        rig.host(5).supervise("exec sleep 60", started_when="file:started", start_timeout=0.2)


def test_age_counts_from_serving(rig: Rig) -> None:
    how = {"started_when": "output:up"}
    first = rig.host(5).supervise("sleep 0.5; echo up; exec sleep 60", **how)  # type: ignore[arg-type]
    time.sleep(0.2)  # by this its age grows
    second = rig.host(5).supervise("", **how)  # type: ignore[arg-type]
    plain = rig.host(5).supervise("")
    assert first.age < second.age >= 0.19  # hundredths, as floats
    assert second.adopted
    assert plain.age - second.age > 0.4


def test_not_in_time(rig: Rig) -> None:
    with pytest.raises(StartTimeout, match=r"app-5: not 'output:up' within 0.3 s: starting"):
        rig.host(5).supervise(
            "echo starting >&2; sleep 60 & wait", started_when="output:up", start_timeout=0.3
        )
    assert rig.bearers() == {}
    assert [line[5] for line in rig.journal()] == ["OVERDUE"]
    with pytest.raises(StartTimeout):
        rig.host(5).supervise("echo up", started_when="output:up")
    ended = rig.host(5).supervise
    with pytest.raises(StartTimeout):
        ended("echo up")


@pytest.mark.parametrize(("code", "outcome"), [(0, "FINISHED"), (3, "FAILED")])
def test_an_end_before_it_serves_counts_as_the_end(rig: Rig, code: int, outcome: str) -> None:
    launch = rig.host(5).supervise(f"sleep 0.1; exit {code}", started_when="port:1")
    assert launch.exit is not None
    assert (launch.exit.code, launch.exit.outcome) == (code, outcome)


def test_adopters_wait_for_it_too(rig: Rig) -> None:
    """The first attempt is cut off; the moment it serves is still noted when it does."""
    command = "sleep 0.5; echo up; exec sleep 60"
    cut_off(rig, command, "output:up")
    launches: list[Launch] = []
    threads = [
        threading.Thread(
            target=lambda: launches.append(
                rig.host(5, token=2_000_000_000_000_000).supervise("", started_when="output:up")
            )
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [launch.adopted for launch in launches] == [True] * 3
    assert (rig.run_dir(5) / "stdout").read_text() == "up\n"


def test_noted_while_nobody_asks(rig: Rig) -> None:
    cut_off(rig, "sleep 0.3; echo up; exec sleep 60", "output:up")
    until((rig.run_dir(5) / ".serving").exists)
    time.sleep(0.3)  # by this its age grows
    assert rig.host(5).supervise("", started_when="output:up").age >= 0.29  # a clock of hundredths


def test_cancelled_while_waiting(rig: Rig) -> None:
    cut_off(rig, "exec sleep 60", "port:1")
    assert len(rig.supervisors()) == 1


def test_supervisor_killed_while_waiting(rig: Rig) -> None:
    errors: list[HostError] = []

    def launch() -> None:
        try:
            rig.host(5).supervise("exec sleep 60", started_when="port:1")
        except HostError as error:
            errors.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    until((rig.run_dir(5) / ".group").exists)
    os.kill(rig.supervisors()[0], signal.SIGKILL)
    thread.join(5)
    assert len(errors) == 1
    launched = rig.host(5).supervise("exec sleep 60", started_when="port:1")
    assert launched.exit is not None
    assert launched.exit.code is None


def test_ended_while_waiting(rig: Rig) -> None:
    timer = threading.Timer(0.2, lambda: rig.host(5).end())
    timer.start()
    launch = rig.host(5).supervise("exec sleep 60", started_when="port:1")
    timer.join()
    assert launch.exit is not None
    assert launch.exit.outcome == "STOPPED"
