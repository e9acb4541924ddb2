"""Networks of ns-3: routing protocols, losses, queues, bridges, traffic and topologies."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from typing import Any

import pytest
from tests.conformance.conftest import Make
from tests.conformance.ns3 import (
    add_device,
    add_link,
    add_node,
    add_ping,
    add_simulation,
    add_station,
)
from tests.conftest import Need

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3"),
    pytest.mark.usefixtures("ns3"),
]


@pytest.fixture
def simulation(ec: ExperimentController) -> int:
    return add_simulation(ec, ec.register_resource("linux::Node"))


@pytest.fixture
def nodes(ec: ExperimentController, simulation: int) -> list[int]:
    return [add_node(ec, simulation) for _ in range(2)]


def carry_out(ec: ExperimentController, simulation: int) -> str:
    """Run a simulation to its end and return what it printed."""
    ec.deploy()
    assert ec.wait_finished(simulation, timeout=120), ec.failures
    return ec.trace(simulation, "stdout")


def flows(ec: ExperimentController, simulation: int) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ec.trace(simulation, "flows"))))


def calls(ec: ExperimentController, guid: int, source: str) -> int:
    """Return the number of calls of a trace source that was enabled as count:SOURCE."""
    return int(ec.trace(guid, f"{source}.count").splitlines()[1].split(",")[0])


def line_of(ec: ExperimentController, simulation: int, guid: int) -> dict[str, Any]:
    """Return the line of the description that makes an object."""
    lines = map(json.loads, ec.trace(simulation, "describes").splitlines())
    found: dict[str, Any] = next(line for line in lines if line.get("id") == guid)
    return found


def test_tcp_with_other_defaults(
    ec: ExperimentController, simulation: int, nodes: list[int]
) -> None:
    """Default values hold for what is not given, also where the given value is that of ns-3."""
    ec.set(
        simulation,
        "defaults",
        {
            "ns3::TcpSocket::SegmentSize": 1000,
            "ns3::TcpL4Protocol::SocketType": "ns3::TcpVegas",
            "ns3::PointToPointNetDevice::DataRate": "5Mbps",
        },
    )
    ec.set(simulation, "flowMonitor", True)
    add_link(ec, *nodes, "10.0.0")
    slow, fast = add_link(ec, *nodes, "10.0.1")
    ec.set(slow, "DataRate", "32768bps")
    for network in ("10.0.0", "10.0.1"):
        options = {"Protocol": "ns3::TcpSocketFactory", "StopTime": 20}
        ec.register_resource(
            "ns3::BulkSendApplication", Remote=f"{network}.2:9", connectedTo=nodes[0], **options
        )
    ec.register_resource("ns3::PacketSink", Local="0.0.0.0:9", connectedTo=nodes[1], **options)
    carry_out(ec, simulation)
    assert line_of(ec, simulation, slow)["set"] == {"DataRate": "32768bps"}
    assert line_of(ec, simulation, fast)["set"] == {}
    sent = {row["destination"]: row for row in flows(ec, simulation)}
    wide, narrow = sent["10.0.0.2"], sent["10.0.1.2"]
    assert 1000 < int(wide["txBytes"]) / int(wide["txPackets"]) < 1060  # with headers
    assert float(wide["throughput"]) > 1e6
    assert float(narrow["throughput"]) < 32768


@pytest.mark.parametrize("routing", ["olsr", "aodv"])
def test_routes_over_a_chain_of_stations(
    ec: ExperimentController, simulation: int, routing: str
) -> None:
    """Each station reaches only its neighbours."""
    ec.set(simulation, "StopTime", "41s")
    air = ec.register_resource("ns3::YansWifiChannel")
    ec.register_resource("ns3::ConstantSpeedPropagationDelayModel", connectedTo=air)
    ec.register_resource("ns3::RangePropagationLossModel", MaxRange=60, connectedTo=air)
    chain = [add_node(ec, simulation) for _ in range(4)]
    for number, node in enumerate(chain):
        ec.set(node, "routing", routing)
        add_station(ec, node, air, f"10.0.0.{number + 1}", "AdhocWifiMac", f"{50 * number}:0:0")
    ping = add_ping(ec, chain[0], "10.0.0.4", "40s")
    ec.set(ping, "StartTime", "20s")
    text = carry_out(ec, simulation)
    assert ec.wait_finished(ping, timeout=30)
    assert "20 packets transmitted" in text
    assert text.count("ttl=62") >= 15, text


def test_losses_of_a_device(ec: ExperimentController, simulation: int, nodes: list[int]) -> None:
    device, _ = add_link(ec, *nodes, "10.0.0")
    ec.register_resource(
        "ns3::RateErrorModel", ErrorRate=0.5, ErrorUnit="ERROR_UNIT_PACKET", connectedTo=device
    )
    ec.enable_trace(device, "count:PhyRxDrop")
    add_ping(ec, nodes[0], "10.0.0.2")
    text = carry_out(ec, simulation)
    lost = 20 - text.count("ttl=64")
    assert calls(ec, device, "PhyRxDrop") == lost
    assert 0 < lost < 20


@pytest.mark.parametrize("kind", ["FqCoDelQueueDisc", "RedQueueDisc"])
def test_a_queue_discipline(
    ec: ExperimentController, simulation: int, nodes: list[int], kind: str
) -> None:
    """It drops what a slow link cannot send."""
    device, _ = add_link(ec, *nodes, "10.0.0", rate="100kbps")
    queue = ec.register_resource(f"ns3::{kind}", MaxSize="5p", connectedTo=device)
    for source in ("Enqueue", "Dequeue", "Drop"):
        ec.enable_trace(queue, f"count:{source}")
    options = {"Remote": "10.0.0.2:9", "StopTime": 10, "connectedTo": nodes[0]}
    ec.register_resource(
        "ns3::OnOffApplication",
        DataRate="1Mbps",
        OnTime="ns3::ConstantRandomVariable[Constant=1000]",
        OffTime="ns3::ConstantRandomVariable[Constant=0]",
        **options,
    )
    carry_out(ec, simulation)
    assert calls(ec, queue, "Drop") > 100
    assert calls(ec, queue, "Dequeue") > 10


def test_traffic_with_shared_random_numbers(
    ec: ExperimentController, simulation: int, nodes: list[int]
) -> None:
    """Two sources draw from one random variable; a sink receives what both send."""
    add_link(ec, *nodes, "10.0.0", rate="5Mbps")
    silence = ec.register_resource(
        "ns3::UniformRandomVariable", attribute="OffTime", Min=0.1, Max=0.2
    )
    sources = []
    for _ in range(2):
        sources.append(
            ec.register_resource(
                "ns3::OnOffApplication", Remote="10.0.0.2:9", StopTime=10, connectedTo=nodes[0]
            )
        )
        ec.register_connection(sources[-1], silence)
        ec.enable_trace(sources[-1], "count:Tx")
    sink = ec.register_resource(
        "ns3::PacketSink", Local="0.0.0.0:9", StopTime=20, connectedTo=nodes[1]
    )
    ec.enable_trace(sink, "count:Rx")
    carry_out(ec, simulation)
    sent = [calls(ec, source, "Tx") for source in sources]
    assert min(sent) > 500
    assert calls(ec, sink, "Rx") == sum(sent)
    for source in sources:
        assert line_of(ec, simulation, source)["set"]["OffTime"] == {"ref": silence}


def test_a_part_without_effect_is_refused(
    ec: ExperimentController, simulation: int, nodes: list[int]
) -> None:
    device, _ = add_link(ec, *nodes, "10.0.0")
    queue = ec.register_resource("ns3::FqCoDelQueueDisc", connectedTo=device)
    part = ec.register_resource("ns3::UniformRandomVariable", label="unused", connectedTo=queue)
    ec.deploy()
    assert not ec.wait_finished(simulation, timeout=60)
    assert part
    (failure,) = [item for item in ec.failures if item.guid == simulation]
    assert "unused (ns3::UniformRandomVariable) is a part of an object that cannot" in str(failure)


def test_values_and_parts_of_a_wifi_device(
    ec: ExperimentController, simulation: int, nodes: list[int]
) -> None:
    """A model of losses after reception is a part of the physical layer."""
    air = ec.register_resource("ns3::YansWifiChannel")
    ec.register_resource("ns3::ConstantSpeedPropagationDelayModel", connectedTo=air)
    ec.register_resource("ns3::LogDistancePropagationLossModel", connectedTo=air)
    devices = [
        add_station(ec, node, air, f"10.0.0.{n}", "AdhocWifiMac", f"{n}:0:0")
        for n, node in enumerate(nodes, 1)
    ]
    ec.set(devices[0], "Mtu", 300)
    phy = next(
        guid
        for guid in ec.connections(devices[1])
        if guid in {view.guid for view in ec.get_resources_by_type("ns3::YansWifiPhy")}
    )
    ec.register_resource(
        "ns3::RateErrorModel", ErrorRate=1, ErrorUnit="ERROR_UNIT_PACKET", connectedTo=phy
    )
    add_ping(ec, nodes[0], "10.0.0.2", "5s")
    assert "100% packet loss" in carry_out(ec, simulation)
    assert line_of(ec, simulation, devices[0])["set"] == {"Mtu": 300}


def test_a_bridge(ec: ExperimentController, simulation: int, nodes: list[int]) -> None:
    """Two buses that a switch joins."""
    switch = add_node(ec, simulation)
    ec.set(switch, "enableStack", False)
    bridge = ec.register_resource("ns3::BridgeNetDevice", connectedTo=switch)
    for number, node in enumerate(nodes, 1):
        bus = ec.register_resource("ns3::CsmaChannel")
        end = add_device(ec, "ns3::CsmaNetDevice", node, f"10.0.0.{number}")
        port = ec.register_resource("ns3::CsmaNetDevice", connectedTo=switch)
        ec.register_connection(bridge, port)
        for device in (end, port):
            ec.register_connection(bus, device)
    add_ping(ec, nodes[0], "10.0.0.2")
    assert "20 packets transmitted, 20 received" in carry_out(ec, simulation)


def test_a_topology_of_simulated_nodes(make: Make, need: Need) -> None:
    """A tree whose leaves reach each other by computed routes."""
    need("networkx", importlib.util.find_spec("networkx"), "the Python package")
    ec = make(topo_type="tree", node_count=7, branches=2, assign_ips=True)
    simulation = add_simulation(ec, ec.register_resource("linux::Node"))
    ec.set(simulation, "populateRoutingTables", True)
    tree = ec.netgraph
    guids = {nid: add_node(ec, simulation) for nid in tree.nodes()}
    for one, other in tree.edges():
        link = tree.p2p_info(one, other)
        channel = ec.register_resource("ns3::PointToPointChannel", Delay="2ms")
        for nid, address in ((one, link.address), (other, link.peer)):
            ec.register_resource(
                "ns3::PointToPointNetDevice",
                ip=address,
                prefix=link.prefix,
                connectedTo=[guids[nid], channel],
            )
    add_ping(ec, guids[3], tree.p2p_info(6, 2).address)
    text = carry_out(ec, simulation)
    assert "20 packets transmitted, 20 received" in text
    assert "ttl=61" in text
