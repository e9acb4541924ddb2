"""Hosts over SSH while scripts, workers, links and hosts themselves fail."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.lab import Lab
from tests.stand import until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController, ResourceAction, ResourceState
from nepiq.controller.errors import HostUnreachable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts"),
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("every_host"),
]

#: Leaves a child in a session of its own, and one that ignores TERM.
STUBBORN = "setsid sleep 3001 & (trap '' TERM; exec sleep 3002) & echo up; exec sleep 3003"


@pytest.fixture
def lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    """Four hosts, a gateway and two hosts behind it, with two workers."""
    with Lab(tmp_path, testbed) as made:
        made.start_workers(2)
        yield made


def stubborn(ec: ExperimentController, lab: Lab, each: int = 2) -> tuple[list[int], list[int]]:
    """Nodes and running applications that are hard to end, on every host."""
    nodes = lab.nodes(ec, [*lab.bed.hosts, *lab.bed.private])
    apps = [
        ec.register_resource("linux::Application", command=STUBBORN, connectedTo=node)
        for node in nodes
        for _ in range(each)
    ]
    ec.deploy()
    assert ec.wait_started(apps, "60s"), ec.failures
    return nodes, apps


def everywhere(lab: Lab) -> tuple[object, ...]:
    return (*lab.bed.hosts, *lab.bed.private)


# --- nothing is left


def test_release_ends_everything(lab: Lab) -> None:
    ec = lab.stand.experiment()
    stubborn(ec, lab)
    ec.release()
    assert ec.failures == []
    lab.expect_nothing(ec.run_id, *everywhere(lab))  # type: ignore[arg-type]


def test_release_while_deploying(lab: Lab) -> None:
    for moment in (0.0, 0.05, 0.15, 0.3):
        ec = lab.stand.experiment()
        nodes = lab.nodes(ec, lab.bed.hosts)
        for node in nodes:
            ec.register_resource("linux::Application", command=STUBBORN, connectedTo=node)
        ec.deploy()
        time.sleep(moment)  # what is tested is a release at any moment
        ec.release()
        lab.expect_nothing(ec.run_id)


SCRIPT = """
import sys
from nepiq.controller import ExperimentController
ec = ExperimentController("script")
node = ec.register_resource("linux::Node", hostname="host-1")
apps = [ec.register_resource("linux::Application", connectedTo=node, command={command!r})
        for _ in range(3)]
ec.deploy()
assert ec.wait_started(apps)
print(ec.run_id, flush=True)
ec.wait_finished(apps)
"""


@pytest.mark.parametrize("dies", ["nobody", "script", "worker", "both"])
def test_who_dies(lab: Lab, dies: str) -> None:
    """Ctrl-C of a script, or ``kill -9`` of it, of the worker that started all, or of both."""
    with lab.stand.script(SCRIPT.format(command=STUBBORN)) as script:
        dies_and_leaves_nothing(lab, script, dies)


def dies_and_leaves_nothing(lab: Lab, script: subprocess.Popen[str], dies: str) -> None:
    assert script.stdout is not None
    run_id = script.stdout.readline().strip()
    assert run_id, script.communicate()
    assert lab.host.bearers(run_id)
    if dies in {"worker", "both"}:
        lab.stand.workers[0].signal(signal.SIGKILL)
    if dies in {"script", "both"}:
        script.send_signal(signal.SIGKILL)
        script.wait(10)
        ec = lab.stand.experiment_of(run_id)
        ec.release()
    else:
        script.send_signal(signal.SIGINT)
        assert script.wait(60) == -signal.SIGINT, script.communicate()
    lab.expect_nothing(run_id, lab.host)


def test_a_reboot_fails_what_ran(lab: Lab) -> None:
    host = lab.host
    ec = lab.stand.experiment()
    (node,) = lab.nodes(ec, [host])
    ran = [
        ec.register_resource(
            "linux::Application", command=STUBBORN, connectedTo=node, critical=False
        )
        for _ in range(3)
    ]
    ended = ec.register_resource("linux::Application", command="echo done", connectedTo=node)
    ec.deploy()
    assert ec.wait_started(ran, "30s")
    assert ec.wait_finished(ended, "30s")
    host.reboot()
    began = time.monotonic()
    ec.wait_finished(ran, "60s")
    assert time.monotonic() - began < 30

    assert all("rebooted" in str(failure) for failure in ec.failures), ec.failures
    assert len(ec.failures) == 3
    assert ec.state(ended) is ResourceState.FINISHED
    assert ec.trace(ended, "stdout") == "done\n"
    ec.release()
    lab.expect_nothing(ec.run_id)


# --- order over hosts


def test_order_and_offsets_over_four_hosts(lab: Lab) -> None:
    """Hosts of the bed share one clock, which the commands read."""
    rng = random.Random(20)
    command = "date +%s.%N; sleep {life}; date +%s.%N"
    ec = lab.stand.experiment()
    nodes = lab.nodes(ec, lab.bed.hosts)
    apps, edges = [], []
    for number in range(20):
        app = ec.register_resource(
            "linux::Application",
            command=command.format(life=rng.choice([0, 0.1, 0.3])),
            connectedTo=nodes[number % 4],
        )
        for target in rng.sample(range(number), min(number, 2)):
            state = rng.choice([ResourceState.STARTED, ResourceState.FINISHED])
            offset = rng.choice([0.0, 0.2, 0.5])
            ec.register_condition(app, ResourceAction.START, apps[target], state, f"{offset:g}s")
            edges.append((number, target, state, offset))
        apps.append(app)
    ec.deploy()
    assert ec.wait_finished(apps, "90s"), ec.failures
    times = [[float(line) for line in ec.trace(app, "stdout").split()] for app in apps]
    assert [len(pair) for pair in times] == [2] * 20
    late = []
    for waiter, target, state, offset in edges:
        # A command prints its first date some time after its start, its second before its end.
        since = times[target][1]
        if state is ResourceState.STARTED:
            since = lab.stand.milestone(ec, apps[target], "STARTED")
        late.append(times[waiter][0] - since - offset)
    early = min(late)
    print(f"earliest {early * 1000:.1f} ms, median {statistics.median(late) * 1000:.1f} ms late")
    assert early > -0.011  # hosts tell ages in hundredths
    ec.release()


# --- fairness


def test_a_crowded_host_slows_nobody(lab: Lab) -> None:
    crowd, other = lab.bed.hosts[:2]
    ec = lab.stand.experiment()
    nodes = lab.nodes(ec, [crowd, other])
    ec.deploy()
    assert ec.wait_deployed(nodes, "30s")
    many = [
        # Starts with a condition do not share a request, so that they wait for their turns.
        ec.register_resource(
            "linux::Application", command="sleep 1", connectedTo=nodes[0], startedWhen="file:stdout"
        )
        for _ in range(200)
    ]
    one = ec.register_resource(
        "linux::Application", command="date +%s.%N", connectedTo=nodes[1], label="one"
    )
    ec.register_condition(one, ResourceAction.START, many[0], ResourceState.STARTED)
    ec.deploy([*many, one])
    assert ec.wait_finished(one, "60s"), ec.failures
    begun = float(ec.trace(one, "stdout"))
    assert ec.wait_finished(many, "120s"), ec.failures
    started = [lab.stand.milestone(ec, app, "STARTED") for app in many]
    later = sum(moment > begun for moment in started)
    lateness = 1000 * (begun - started[0])
    print(f"started {lateness:.0f} ms after its condition, and before {later} of 200")
    # Loaded cores run hosts and workers: what is asserted is that it did not queue.
    assert later > 50
    ec.release()


def test_a_hundred_hosts_of_which_two_are_dead(tmp_path: Path) -> None:
    with Testbed(hosts=98) as bed, Lab(tmp_path, bed) as lab:
        lab.start_workers(2)
        took = {}
        for name, dead in (("98 hosts", False), ("with two dead ones", True)):
            ec = lab.stand.experiment()
            nodes = lab.nodes(ec, bed.hosts)
            apps = [
                ec.register_resource("linux::Application", command="echo up", connectedTo=node)
                for node in nodes
            ]
            lost = []
            if dead:
                address, port = bed.silent_port()
                for label, how in (
                    ("unreachable", {"hostname": bed.unreachable}),
                    ("silent", {"hostname": address, "port": port}),
                ):
                    node = ec.register_resource(
                        "linux::Node", label=label, critical=False, connectTimeout="5s", **how
                    )
                    lost.append(node)
                    ec.register_resource(
                        "linux::Application",
                        command="true",
                        connectedTo=node,
                        critical=False,
                    )
            began = time.monotonic()
            ec.deploy(wait_all_ready=False)
            assert ec.wait_finished(apps, "90s"), ec.failures
            took[name] = time.monotonic() - began
            if dead:
                ec.wait_deployed(lost, "30s")
                told = {failure.label: str(failure) for failure in ec.failures}
                assert "no answer within 5 s" in told["unreachable"]
                assert "no SSH greeting within 5 s" in told["silent"]
                assert time.monotonic() - began < max(20.0, took[name] + 10)
            ec.release()
        print(", ".join(f"{name}: {seconds:.2f} s" for name, seconds in took.items()))
        assert took["with two dead ones"] < 2 * took["98 hosts"] + 2


# --- bytes


def test_output_of_all_kinds(lab: Lab) -> None:
    ec = lab.stand.experiment()
    (node,) = lab.nodes(ec, [lab.host])
    long = "x='" + 'a"b$(echo no)\n`no`\\' * 10_000 + '\'; printf %s "$x" | md5sum'
    commands = {
        "burst": "head -c 10485760 /dev/zero & head -c 10485760 /dev/zero >&2; wait",
        "binary": "printf '\\000\\377\\n\\r\\000'",
        "line": "head -c 1048576 /dev/zero | tr '\\0' x",
        "orphan": "(sleep 1; echo late) & echo early",
        "forks": "setsid sleep 3004 & echo left",
        "long": long,
    }
    apps = {
        name: ec.register_resource(
            "linux::Application", label=name, command=command, connectedTo=node
        )
        for name, command in commands.items()
    }
    ec.deploy()
    assert ec.wait_finished(timeout="60s"), ec.failures
    assert len(ec.trace("burst", "stdout", text=False)) == 10485760
    assert len(ec.trace("burst", "stderr", text=False)) == 10485760
    assert ec.trace("binary", "stdout", text=False) == b"\0\xff\n\r\0"
    assert ec.trace("line", "stdout") == "x" * 1048576
    until(lambda: (host_file(lab, ec, node, apps["orphan"])).count("late") == 1, 10, "late output")
    expected = subprocess.run(["sh"], input=long, capture_output=True, text=True, check=True).stdout
    assert ec.trace("long", "stdout") == expected
    assert "sleep 3004" in str(lab.host.processes())
    ec.release()
    lab.expect_nothing(ec.run_id)


def host_file(lab: Lab, ec: ExperimentController, node: int, app: int) -> str:
    path = lab.host.root / "lab" / ".nepiq" / ec.run_id / str(node) / str(app) / "1" / "stdout"
    return path.read_text()


def test_steps_wait_for_a_host_that_boots(lab: Lab) -> None:
    lab.host.crash()
    ec = lab.stand.experiment()
    (node,) = lab.nodes(ec, [lab.host], bootTimeout="60s", connectTimeout="2s")
    ec.deploy()
    timer = threading.Timer(5.0, lab.host.boot)
    timer.start()
    assert ec.wait_deployed(node, "60s"), ec.failures
    timer.join()
    ec.release()
    impatient = lab.stand.experiment()
    lab.host.crash()
    (node,) = lab.nodes(impatient, [lab.host], connectTimeout="1s")
    impatient.deploy()
    assert not impatient.wait_deployed(node, "30s")
    assert HostUnreachable.__name__ in {failure.kind for failure in impatient.failures}
    impatient.release()
