"""Tools that are stopped, start early, run again and again, or cannot run."""

from __future__ import annotations

import re

import pytest
from tests.e2e.captures import capture
from tests.e2e.toolbox import figures, tool
from tests.stand import Stand
from tests.testbed import Testbed

from nepiq.controller import ResourceAction, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "mtr", "tcpdump", "traceroute"),
    pytest.mark.timeout(120),
]


def test_a_capture_is_complete(stand: Stand, testbed: Testbed) -> None:
    _capture_all(stand, testbed, 3)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_fifty_captures_are_complete(stand: Stand, testbed: Testbed) -> None:
    _capture_all(stand, testbed, 50)


def _capture_all(stand: Stand, testbed: Testbed, times: int) -> None:
    for number in range(times):
        with stand.experiment(f"capture-{number}", quiet=True) as ec:
            taken = capture(ec, *testbed.hosts[:2], 10_000)
        assert (taken.captured, taken.received, taken.dropped) == (10_000, 10_000, 0)
        assert taken.numbers == list(range(10_000))


def test_an_overload_is_told(stand: Stand, testbed: Testbed) -> None:
    with stand.experiment("overload", quiet=True) as ec:
        taken = capture(ec, *testbed.hosts[:2], 30_000, 1000, B=1, immediateMode=True)
    assert taken.dropped > 0
    assert taken.captured == len(taken.numbers) == taken.received - taken.dropped


def test_a_host_that_lacks_the_program(stand: Stand, testbed: Testbed) -> None:
    with stand.experiment("lacking", quiet=True) as ec:
        node = ec.register_resource("linux::Node", hostname=testbed.hosts[0].name)
        lacking = {"target": "127.0.0.1", "count": 1, "program": "nopinghere"}
        first = tool(ec, "Ping", node, critical=False, **lacking)
        second = tool(ec, "Ping", node, critical=False, **lacking)
        ec.deploy()
        assert ec.wait_finished([first, second], timeout=60)
        failure = next(failure for failure in ec.failures if failure.guid == first)
        assert failure.message == "the host lacks the program 'nopinghere'"
        assert "deploy" in failure.where
        # The other one finds out when it is started.
        failure = next(failure for failure in ec.failures if failure.guid == second)
        assert "the host lacks nopinghere" in failure.message
        assert ec.state(second) is ResourceState.FAILED


def test_a_package_that_does_not_bring_its_program(stand: Stand, testbed: Testbed) -> None:
    testbed.hosts[0].run('mount --bind /dev/null "$(command -v mtr)"', user="root")
    with stand.experiment("hidden", quiet=True) as ec:
        node = ec.register_resource("linux::Node", hostname=testbed.hosts[0].name)
        mtr = tool(ec, "Mtr", node, target="127.0.0.1", critical=False)
        ec.deploy()
        assert ec.wait_finished(mtr, timeout=60)
        assert ec.failures[0].message == "the host lacks mtr, although mtr-tiny is installed"
        assert "deploy" in ec.failures[0].where


def test_the_last_sample_of_counters_is_at_the_stop(stand: Stand, testbed: Testbed) -> None:
    """A stop comes nearly always while ip reads them, which takes long here."""
    slow = "sh -c 'sleep 0.3; exec ip \"$@\"' ip"
    with stand.experiment("counted", quiet=True) as ec:
        node = ec.register_resource("linux::Node", hostname=testbed.hosts[0].name)
        counted = tool(ec, "FlowStat", node, interface="lo", interval=0.01, program=slow)
        sent = tool(ec, "Ping", node, target="127.0.0.1", count=5, interval=0.2)
        ec.register_condition(sent, ResourceAction.START, counted, ResourceState.STARTED)
        ec.register_condition(counted, ResourceAction.STOP, sent, ResourceState.FINISHED)
        ec.deploy()
        assert ec.wait_finished(sent, timeout=60)
        ec.wait_finished(counted, timeout=60)
        assert ec.get(counted, "txPackets") >= 10  # five echoes and their replies


def test_runs_from_the_deployment_on_and_again_and_again(stand: Stand, testbed: Testbed) -> None:
    with stand.experiment("early", quiet=True) as ec:
        node = ec.register_resource("linux::Node", hostname=testbed.hosts[0].name)
        early = tool(ec, "Ping", node, target="127.0.0.1", interval=0.2, earlyStart=True)
        probe = tool(
            ec, "Traceroute", node, target="127.0.0.1", continuous=True, printTimestamp=True
        )
        later = tool(
            ec,
            "Application",
            node,
            command=f"until [ $(wc -l <../../{probe}/1/stdout) -ge 8 ]; do sleep 0.1; done",
        )
        # It has ended before it is started.
        over = tool(ec, "Ping", node, target="127.0.0.1", count=1, earlyStart=True)
        for ping in (early, over):
            ec.register_condition(ping, ResourceAction.START, later, ResourceState.FINISHED)
        ec.register_condition(probe, ResourceAction.STOP, later, ResourceState.FINISHED)
        ec.deploy()
        assert ec.wait_finished([probe, later, over], timeout=60), ec.failures
        assert (ec.state(over), figures(ec, over)["received"]) == (ResourceState.FINISHED, 1)
        assert ec.wait_started(early, timeout=60)
        ec.stop(early)
        assert figures(ec, early)["transmitted"] > 1
        output = ec.trace(probe, "stdout")
        assert re.search(r"^\d{14}\ntraceroute to ", output, re.MULTILINE)
        assert figures(ec, probe)["route"] == "127.0.0.1"
