"""What ns-3 and its users get wrong: each a clear error, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.conformance.conftest import Make
from tests.conformance.ns3 import (
    REALTIME,
    add_bus,
    add_node,
    add_ping,
    add_simulation,
)
from tests.conftest import Need
from tests.stand import Stand, until

from nepiq.controller import ExperimentController, ResourceAction, ResourceState
from nepiq.controller.errors import (
    InvalidValue,
    UnknownAttribute,
    UnknownType,
)
from nepiq.controller.resources.ns3 import simulator

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3"),
    pytest.mark.usefixtures("ns3"),
]


@pytest.fixture
def host(ec: ExperimentController) -> int:
    return ec.register_resource("linux::Node")


@pytest.fixture
def simulation(ec: ExperimentController, host: int) -> int:
    return add_simulation(ec, host)


@pytest.fixture
def processes(stand: Stand) -> Iterator[object]:
    """Checks that no process of the simulations of a test is left."""

    def running() -> dict[int, bytes]:
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(str(stand.home).encode()) and b"/.usr/ns3/" in command:
                found[int(folder.name)] = command
        return found

    yield running
    until(lambda: not running(), 30.0, "a simulator is left")


def reason(ec: ExperimentController, guid: int) -> str:
    # The failure of another resource ends a wait, too.
    # A program may have to be compiled, on a machine that does other things.
    assert not ec.wait_finished(guid, timeout=240)
    until(lambda: ec.state(guid) is ResourceState.FAILED, 30.0, f"{guid} has not failed")
    (failure,) = [item for item in ec.failures if item.guid == guid]
    return str(failure)


def test_names_and_values_are_refused_where_they_are_given(ec: ExperimentController) -> None:
    with pytest.raises(UnknownType, match="ns3::CsmaChannel"):
        ec.register_resource("ns3::CsmaChanel")
    with pytest.raises(UnknownAttribute, match="DataRate"):
        ec.register_resource("ns3::PointToPointNetDevice", DataRat="5Mbps")
    for rtype, values in {
        "ns3::PointToPointNetDevice": {"DataRate": "fast", "Mtu": 70000, "InterframeGap": "1 hour"},
        "ns3::UdpEchoServer": {"Port": -1, "StartTime": "soon"},
        "ns3::ConstantPositionMobilityModel": {"Position": "here"},
        "ns3::Ping": {"VerboseMode": "loud", "Destination": "10.0.0.256"},
        "ns3::WifiNetDevice": {"standard": "80211z"},
        "linux::ns3::Simulation": {"nsLog": "Ping=loud", "defaults": {"SegmentSize": 1}},
    }.items():
        for name, value in values.items():
            with pytest.raises(InvalidValue, match=name):
                ec.register_resource(rtype, **{name: value})


def test_what_only_ns3_knows_is_told_with_the_resource(
    ec: ExperimentController, simulation: int
) -> None:
    nodes = [add_node(ec, simulation) for _ in range(2)]
    add_bus(ec, nodes, "10.0.0")
    ec.register_resource(
        "ns3::RandomDirection2dMobilityModel", Speed="ns3::NoSuchVariable", connectedTo=nodes[0]
    )
    ec.deploy()
    assert not ec.wait_finished(timeout=120)
    (failure,) = [item for item in ec.failures if item.guid == simulation]
    assert "randomdirection2dmobilitymodel" in str(failure)
    assert "NoSuchVariable" in str(failure)


def test_two_devices_with_one_address(ec: ExperimentController, simulation: int) -> None:
    nodes = [add_node(ec, simulation) for _ in range(2)]
    (_, device) = add_bus(ec, nodes, "10.0.0")
    ec.set(device, "ip", "10.0.0.1")
    ec.deploy()
    assert not ec.wait_finished(timeout=120)
    assert "Address Collision: 10.0.0.1" in str(ec.failures[0])


def test_a_fatal_error_in_mid_run(
    ec: ExperimentController, simulation: int, processes: object
) -> None:
    """A device that is joined to no channel, which ns-3 finds when it sends."""
    node = add_node(ec, simulation)
    device = ec.register_resource("ns3::CsmaNetDevice", ip="10.0.0.1", connectedTo=node)
    assert device
    ping = add_ping(ec, node, "10.0.0.2")
    ec.deploy()
    text = reason(ec, simulation)
    assert "ns-3 aborted" in text, text
    assert not ec.wait_finished(ping, timeout=30)


def test_a_simulator_that_is_killed(
    ec: ExperimentController, simulation: int, processes: object
) -> None:
    ec.set(simulation, "simulatorImplementationType", REALTIME)
    ec.set(simulation, "StopTime", "300s")
    nodes = [add_node(ec, simulation) for _ in range(2)]
    add_bus(ec, nodes, "10.0.0")
    ping = add_ping(ec, nodes[0], "10.0.0.2", "200s")
    ec.deploy()
    assert ec.wait_started(ping, timeout=120), ec.failures
    for pid, command in processes().items():  # type: ignore[operator]
        if b"/simulator\0" in command:
            os.kill(pid, signal.SIGKILL)
    assert "signal" in reason(ec, simulation).lower()
    assert "the simulation" in reason(ec, ping)


@pytest.mark.parametrize("in_order", [True, False])
def test_a_simulation_that_ends_before_a_request_is_sent(
    in_order: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is not ended by a signal: its exit code tells how the simulation ended."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "client"
    source = tmp_path / "client.cc"
    source.write_bytes((resources.files(simulator) / "client.cc").read_bytes())
    subprocess.run(["g++", "-std=c++17", "-O0", "-o", str(program), str(source)], check=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        server.listen()
        command = [str(program), "socket"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            server.accept()[0].close()
            if in_order:
                (tmp_path / "summary.json").write_text("{}")
            _, errors = client.communicate(b'{"do":"wait","id":1}\n', timeout=60)
    assert client.returncode == (0 if in_order else 1), errors
    assert errors == (b"" if in_order else b"nepiq: the simulation broke off\n")


def test_a_simulation_without_end(
    ec: ExperimentController, simulation: int, processes: object
) -> None:
    ec.set(simulation, "StopTime", None)
    ec.set(simulation, "stopAfter", "1s")
    nodes = [add_node(ec, simulation) for _ in range(2)]
    add_bus(ec, nodes, "10.0.0")
    add_ping(ec, nodes[0], "10.0.0.2", "0s")
    ec.deploy()
    assert "stopAfter" in reason(ec, simulation)


def test_a_host_without_ns3(ec: ExperimentController, simulation: int) -> None:
    ec.set(simulation, "ns3Home", "/nowhere")
    add_node(ec, simulation)
    ec.deploy()
    text = reason(ec, simulation)
    assert "no ns-3 in /nowhere" in text
    assert "pip install ns3" in text


def test_conditions_need_real_time(ec: ExperimentController, simulation: int) -> None:
    nodes = [add_node(ec, simulation) for _ in range(2)]
    add_bus(ec, nodes, "10.0.0")
    one, two = (add_ping(ec, node, "10.0.0.2") for node in nodes)
    ec.register_condition(two, ResourceAction.START, one, ResourceState.STARTED, "2s")
    with pytest.raises(InvalidValue, match="RealtimeSimulatorImpl"):
        ec.deploy()


def test_a_full_disk(make: Make, need: Need, tmp_path: Path) -> None:
    need("root, who may mount", os.geteuid() == 0)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(small)], check=True)
    try:
        ec = make()
        host = ec.register_resource("linux::Node", home=str(small))
        simulation = add_simulation(ec, host)
        add_node(ec, simulation)
        ec.deploy()
        assert "No space left on device" in reason(ec, simulation)
        ec.shutdown()
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
