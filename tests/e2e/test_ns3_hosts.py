"""ns-3 on hosts over SSH: joined to real networks, and outliving workers and scripts."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.ns3 import REALTIME, add_link, add_node, add_ping, add_simulation, required
from tests.conftest import Need
from tests.faults.lab import Lab
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController, ResourceAction, ResourceState
from nepiq.controller.errors import InvalidValue

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3"),
]

SECONDS = 30
#: Where the hosts have ns-3.
HOME = Path("/home/lab/.nepiq/.usr/installed")


@pytest.fixture
def lab(need: Need, testbed: Testbed, tmp_path: Path, ns3_builds: Path) -> Iterator[Lab]:
    """One worker, and hosts that have what was compiled for other tests."""
    required(need)
    for host in testbed.hosts[:2]:
        lend_builds(host, ns3_builds)
    with Lab(tmp_path, testbed) as made:
        made.start_workers(1)
        yield made
        # What this test compiled serves the others.
        for host in testbed.hosts[:1]:
            keep_builds(host, ns3_builds)


def lend_builds(host: Host, builds: Path) -> None:
    """Give a host ns-3, and what was compiled on others."""
    home = host.root / "lab"
    shared = home / ".nepiq/.usr"
    shutil.copytree(builds, shared / "ns3", dirs_exist_ok=True)
    owner = ["chown", f"--reference={home}"]
    subprocess.run([*owner, "-R", home / ".nepiq"], check=True, timeout=30)
    (home / ".nepiq").chmod(0o700)
    # Links where that is possible: they have the owner of the file.
    (package,) = importlib.util.find_spec("ns3").submodule_search_locations  # type: ignore[union-attr,misc]
    for part in ("include", "lib64"):
        source, target = f"{package}/{part}", shared / HOME.name / part
        target.parent.mkdir(exist_ok=True)
        done = subprocess.run(["cp", "-al", source, target], check=False, stderr=subprocess.DEVNULL)
        if done.returncode:
            shutil.copytree(source, target, dirs_exist_ok=True)


def keep_builds(host: Host, builds: Path) -> None:
    for folder in (host.root / "lab/.nepiq/.usr/ns3").glob("*"):
        if (folder / "ready").exists() and not (builds / folder.name).exists():
            shutil.copytree(folder, builds / folder.name)


def test_a_ping_on_a_host(lab: Lab) -> None:
    with lab.stand.experiment("far") as ec:
        (node,) = lab.nodes(ec, [lab.host])
        simulation = add_simulation(ec, node)
        ec.set(simulation, "ns3Home", "/home/lab/.nepiq/.usr/installed")
        nodes = [add_node(ec, simulation) for _ in range(2)]
        device, _ = add_link(ec, *nodes, "10.0.0")
        ec.enable_trace(device, "pcap")
        ping = add_ping(ec, nodes[0], "10.0.0.2")
        ec.deploy()
        assert ec.wait_finished([ping, simulation], timeout=120), ec.failures
        assert "20 packets transmitted, 20 received, 0% packet loss" in ec.trace(
            simulation, "stdout"
        )
        assert len(ec.trace(device, "pcap", text=False)) == 24 + 40 * (16 + 86)
        ec.release()
    lab.expect_nothing(ec.run_id, lab.host)


def add_joined_nodes(ec: ExperimentController, host: int, simulation: int) -> int:
    """Two simulated nodes with a link of 20 ms, each joined to an emulated host."""
    channel = ec.register_resource("ns3::PointToPointChannel", Delay="20ms")
    for number, name in enumerate(("left", "right"), 1):
        other = 3 - number
        node = ec.register_resource("ns3::Node", enableStack=True, connectedTo=simulation)
        link = ec.register_resource(
            "ns3::PointToPointNetDevice",
            DataRate="100Mbps",
            ip=f"10.98.3.{number}",
            connectedTo=node,
        )
        ec.register_connection(link, channel)
        edge = ec.register_resource("ns3::FdNetDevice", ip=f"10.98.{number}.2", connectedTo=node)
        ec.register_resource("netns::Node", label=name, connectedTo=host)
        tap = ec.register_resource(
            "linux::ns3::TapLink",
            deviceName=f"tap-{name}",
            ip=f"10.98.{number}.1",
            gateway=f"10.98.{number}.2",
            connectedTo=name,
        )
        ec.register_connection(tap, edge)
        ec.register_resource(
            "ns3::Route", network=f"10.98.{other}.0", nexthop=f"10.98.3.{other}", connectedTo=node
        )
    return node


def inside(ec: ExperimentController, name: str, command: str, **more: object) -> int:
    """A command in an emulated host."""
    return ec.register_resource("linux::Application", command=command, connectedTo=name, **more)


@pytest.mark.needs("iperf3", "ping")
def test_real_applications_through_a_simulated_link(lab: Lab) -> None:
    """Two emulated hosts, and 20 ms of ns-3 between them."""
    with lab.stand.experiment("joined") as ec:
        (host,) = lab.nodes(ec, [lab.host])
        simulation = ec.register_resource(
            "linux::ns3::Simulation",
            simulatorImplementationType=REALTIME,
            ns3Home=str(HOME),
            connectedTo=host,
        )
        node = add_joined_nodes(ec, host, simulation)
        sink = ec.register_resource("ns3::PacketSink", Local="10.98.3.1:9", connectedTo=node)
        ec.set(sink, "Protocol", "ns3::UdpSocketFactory")

        ready = "output:Server listening"
        commands = ("iperf3 --forceflush -s -1", f"iperf3 -u -b 2M -t {SECONDS} -c 10.98.2.1")
        server = inside(ec, "right", commands[0], startedWhen=ready)
        client = inside(ec, "left", commands[1])
        ping = inside(ec, "left", f"ping -i 0.25 -c {4 * SECONDS} 10.98.2.1")
        ec.register_condition(
            [client, ping], ResourceAction.START, sink, ResourceState.STARTED, "200ms"
        )
        ec.register_condition(client, ResourceAction.START, server, ResourceState.STARTED)
        with pytest.raises(InvalidValue, match="checksums"):
            ec.deploy()
        ec.set(simulation, "checksumEnabled", True)
        with pytest.raises(InvalidValue, match="only root"):
            ec.deploy()
        ec.set(simulation, "sudo", True)
        ec.deploy()
        assert ec.wait_finished([ping, client, server], timeout=150), ec.failures
        times = [float(t) for t in re.findall(r"time=([\d.]+) ms", ec.trace(ping, "stdout"))]
        assert len(times) == 4 * SECONDS  # none lost
        assert statistics.median(times) >= 40
        assert min(times) <= 42
        lost = re.findall(r" (\d+)/\d+ \([\d.e-]+%\) +receiver", ec.trace(client, "stdout"))
        assert lost == ["0"], ec.trace(client, "stdout")
        first = min(ec.get_start_time(ping), ec.get_start_time(client))  # type: ignore[type-var]
        assert first is not None
        assert first > ec.get_start_time(sink)  # type: ignore[operator]
        ec.release()
        assert ec.failures == []
    assert "tap-" not in lab.host.run("ip -o link", user="root").stdout
    assert lab.host.run("ip netns list", user="root").stdout == ""
    lab.expect_nothing(ec.run_id, lab.host)


SCRIPT = """
import sys
sys.path.insert(0, ".")
from tests.conformance.ns3 import *
from nepiq.controller import ExperimentController
ec = ExperimentController("outlived")
host = ec.register_resource("linux::Node", hostname=sys.argv[1])
simulation = add_simulation(ec, host, "13s")
ec.set(simulation, "ns3Home", "/home/lab/.nepiq/.usr/installed")
ec.set(simulation, "simulatorImplementationType", REALTIME)
nodes = [add_node(ec, simulation) for _ in range(2)]
device, _ = add_link(ec, *nodes, "10.0.0")
ec.enable_trace(device, "pcap")
ping = add_ping(ec, nodes[0], "10.0.0.2", "12s")
ec.deploy()
assert ec.wait_started([simulation, ping], timeout=120), ec.failures
print(ec.run_id, simulation, ping, device, flush=True)
import time
time.sleep(600)
"""


def test_the_worker_and_the_script_are_killed(lab: Lab) -> None:
    """The simulation goes on, is found again, and its traces are whole."""
    script = lab.stand.script(SCRIPT.replace("sys.argv[1]", repr(lab.host.name)))
    try:
        assert script.stdout is not None
        line = script.stdout.readline()
        assert line, script.communicate(timeout=10)[1]
        run_id, *guids = line.split()
        simulation, ping, device = map(int, guids)
    finally:
        script.kill()
        script.communicate()
    lab.stand.workers[0].signal(signal.SIGKILL)
    lab.stand.workers[0].ended()
    lab.start_workers(1)
    with ExperimentController.attach(run_id, settings=lab.stand.settings) as ec:
        assert ec.wait_finished([simulation, ping], timeout=60), ec.failures
        text = ec.trace(simulation, "stdout")
        assert "12 packets transmitted, 12 received, 0% packet loss" in text
        assert len(ec.trace(device, "pcap", text=False)) == 24 + 24 * (16 + 86)
        ec.release()
    lab.expect_nothing(run_id, lab.host)


def test_programs_on_a_pool_of_hosts(lab: Lab) -> None:
    with lab.stand.experiment("pool") as ec:
        nodes = lab.nodes(ec, lab.bed.hosts[:2])
        source = {"random.cc": RANDOM}
        programs = [
            ec.register_resource(
                "linux::ns3::Program",
                source=source,
                run=number,
                ns3Home=str(HOME),
                connectedTo=nodes[number % 2],
            )
            for number in range(6)
        ]
        ec.deploy()
        assert ec.wait_finished(programs, timeout=150), ec.failures
        numbers = {ec.trace(guid, "stdout") for guid in programs}
        assert len(numbers) == 6
        ec.release()
    lab.expect_nothing(ec.run_id, *lab.bed.hosts[:2])


RANDOM = """
#include "ns3/core-module.h"
#include <iostream>
int main()
{
    auto random = ns3::CreateObject<ns3::UniformRandomVariable>();
    std::cout << random->GetValue() << std::endl;
}
"""
