"""Examples of ns-3 in three forms: run by themselves, as a program, and as a simulation.

What they measure is the same, byte by byte.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ns3 import (
    add_bus,
    add_device,
    add_link,
    add_node,
    add_simulation,
    required,
)
from tests.conftest import Need

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3"),
    pytest.mark.usefixtures("ns3"),
]

SOURCE = Path(__file__).parent / "programs" / "scenarios.cc"

#: Files by name, and standard output.
Outcome = dict[str, bytes | str]

#: The devices whose pcap files are compared, by the names that the program gives to the files.
Files = dict[str, int]


@pytest.fixture
def host(ec: ExperimentController) -> int:
    return ec.register_resource("linux::Node")


@pytest.fixture(scope="module")
def direct(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """Runs a scenario without nepiq."""
    required(need)
    folder = tmp_path_factory.mktemp("direct")
    package = Path(importlib.util.find_spec("ns3").submodule_search_locations[0])  # type: ignore[union-attr,index]
    modules = ("applications", "bridge", "core", "csma", "flow-monitor", "internet", "mobility")
    modules += ("internet-apps", "network", "olsr", "point-to-point", "propagation")
    modules += ("traffic-control", "wifi")
    libraries = [next((package / "lib64").glob(f"libns3*-{module}.so")) for module in modules]
    options = ["-std=c++20", f"-I{package}/include", f"-Wl,-rpath,{package}/lib64"]
    subprocess.run(
        ["g++", *options, str(SOURCE), *map(str, libraries), "-o", "scenarios"],
        cwd=folder,
        check=True,
    )

    def run(scenario: str) -> Outcome:
        for file in (*folder.glob("*.pcap"), *folder.glob("flows.xml")):
            file.unlink()
        result = subprocess.run(
            ["./scenarios", f"--scenario={scenario}", "--RngRun=3"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        names = ["flows.xml", "end", *(path.name for path in folder.glob("*.pcap"))]
        files: Outcome = {name: (folder / name).read_bytes() for name in names}
        return {**files, "stdout": result.stdout}

    return run


def first(ec: ExperimentController, simulation: int) -> Files:
    """UDP echo over a link, and the devices of which pcap files are compared."""
    one, two = (add_node(ec, simulation) for _ in range(2))
    devices = add_link(ec, one, two, "10.1.1", prefix=24, rate="5Mbps", delay="2ms")
    add_echo(ec, two, one, "10.1.1.2:9")
    return {"0.pcap": devices[0], "1.pcap": devices[1]}


def wifi(ec: ExperimentController, simulation: int) -> Files:
    """An access point, and six stations that move."""
    ec.set(simulation, "populateRoutingTables", True)
    point, *stations = (add_node(ec, simulation) for _ in range(7))
    devices = cell(ec, stations, point)
    add_echo(ec, point, stations[-1], "10.1.3.7:9")
    return {"2.pcap": devices[6], "3.pcap": devices[5]}


def third(ec: ExperimentController, simulation: int) -> Files:
    """A link joins a bus and an access point; a station sends to the end of the bus.

    The nodes are registered in the order in which the program installs their stacks.
    """
    ec.set(simulation, "populateRoutingTables", True)
    *bus, point = (add_node(ec, simulation) for _ in range(5))
    stations = [add_node(ec, simulation) for _ in range(3)]
    wire, _ = add_link(ec, point, bus[0], "10.1.1", prefix=24, rate="5Mbps", delay="2ms")
    taps = add_bus(ec, bus, "10.1.2")
    for channel in ec.get_resources_by_type("ns3::CsmaChannel"):
        ec.set(channel.guid, "DataRate", "100Mbps")
        ec.set(channel.guid, "Delay", "6560ns")
    devices = cell(ec, stations, point)
    add_echo(ec, bus[3], stations[2], "10.1.2.4:9")
    return {"0.pcap": taps[0], "1.pcap": wire, "2.pcap": devices[3], "3.pcap": devices[2]}


def cell(ec: ExperimentController, stations: list[int], point: int) -> list[int]:
    """An access point, and stations that move; returns their devices, the stations' first."""
    air = ec.register_resource("ns3::YansWifiChannel")
    for part in ("ConstantSpeedPropagationDelayModel", "LogDistancePropagationLossModel"):
        ec.register_resource(f"ns3::{part}", connectedTo=air)
    devices = []
    for number, node in enumerate([*stations, point]):
        device = ec.register_resource(
            "ns3::WifiNetDevice",
            standard="80211ax",
            ip=f"10.1.3.{number + 1}",
            prefix=24,
            connectedTo=[node, air],
        )
        mac = "ns3::ApWifiMac" if node == point else "ns3::StaWifiMac"
        ec.register_resource(mac, Ssid="ns-3-ssid", connectedTo=device)
        devices.append(device)
        model = "ConstantPosition" if node == point else "RandomWalk2d"
        mobility = ec.register_resource(
            f"ns3::{model}MobilityModel",
            Position=f"{number % 3 * 5}:{number // 3 * 10}:0",
            connectedTo=node,
        )
        if node != point:
            ec.set(mobility, "Bounds", "-50|50|-50|50")
    return devices


def bulk(ec: ExperimentController, simulation: int) -> Files:
    """As many bytes over TCP as pass a slow link."""
    one, two = (add_node(ec, simulation) for _ in range(2))
    devices = add_link(ec, one, two, "10.1.1", prefix=24, rate="500Kbps", delay="5ms")
    options = {"Protocol": "ns3::TcpSocketFactory", "StartTime": 0, "StopTime": 10}
    ec.register_resource(
        "ns3::BulkSendApplication", Remote="10.1.1.2:9", connectedTo=one, **options
    )
    ec.register_resource("ns3::PacketSink", Local="0.0.0.0:9", connectedTo=two, **options)
    return {"0.pcap": devices[0], "1.pcap": devices[1]}


def bridge(ec: ExperimentController, simulation: int) -> Files:
    """Three terminals at a switch; two send to the third one, whose device loses packets."""
    *terminals, middle = (add_node(ec, simulation) for _ in range(4))
    ec.set(middle, "enableStack", False)
    devices, ports = [], []
    for number, node in enumerate(terminals, 1):
        channel = ec.register_resource("ns3::CsmaChannel", DataRate="5Mbps", Delay="2ms")
        devices.append(add_device(ec, "ns3::CsmaNetDevice", node, f"10.1.1.{number}"))
        ports.append(ec.register_resource("ns3::CsmaNetDevice", connectedTo=middle))
        for device in (devices[-1], ports[-1]):
            ec.register_connection(channel, device)
    ec.register_resource("ns3::RateErrorModel", ErrorRate=1e-4, connectedTo=devices[2])
    switch = ec.register_resource("ns3::BridgeNetDevice", connectedTo=middle)
    for port in ports:
        ec.register_connection(switch, port)
    for device in devices:
        ec.register_resource("ns3::RedQueueDisc", MinTh=2, connectedTo=device)
    times: dict[str, Any] = {"StopTime": 10}
    ec.register_resource("ns3::PacketSink", Local="10.1.1.3:9", connectedTo=terminals[2], **times)
    for node in terminals[:2]:
        ec.register_resource(
            "ns3::OnOffApplication",
            Remote="10.1.1.3:9",
            OnTime="ns3::ExponentialRandomVariable[Mean=0.5]",
            OffTime="ns3::ExponentialRandomVariable[Mean=0.3]",
            DataRate="3Mbps",
            StartTime="1s",
            connectedTo=node,
            **times,
        )
    return {"0.pcap": devices[2], "1.pcap": devices[0]}


def chain(ec: ExperimentController, simulation: int) -> Files:
    """A ping over a chain of ad hoc stations, each of which reaches only its neighbours."""
    ec.set(simulation, "StopTime", "20s")
    nodes = [add_node(ec, simulation) for _ in range(4)]
    air = ec.register_resource("ns3::YansWifiChannel")
    ec.register_resource("ns3::ConstantSpeedPropagationDelayModel", connectedTo=air)
    ec.register_resource("ns3::RangePropagationLossModel", MaxRange=60, connectedTo=air)
    devices = []
    for number, node in enumerate(nodes):
        ec.set(node, "routing", "olsr")
        device = ec.register_resource(
            "ns3::WifiNetDevice",
            standard="80211b",
            ip=f"10.1.1.{number + 1}",
            connectedTo=[node, air],
        )
        power = {"TxPowerStart": 12, "TxPowerEnd": 12}
        phy = ec.register_resource("ns3::YansWifiPhy", connectedTo=device, **power)
        ec.register_resource("ns3::NistErrorRateModel", connectedTo=phy)
        ec.register_resource(
            "ns3::ConstantRateWifiManager",
            DataMode="DsssRate2Mbps",
            ControlMode="DsssRate1Mbps",
            connectedTo=device,
        )
        ec.register_resource(
            "ns3::ConstantPositionMobilityModel", Position=[50 * number, 0], connectedTo=node
        )
        devices.append(device)
    ec.register_resource(
        "ns3::Ping",
        Destination="10.1.1.4",
        VerboseMode="Quiet",
        StartTime="1s",
        StopTime="20s",
        connectedTo=nodes[0],
    )
    return {"0.pcap": devices[0], "1.pcap": devices[3]}


def add_echo(ec: ExperimentController, server: int, client: int, remote: str) -> None:
    ec.register_resource(
        "ns3::UdpEchoServer", Port=9, StartTime="1s", StopTime="10s", connectedTo=server
    )
    ec.register_resource(
        "ns3::UdpEchoClient",
        Remote=remote,
        MaxPackets=5,
        PacketSize=1024,
        StartTime="2s",
        StopTime="10s",
        connectedTo=client,
    )


@pytest.mark.parametrize("scenario", [first, wifi, bulk, bridge, chain, third])
def test_an_example_in_three_forms(
    ec: ExperimentController,
    host: int,
    direct: Callable[[str], Outcome],
    scenario: Callable[[ExperimentController, int], Files],
) -> None:
    program = ec.register_resource(
        "linux::ns3::Program",
        source=str(SOURCE),
        arguments={"scenario": scenario.__name__},
        run=3,
        connectedTo=host,
    )
    simulation = add_simulation(ec, host, "10s")
    ec.set(simulation, "run", 3)
    ec.set(simulation, "flowMonitor", True)
    devices = scenario(ec, simulation)
    for device in devices.values():
        ec.enable_trace(device, "pcap")
    ec.deploy()
    assert ec.wait_finished([program, simulation], timeout=200), ec.failures

    expected = direct(scenario.__name__)
    assert b'rxPackets="0"' not in expected["flows.xml"]  # type: ignore[operator]
    assert "100% packet loss" not in expected["stdout"]  # type: ignore[operator]
    files: Outcome = {
        name: ec.trace(program, name, text=False) for name in expected if name != "stdout"
    }
    assert {**files, "stdout": ec.trace(program, "stdout")} == expected
    summary = json.loads(ec.trace(simulation, "summary"))
    xml = ec.trace(simulation, "flowsXml", text=False)
    if scenario is third:
        # The probes have the numbers of the nodes, which have another order.
        xml, probes, _ = xml.partition(b"<FlowProbes>")
        expected["flows.xml"] = expected["flows.xml"].partition(probes)[0]  # type: ignore[arg-type]
    assert {
        "flows.xml": xml,
        **{name: ec.trace(guid, "pcap", text=False) for name, guid in devices.items()},
        "end": f"{summary['time']} {summary['events']}".encode(),
        "stdout": ec.trace(simulation, "stdout"),
    } == expected
