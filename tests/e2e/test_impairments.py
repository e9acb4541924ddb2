"""Impairments of links between emulated hosts, on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
from tests.conftest import Need
from tests.e2e.lab import Lab
from tests.e2e.network.features import note, note_made

from nepiq.controller import ExperimentController
from nepiq.controller.model.configuration import run_mark

pytestmark = pytest.mark.needs("ip", "tc", "nft", "ping")


@pytest.fixture(autouse=True)
def root(need: Need) -> None:
    need("root", os.geteuid() == 0, "networks are made as root")


def left_of(ec: ExperimentController) -> list[str]:
    """Return what is left of a run on this machine: links, namespaces, tables, processes."""
    commands = ("ip -br link", "ip netns", "nft list tables", "ps -Awwo args")
    shown = [subprocess.check_output(command.split(), text=True) for command in commands]
    lines = "".join(shown).splitlines()
    return [line for line in lines if run_mark(ec.run_id) in line or f"/{ec.run_id}/" in line]


def await_nothing_left(ec: ExperimentController) -> None:
    """Wait until nothing is left; the relay ends after the last network namespace."""
    until = time.monotonic() + 30
    while left := left_of(ec):
        assert time.monotonic() < until, left


def emulated(lab: Lab, on: str = "link", **attributes: object) -> tuple[ExperimentController, int]:
    ec = lab.experiment()
    here = ec.register_resource("linux::Node", label="here")
    for name in "ab":
        ec.register_resource("netns::Node", label=name, connectedTo=here)
    link = ec.register_resource(
        "netns::Link",
        label="link",
        name1="eth0",
        name2="eth0",
        ip1="10.9.0.1/24",
        ip2="10.9.0.2/24",
    )
    for name in "ab":
        ec.register_connection(link, name)
    return ec, ec.register_resource("linux::Impairment", connectedTo=on, **attributes)


def ping(ec: ExperimentController, count: int = 10) -> int:
    guid = ec.register_resource(
        "linux::Ping",
        connectedTo="a",
        target="10.9.0.2",
        count=count,
        interval=0.05,
        timeout=2,  # if no answer comes at all
    )
    ec.deploy(guid)
    ec.wait_finished(guid)
    return guid


def test_a_link_is_impaired_in_both_directions_and_changed(lab: Lab) -> None:
    ec, impairment = emulated(lab, rtt="40ms", rate="50mbit", seed=7)
    ec.deploy()
    ec.wait_deployed(impairment)
    applied, _, seed = str(ec.get(impairment, "applied")).partition(", seed ")
    assert (ec.get(impairment, "driver"), seed) in (("netem", "7"), ("netem", ""), ("relay", "7"))
    assert applied == "delay 20 ms, rate 5e+07 bit/s, queue 125"
    assert 40 <= ec.get(ping(ec), "rttMin") < 44
    ec.set(impairment, "rtt", "20ms")  # half the delay
    assert 20 <= ec.get(ping(ec), "rttMin") < 24
    if seed:
        for host, other in (("a", "10.9.0.2"), ("b", "10.9.0.1")):
            run(ec, host, QUIET.format(other))
        first = fates(ec, impairment)
        assert int(first[-1]) > len(first) == 30
        assert fates(ec, impairment) == first
    ec.set(impairment, "loss", 100)
    assert ec.get(ping(ec, 3), "loss") == 100
    assert left_of(ec)
    ec.release()
    await_nothing_left(ec)
    note_made("linux::Impairment")


#: Ends all else that a host sends: IPv6, and requests for the address of the other one.
QUIET = (
    "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; "
    "exec ip neigh change {} dev eth0 nud permanent"
)


def run(ec: ExperimentController, host: str, command: str) -> str:
    guid = ec.register_resource(
        "linux::Application", connectedTo=host, command=command, sudo=True, okExitCodes="0,1"
    )
    ec.deploy(guid)
    ec.wait_finished(guid)
    assert ec.trace(guid, "stderr") == ""
    return ec.trace(guid, "stdout")


def fates(ec: ExperimentController, impairment: int) -> list[str]:
    """The first pings with an answer, by their numbers, when the random numbers begin anew."""
    for loss in (0, 30):
        ec.set(impairment, "loss", loss)
    text = run(ec, "a", "exec ping -n -c 30 -w 60 -i 0.01 10.9.0.2")  # 30 answers
    return re.findall(r"icmp_seq=(\d+)", text)


def test_the_end_of_the_relay_is_a_failure(lab: Lab) -> None:
    """Nothing goes on unimpaired and says nothing (chaos-mesh 1389)."""
    ec, impairment = emulated(lab, delay="30ms", driver="relay")
    ec.deploy()
    ec.wait_started(impairment)
    pids = [
        line.split()[0]
        for line in subprocess.check_output(["ps", "-Awwo", "pid,args"], text=True).splitlines()
        if "relay.pyz use" in line and f"/{ec.run_id}/" in line
    ]
    assert len(pids) == 1
    os.kill(int(pids[0]), signal.SIGKILL)
    ec.wait_finished(impairment)
    assert ec.state(impairment).name == "FAILED"
    assert "the relay has ended: packets pass unimpaired" in str(ec.failures[0])
    ec.release()
    await_nothing_left(ec)
    note_made("linux::Impairment relay")


def test_a_kernel_without_netem_is_told(lab: Lab) -> None:
    """It fails at once, and names what is missing (chaos-mesh 1389)."""
    ec, impairment = emulated(lab, delay="30ms", driver="netem")
    ec.deploy()
    if ec.wait_deployed(impairment):
        ec.release()
        await_nothing_left(ec)
        note_made("linux::Impairment netem")
        return
    (failure,) = [failure for failure in ec.failures if failure.guid == impairment]
    assert " has no netem" in failure.message
    assert "sch_netem" in failure.hint
    note("linux::Impairment netem", f"refused: {failure.message}")


@pytest.mark.needs("iperf3")
def test_the_rate_of_what_an_interface_sends_and_receives(lab: Lab) -> None:
    """5 Mbit/s of one interface of a link, in both directions; then 20 while it runs.

    Tests of the relay measure how exact the bucket is; a bare link carries thousands of Mbit/s. On
    a busy machine less arrives than may.
    """
    ec, impairment = emulated(lab, interface="eth0", rate="5mbit", driver="tbf+nft", on="a")
    ec.register_condition(impairment, "DEPLOY", "link", "READY")
    ec.deploy()
    ec.wait_deployed(impairment)
    for reverse in (False, True):
        assert 0 < throughput(ec, reverse=reverse) < 8
    assert rates(ec) == ["5Mbit"]
    ec.set(impairment, "rate", "20mbit")
    assert 0 < throughput(ec, reverse=False) < 28
    assert rates(ec) == ["20Mbit"]
    ec.release()
    await_nothing_left(ec)
    note_made("linux::Impairment tbf+nft")


def rates(ec: ExperimentController) -> list[str]:
    """Return the rates at which the kernel has the interface send."""
    command = ["ip", "netns", "exec", str(ec.get("a", "namespace")), "tc", "qdisc", "show"]
    return re.findall(
        r"qdisc tbf .* dev eth0 .*rate (\S+)", subprocess.check_output(command, text=True)
    )


def throughput(ec: ExperimentController, *, reverse: bool) -> float:
    """Return what arrives, in Mbit/s."""
    server = ec.register_resource("linux::Iperf3Server", connectedTo="b")
    client = ec.register_resource(
        "linux::Iperf3Client", connectedTo="a", target="10.9.0.2", time=1, omit=1, reverse=reverse
    )
    ec.register_connection(client, server)
    ec.deploy([server, client])
    ec.wait_finished(client)
    return float(ec.get(client, "bitsPerSecond")) / 1e6
