"""Measuring tools between hosts that a worker reaches over SSH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.toolbox import figures, tool
from tests.stand import Stand
from tests.testbed import Testbed

from nepiq.controller import (
    ExperimentController,
    ResourceAction,
    ResourceState,
)

pytestmark = [
    pytest.mark.needs(
        *("redis-server", "ssh-keygen", "ab", "busybox", "iperf3", "mtr", "nc", "nping"),
        *("tcpdump", "traceroute"),
    ),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("tools"),
]


@pytest.fixture(scope="module")
def measured(stand: Stand, shared_testbed: Testbed) -> Iterator[ExperimentController]:
    """Tools of all types between two hosts, ended; their labels name what they measure."""
    near, far = shared_testbed.hosts[:2]
    with stand.experiment("figures", quiet=True) as ec:
        for label, host in (("near", near), ("far", far)):
            ec.register_resource("linux::Node", label=label, hostname=host.name)
        _probes(ec, far.address, shared_testbed.unreachable)
        _transfers(ec, far.address)
        tool(ec, "FlowStat", "near", label="counted", interface="eth0", interval=0.2)
        ec.register_condition("tcp", ResourceAction.START, "counted", ResourceState.STARTED)
        for endless in ("endless", "counted"):
            ec.register_condition(endless, ResourceAction.STOP, "tcp", ResourceState.FINISHED)
        ec.deploy()
        ok = ec.wait_finished(timeout=90)
        assert ok, "\n".join(map(str, ec.failures))
        yield ec
    shared_testbed.reset()


def _probes(ec: ExperimentController, far: str, unreachable: str) -> None:
    busybox = {"program": "busybox ping", "sudo": True}  # that of iputils needs no root
    silent = {"target": unreachable, "count": 1, "timeout": 1}
    unknown = {"target": "nowhere.invalid", "critical": False}
    tool(ec, "Ping", "near", label="ping", target=far, count=3, interval=0.2)
    tool(ec, "Ping", "near", label="busybox-ping", target=far, count=2, **busybox)
    tool(ec, "Ping", "near", label="silent", **silent)
    tool(ec, "Ping", "near", label="busybox-silent", **silent, **busybox)
    tool(ec, "Ping", "near", label="unknown", **unknown)
    tool(ec, "Ping", "near", label="busybox-unknown", **unknown, **busybox)
    tool(ec, "Ping", "near", label="endless", target=far, interval=0.2)
    tool(ec, "Traceroute", "near", label="route", target=far)
    busybox["program"] = "busybox traceroute"
    tool(ec, "Traceroute", "near", label="busybox-route", target=far, **busybox)
    no_route = {"target": unreachable, "maxHops": 2, "queries": 1, "wait": "1"}
    tool(ec, "Traceroute", "near", label="no-route", **no_route)
    tool(ec, "Mtr", "near", label="mtr", target=far, reportCycles=2, interval=0.2, sudo=True)
    tool(ec, "NPing", "near", label="nping", target=far, icmp=True, c=2, delay="50ms")


def _transfers(ec: ExperimentController, far: str) -> None:
    for label in ("tcp", "udp"):
        tool(ec, "Iperf3Server", "far", label=f"{label}-server")
    tcp = {"time": 1, "interval": 0.25, "parallel": 2}
    tool(ec, "Iperf3Client", "near", "tcp-server", label="tcp", **tcp)
    udp = {"bytes": "100K", "udp": True, "bitrate": "5M"}
    tool(ec, "Iperf3Client", "near", "udp-server", label="udp", **udp)
    tool(ec, "Iperf3Client", "near", label="nobody", target=far, port=9, critical=False)
    tool(ec, "UdpTest", "far", label="test-server", s=True)
    tool(ec, "UdpTest", "near", label="test", target=far, t=1)
    ec.register_condition("test", ResourceAction.START, "test-server", ResourceState.STARTED)
    tool(ec, "NetcatReceiver", "far", label="receiver", checksum=True)
    tool(ec, "NetcatSender", "near", "receiver", label="sender", size=3_000_000, checksum=True)
    tool(ec, "HttpServer", "far", label="web")
    tool(ec, "HttpLoad", "near", "web", label="load", requests=50, concurrency=2)
    tool(ec, "HttpLoad", "near", "web", label="missing-page", requests=3, path="/none")


@pytest.mark.parametrize(("label", "count"), [("ping", 3), ("busybox-ping", 2)])
def test_ping(measured: ExperimentController, label: str, count: int) -> None:
    found = figures(measured, label)
    assert (found["transmitted"], found["received"], found["loss"]) == (count, count, 0)
    assert 0 < found["rttMin"] <= found["rttAvg"] <= found["rttMax"] < 1000


@pytest.mark.parametrize("label", ["silent", "busybox-silent"])
def test_loss_is_a_figure(measured: ExperimentController, label: str) -> None:
    assert measured.state(label) is ResourceState.FINISHED
    found = figures(measured, label)
    assert (found["transmitted"], found["received"], found["loss"]) == (1, 0, 100)
    assert "rttAvg" not in found


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("unknown", "ping: nowhere.invalid: "),
        ("busybox-unknown", "ping: bad address 'nowhere.invalid'"),
        ("nobody", "iperf3: unable to connect to server"),
    ],
)
def test_a_tool_that_cannot_work_fails(
    measured: ExperimentController, label: str, reason: str
) -> None:
    assert (measured.state(label), figures(measured, label)) == (ResourceState.FAILED, {})
    failure = next(failure for failure in measured.failures if failure.label == label)
    assert reason in failure.message


def test_a_stop_has_figures(measured: ExperimentController) -> None:
    assert measured.state("endless") is ResourceState.STOPPED
    found = figures(measured, "endless")
    assert found["transmitted"] == found["received"] > 2


def test_routes(measured: ExperimentController) -> None:
    far = measured.get("far", "addresses")
    for label in ("route", "busybox-route"):
        found = figures(measured, label)
        assert found.pop("rtt") > 0, measured.trace(label, "stdout")
        assert found == {"hops": 1, "reached": True, "route": far}, measured.trace(label, "stdout")
    # Its own host may tell in time that nobody has the address.
    assert figures(measured, "no-route")["reached"] is False
    assert measured.state("no-route") is ResourceState.FINISHED
    found = figures(measured, "mtr")
    assert (found["route"], found["hops"], found["loss"]) == (far, 1, 0)
    assert found["rttMin"] <= found["rttAvg"] <= found["rttMax"]
    found = figures(measured, "nping")
    # nping may miss the last reply, and counts those to others that ping at the same time.
    assert found["sent"] == 2
    assert found["received"] >= 1
    assert found["loss"] < 100


def test_iperf3(measured: ExperimentController) -> None:
    found = figures(measured, "tcp")
    assert found["bitsPerSecond"] > 1e6
    rate = found["bytesReceived"] * 8 / found["seconds"]
    assert found["bitsPerSecond"] == pytest.approx(rate, rel=0.01)
    head, *rows = measured.trace("tcp", "intervals").splitlines()
    assert head.startswith("start,end,seconds,bytes,bitsPerSecond,retransmits")
    assert len(rows) >= 4
    assert sum(int(row.split(",")[3]) for row in rows) >= found["bytesReceived"]
    found = figures(measured, "udp")
    assert (found["lost"], found["loss"]) == (0, 0)
    # iperf3 may end before its server has read all of so short a test.
    assert 0 < found["bytesReceived"] < 110_000
    assert found["packets"] > 0
    assert found["jitter"] >= 0
    assert figures(measured, "test")["lost"] == 0
    servers = ("tcp-server", "udp-server", "receiver", "web")
    assert len({measured.get(server, "listeningPort") for server in servers}) == 4
    assert measured.state("tcp-server") is ResourceState.FINISHED


def test_netcat(measured: ExperimentController) -> None:
    sent, received = figures(measured, "sender"), figures(measured, "receiver")
    assert sent["bytes"] == received["bytes"] == 3_000_000
    assert sent["sha256"] == received["sha256"]
    assert sent["bitsPerSecond"] == pytest.approx(24_000_000 / sent["seconds"])


def test_requests(measured: ExperimentController) -> None:
    found = figures(measured, "load")
    assert (found["completed"], found["failures"], found["badStatus"]) == (50, 0, 0)
    assert 0 <= found["latency50"] <= found["latency99"] <= found["latencyMax"]
    assert found["latencyMean"] > 0
    assert figures(measured, "missing-page")["badStatus"] == 3


def test_counters(measured: ExperimentController) -> None:
    found = figures(measured, "counted")
    assert found["txBytes"] >= figures(measured, "tcp")["bytesReceived"]
    head, *rows = (row.split(",") for row in measured.trace("counted", "samples").splitlines())
    sent = [int(row[head.index("txBytes")]) for row in rows]
    assert sent == sorted(sent)
    assert (sent[0], sent[-1]) == (0, found["txBytes"])
    assert measured.trace("counted", "stdout").count('"ifname":"eth0"') == len(rows)
