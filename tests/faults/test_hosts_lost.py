"""Links that are cut, hosts that reboot, sshd that falls silent: what runs there is not lost."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]

CUT = 30.0
SEEN = 12.0
"""Seconds within which all is seen once a host is back: a watch tries every 5 s at most, and TCP
repeats the first packet of a connection after 1, 3 and 7 s."""
REPEATED = ["READY", "STARTED", "FINISHED"]


def drop_logins(host: Host) -> None:
    """End the processes that serve connections with a host's sshd."""
    for process in host.processes():
        if process.args.startswith("sshd: lab"):
            host.run(f"kill -9 {process.pid} 2>/dev/null || true", user="root")


def power_cycle(host: Host) -> None:
    """Crash and boot a host so that nobody is told, not even by a closed connection."""
    host.cut()
    host.crash()
    host.boot()
    host.mend()


@contextlib.contextmanager
def trouble(lab: Lab) -> Iterator[None]:
    """Cut two hosts off, and have the sshd of a third end its connections and fall silent."""
    first, second, third, _ = lab.bed.hosts
    first.cut()
    second.cut()
    third.silence()
    drop_logins(third)
    end = time.monotonic() + CUT
    try:
        yield
        until(lambda: time.monotonic() > end, CUT, "the time passed")
    finally:
        first.mend()
        second.mend()
        third.unsilence()


class Course:
    """What goes on in one run on the first, third and fourth host while the first are in trouble.

    ``gate`` opens the starts that come while they are; ``clock`` tells what the fourth host,
    which nothing happens to, does meanwhile.
    """

    def __init__(self, lab: Lab, ec: ExperimentController) -> None:
        self.lab, self.ec = lab, ec
        first, _, third, fourth = lab.bed.hosts
        # As many steps as could occupy all threads of both workers, if they waited in these.
        cut, silent = lab.nodes(ec, [first, third], maxSteps=40)
        (quiet,) = lab.nodes(ec, [fourth])
        self.longer = [self.app(f"sleep {CUT + 5}; echo through", node) for node in (cut, silent)]
        self.during = [
            self.app(f"sleep {3 + code}; echo {code}; exit {code}", node, okExitCodes="any")
            for node in (cut, silent)
            for code in range(4)
        ]
        self.gate = self.app("sleep 2", quiet)
        self.begun = [
            self.after(f"echo once >>count; sleep {number % 2}", node)
            for node in (cut, silent)
            for number in range(40)
        ]
        self.clock = [self.after("true", quiet, delay=number) for number in range(int(CUT) - 5)]

    def app(self, command: str, node: int, **how: str) -> int:
        return self.ec.register_resource(APPLICATION, command=command, connectedTo=node, **how)

    def after(self, command: str, node: int, delay: float = 0.0) -> int:
        guid = self.app(command, node)
        self.ec.register_condition(
            guid, ResourceAction.START, self.gate, ResourceState.FINISHED, delay
        )
        return guid

    def late(self) -> list[float]:
        """Seconds by which the starts on the fourth host were late."""
        opened = self.lab.stand.milestone(self.ec, self.gate, "FINISHED")
        started = [self.lab.stand.milestone(self.ec, guid, "STARTED") for guid in self.clock]
        return [at - opened - delay for delay, at in enumerate(started)]


def test_cut_for_30_s(lab: Lab) -> None:
    with lab.stand.experiment("cut") as ec, lab.stand.experiment("released") as other:
        course = Course(lab, ec)
        (node,) = lab.nodes(other, lab.bed.hosts[1:2])
        sleepers = [
            other.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
            for _ in range(5)
        ]
        ec.deploy()
        other.deploy()
        assert ec.wait_started([*course.longer, *course.during], timeout=30.0)
        assert other.wait_started(sleepers, timeout=30.0)
        release = threading.Thread(target=other.release)
        with trouble(lab):
            release.start()
            assert ec.wait_finished(course.clock, timeout=CUT)
            assert {ec.state(guid) for guid in course.longer} == {ResourceState.STARTED}
            assert {ec.state(guid) for guid in course.begun} == {ResourceState.READY}
            assert release.is_alive()
        mended = time.monotonic()
        assert ec.wait_started(course.begun, timeout=SEEN)
        started = time.monotonic() - mended
        assert ec.wait_finished(course.during, timeout=SEEN)
        seen = time.monotonic() - mended
        release.join(SEEN + 10.0)
        released = time.monotonic() - mended
        assert not release.is_alive()
        assert ec.wait_finished(timeout=30.0)
        late = course.late()
        print(
            f"\nafter the cut: ends seen within {seen:.1f} s, starts {started:.1f} s, release "
            f"{released:.1f} s; an untouched host was {max(late) * 1e3:.0f} ms late at most"
        )
        # 81 starts are due together; one that waited for a host that is cut off would be 15 s late.
        assert max(late) < 15.0
        guids = [*course.longer, *course.during, *course.begun]
        assert lab.history(ec.run_id, guids) == dict.fromkeys(guids, REPEATED)
        assert [ec.get(guid, "exitCode") for guid in course.during] == [0, 1, 2, 3] * 2
        assert [ec.trace(guid, "stdout") for guid in course.longer] == ["through\n"] * 2
        assert {ec.trace(guid, "count") for guid in course.begun} == {"once\n"}
        ec.release()
        assert ec.failures == other.failures == []
        lab.expect_nothing(ec.run_id)
        lab.expect_nothing(other.run_id)


def test_power_failure(lab: Lab) -> None:
    host, other = lab.bed.hosts[:2]
    with lab.stand.experiment("reboot") as ec:
        node, quiet = lab.nodes(ec, [host, other])

        def app(command: str, on: int = node) -> int:
            return ec.register_resource(
                APPLICATION, command=command, connectedTo=on, critical=False
            )

        done, failed = app("echo done"), app("exit 3")
        running = [app("sleep 300") for _ in range(5)]
        elsewhere = app("sleep 300", quiet)
        gate = app("sleep 2", quiet)
        later = [app("echo later") for _ in range(5)]
        for guid in later:
            ec.register_condition(guid, ResourceAction.START, gate, ResourceState.FINISHED)
        ec.deploy()
        assert ec.wait_finished([done, failed], timeout=30.0)
        assert ec.wait_started([*running, elsewhere], timeout=30.0)
        power_cycle(host)
        back = time.monotonic()
        assert ec.wait_finished(running, timeout=SEEN)
        print(f"\nseen within {time.monotonic() - back:.1f} s")
        assert ec.wait_finished(later, timeout=30.0)
        assert ec.state(elsewhere) is ResourceState.STARTED
        assert ec.state(done) is ResourceState.FINISHED
        assert all(ec.state(guid) is ResourceState.FINISHED for guid in later)
        why = {failure.guid: failure.message for failure in ec.failures}
        assert why == {failed: "exited with 3"} | dict.fromkeys(
            running, "the host was rebooted while it ran"
        )
        ec.release()
        lab.expect_nothing(ec.run_id)


def test_the_next_run_after_a_power_failure(testbed: Testbed, tmp_path: Path) -> None:
    (host,) = testbed.hosts[:1]
    with Lab(tmp_path, testbed) as lab:
        lab.start_workers(1)  # it still holds what it takes for a connection
        for failed in (False, True):
            if failed:
                power_cycle(host)
            with lab.stand.experiment("next") as ec:
                (node,) = lab.nodes(ec, [host])
                app = ec.register_resource(APPLICATION, command="echo up", connectedTo=node)
                ec.deploy()
                assert ec.wait_finished(app, timeout=30.0), ec.failures
                assert ec.trace(app, "stdout") == "up\n"


@pytest.mark.soak
def test_a_host_that_stays_away(lab: Lab) -> None:
    lost, other = lab.bed.hosts[:2]
    with lab.stand.experiment("away") as ec:
        node, quiet = lab.nodes(ec, [lost, other])
        gone = ec.register_resource(
            APPLICATION, label="gone", command="sleep 300", connectedTo=node, critical=False
        )
        stays = ec.register_resource(APPLICATION, command="sleep 300", connectedTo=quiet)
        ec.deploy()
        assert ec.wait_started([gone, stays], timeout=30.0)
        lost.cut()
        began = time.monotonic()
        assert not ec.wait_finished(stays, timeout=100.0)  # the node is critical
        print(f"\ngiven up after {time.monotonic() - began:.0f} s")
        assert ec.state(stays) is ResourceState.STARTED
        failures = {failure.label: failure for failure in ec.failures}
        assert set(failures) == {"host-1", "gone"}
        assert all(
            failure.kind == "HostUnreachable"
            and failure.message.startswith("no reply from the host for 60 s: cannot reach")
            and "may still run" in failure.hint
            for failure in failures.values()
        )
        began = time.monotonic()
        ec.release()
        assert time.monotonic() - began < 10.0
        lab.expect_nothing(ec.run_id, other)
    lost.mend()
    assert lost.bearers(ec.run_id)  # as the hint says; and so does this:
    with lab.stand.experiment("away") as later:
        lab.nodes(later, [lost], cleanProcesses=True)
        later.deploy()
        assert later.wait_deployed(timeout=30.0), later.failures
        # Its watch goes once TCP on the host finds nobody at the other end, within minutes.
        assert not lost.bearers(ec.run_id)


def test_exits_that_no_worker_saw(testbed: Testbed, tmp_path: Path) -> None:
    host = testbed.hosts[0]
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("unseen") as ec:
        (node,) = lab.nodes(ec, [host])
        rounds = [
            [
                ec.register_resource(
                    APPLICATION,
                    command=f"sleep 1; echo {code}; exit {code}",
                    okExitCodes="any",
                    connectedTo=node,
                )
                for code in (0, 1, 7, 255)
            ]
            for _ in range(2)
        ]
        for number, apps in enumerate(rounds):
            (worker,) = lab.start_workers(1)
            ec.deploy([node, *apps] if number == 0 else apps)
            assert ec.wait_started(apps, timeout=30.0)
            worker.signal(signal.SIGKILL)
            worker.ended()
            until(lambda: not host.bearers(ec.run_id), 20.0, "the commands have not ended")
            assert {ec.state(guid) for guid in apps} == {ResourceState.STARTED}
        lab.start_workers(1)  # and reads on from where the first of them had come
        for apps in rounds:
            assert ec.wait_finished(apps, timeout=30.0)
            assert [ec.get(guid, "exitCode") for guid in apps] == [0, 1, 7, 255]
            assert lab.history(ec.run_id, apps) == dict.fromkeys(apps, REPEATED)
        ec.release()
        lab.expect_nothing(ec.run_id)


def test_hosts_behind_a_gateway_that_takes_its_time(testbed: Testbed, tmp_path: Path) -> None:
    assert testbed.gateway is not None
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("behind") as ec:
        lab.start_workers(1)
        nodes = lab.nodes(ec, testbed.private)
        testbed.gateway.silence()
        ec.deploy()
        run = lab.stand.backend().run(ec.run_id)
        until(
            lambda: any(event.what in {"again", "FAILED"} for event in run.events()),
            10.0,
            "both connect to the gateway",
        )
        testbed.gateway.unsilence()
        assert ec.wait_started(nodes, timeout=30.0), ec.failures


def test_a_deployment_makes_an_attempt_of_its_own(testbed: Testbed, tmp_path: Path) -> None:
    """That another run has just failed to connect says nothing about a host that is there again."""
    host = testbed.hosts[0]
    with Lab(tmp_path, testbed) as lab:
        lab.start_workers(1)  # it takes the steps of both
        with lab.stand.experiment("before") as before, lab.stand.experiment("after") as after:
            host.silence()
            (node,) = lab.nodes(before, [host], critical=False, connectTimeout="2s")
            before.deploy()
            before.wait_deployed(node, timeout=30.0)
            assert [failure.kind for failure in before.failures] == ["HostUnreachable"]
            host.unsilence()
            (node,) = lab.nodes(after, [host], connectTimeout="2s")
            after.deploy()
            assert after.wait_deployed(node, timeout=30.0), after.failures
