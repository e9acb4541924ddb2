"""ns3::* and linux::ns3::Simulation: types, values, and the description that ns-3 is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import (
    InvalidValue,
    NotAllowed,
    TraceNotFound,
    UnknownType,
)
from nepiq.controller.model import Action, State, namespace_name, registry
from nepiq.controller.model.spec import Gate
from nepiq.controller.resources.linux.node import Node
from nepiq.controller.resources.ns3 import catalogue, description, kinds, typeids
from nepiq.controller.testing import Harness

Line = dict[str, Any]


class Network:
    """Two nodes of a simulation on a host."""

    def __init__(self, **settings: Any) -> None:
        self.description = Description("net")
        self.host = self.add("linux::Node")
        self.simulation = self.add("linux::ns3::Simulation", self.host, **settings)
        self.nodes = [self.add("ns3::Node", self.simulation, enableStack=True) for _ in range(2)]

    def add(self, rtype: str, *peers: int, **settings: Any) -> int:
        guid = self.description.add(rtype, **settings)
        for peer in peers:
            self.description.connect(guid, peer)
        return guid

    def lines(self) -> list[Line]:
        return list(description.lines(self.description.instance(self.simulation)))  # type: ignore[arg-type]

    def verbs(self) -> list[str]:
        return [line["do"] for line in self.lines()]

    def line(self, guid: int, verb: str = "create") -> Line:
        (found,) = [x for x in self.lines() if x["do"] == verb and x.get("id") == guid]
        return found


def link(network: Network) -> tuple[int, list[int]]:
    channel = network.add("ns3::PointToPointChannel", Delay="2ms")
    devices = [
        network.add("ns3::PointToPointNetDevice", node, channel, ip=f"10.0.0.{number}")
        for number, node in enumerate(network.nodes, 1)
    ]
    return channel, devices


# --- types


def test_every_constructible_type_is_there() -> None:
    names = registry.names()
    assert {"ns3::CsmaNetDevice", "ns3::UdpEchoServer", "ns3::olsr::RoutingProtocol"} <= {*names}
    assert len(catalogue.names()) > 450
    device = registry.find("ns3::CsmaNetDevice")
    assert device.rtype == "ns3::CsmaNetDevice"
    assert device.attributes["Mtu"].range == (0, 65535)
    assert device.attributes["EncapsulationMode"].allowed == ("Dix", "Llc")
    assert {"pcap", "ascii", "MacTx"} <= set(device.traces)


def test_near_misses_and_families() -> None:
    with pytest.raises(UnknownType, match="ns3::CsmaNetDevice"):
        registry.find("ns3::CsmaNetDevic")
    for family in ("ns3::Channel", "ns3::Application", "ns3::Object"):
        assert family not in registry.names()


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (kinds.Time, ["20ms", "1.5s", 3, 0.25, "+2e+09ns"], ["soon", "1 hour", "", True, "1sec"]),
        (kinds.DataRate, ["5Mbps", "54Mb/s", "1.5Gbps", "100bps"], ["5", "fast", "5 M", 5]),
        (kinds.Vector, ["1:2:3", "1:2", [1, 2], [1.5, 2, 3]], ["1", "a:b:c", [1]]),
        (kinds.QueueSize, ["100p", "15000B", "2kB"], ["100", "p"]),
        (kinds.SocketAddress, ["10.0.0.1:9", "10.0.0.1", "[::1]:9", ""], ["10.0.0.256", "host:9"]),
        (kinds.Constructed, ["ns3::ConstantRandomVariable[Constant=1]"], ["Constant=1", "ns3::"]),
        (kinds.Mac, ["00:00:00:00:00:01"], ["1", "00-00-00-00-00-01"]),
        (kinds.Rectangle, ["0|100|0|100"], ["0|100", "a|b|c|d"]),
    ],
)
def test_forms_of_values(kind: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        kind.parse(value)
    for value in bad:
        with pytest.raises(InvalidValue, match="must be"):
            kind.parse(value)


def test_what_ns3_writes_is_a_default() -> None:
    """Defaults in the registry are values that users could give."""
    for name in catalogue.names():
        for attribute in registry.find(name).attributes.values():
            if attribute.default is not None:
                attribute.check(attribute.default)


# --- descriptions


def test_a_link_in_the_order_of_ns3s_examples() -> None:
    network = Network(StopTime="9s", seed=3, run=7, populateRoutingTables=True, flowMonitor=True)
    channel, devices = link(network)
    echo = network.add("ns3::UdpEchoServer", network.nodes[1], Port=9)
    assert network.verbs() == [
        *["global"] * 3,
        *["create"] * 2,
        "create",
        *["create", "device"] * 2,
        *["stack"] * 2,
        *["address"] * 2,
        *["create", "application"],
        "populate",
        "flows",
        "stop",
    ]
    assert network.line(channel)["set"] == {"Delay": "2ms"}
    assert network.line(devices[0], "device")["channel"] == channel
    assert network.line(echo)["set"] == {"Port": 9}
    assert network.lines()[-1]["at"] == "9s"


def test_parts_become_values_of_attributes() -> None:
    network = Network()
    _, (device, _) = link(network)
    queue = network.add("ns3::DropTailQueue", device, MaxSize="10p")
    error = network.add("ns3::RateErrorModel", device, ErrorRate=0.1)
    assert network.line(device)["set"] == {"ReceiveErrorModel": {"ref": error}}
    assert network.line(device, "device")["queue"] == queue
    assert network.line(queue)["type"] == "ns3::DropTailQueue<Packet>"
    network.add("ns3::NistErrorRateModel", device)
    with pytest.raises(InvalidValue, match="none of its attributes takes such an object"):
        network.lines()


def test_a_wifi_device_with_and_without_parts() -> None:
    network = Network()
    air = network.add("ns3::YansWifiChannel")
    network.add("ns3::LogDistancePropagationLossModel", air, Exponent=2.5)
    plain = network.add("ns3::WifiNetDevice", network.nodes[0], air, standard="80211n")
    device = network.add("ns3::WifiNetDevice", network.nodes[1])
    phy = network.add("ns3::YansWifiPhy", device, air, Standard="WIFI_PHY_STANDARD_80211b")
    network.add("ns3::NistErrorRateModel", phy)
    network.add("ns3::ConstantRateWifiManager", device, DataMode="DsssRate11Mbps")
    network.add("ns3::StaWifiMac", device)
    line = network.line(plain, "wifi")
    assert (line["standard"], line["channel"]) == ("80211n", air)
    assert "phy" not in line
    line = network.line(device, "wifi")
    assert (line["standard"], line["channel"]) == ("80211b", air)
    assert line["phy"]["set"] == {}
    assert line["error"]["type"] == "ns3::NistErrorRateModel"
    assert line["manager"]["set"] == {"DataMode": "DsssRate11Mbps"}
    alone = network.add("ns3::WifiNetDevice", network.nodes[0])
    assert alone
    with pytest.raises(InvalidValue, match="has no channel"):
        network.lines()


def test_older_names_of_attributes() -> None:
    network = Network()
    ping = network.add("ns3::V4Ping", network.nodes[0], Remote="10.0.0.2", Verbose=False)
    line = network.line(ping)
    assert line["type"] == "ns3::Ping"
    assert line["set"] == {"Destination": "10.0.0.2", "VerboseMode": "Quiet"}


def test_traces_are_written_on_request() -> None:
    network = Network()
    _, (device, _) = link(network)
    item = network.description.resource(device)
    assert item.trace_switch("pcap") == item.trace_switch("count:MacTx") == "tracing"
    with pytest.raises(TraceNotFound):
        item.trace_switch("MacTxx")
    network.description.set(device, "tracing", ["pcap", "MacTx", "count:MacRx"])
    traces = [line for line in network.lines() if line["do"] == "trace"]
    assert [(line["source"], line["file"]) for line in traces] == [
        ("pcap", f"../../{device}/1/pcap"),
        ("MacTx", f"../../{device}/1/MacTx.csv"),
        ("count:MacRx", f"../../{device}/1/MacRx.count"),
    ]


def test_applications_start_after_their_simulation() -> None:
    network = Network(simulatorImplementationType="ns3::RealtimeSimulatorImpl")
    ping = network.add("ns3::Ping", network.nodes[0], Destination="10.0.0.2")
    node, simulation = network.nodes[0], network.simulation
    gates = network.description.spec(ping).gates
    assert Gate("start", node, "STARTED", need=True) in gates
    gates = network.description.spec(node).gates
    assert Gate("start", simulation, "STARTED", need=True) in gates
    assert network.description.spec(ping).host == network.host
    network.description.condition(ping, Action.START, node, State.STARTED, "1s")
    network.description.check()


def test_what_does_not_go_together() -> None:
    network = Network()
    ping = network.add("ns3::Ping", network.nodes[0], Destination="10.0.0.2")
    network.description.condition(ping, Action.START, network.nodes[1], State.STARTED)
    with pytest.raises(InvalidValue, match="real time"):
        network.description.check()
    with pytest.raises(NotAllowed):
        network.add("ns3::CsmaNetDevice", network.simulation)
    assert typeids.version()


# --- links to real networks


def test_a_tap_joins_an_emulated_host_to_a_simulated_device() -> None:
    network = Network()
    lab = network.add("netns::Node", network.host)
    device = network.add("ns3::FdNetDevice", network.nodes[0])
    tap = network.add("linux::ns3::TapLink", lab, gateway="10.1.0.1", deviceName="tap0")
    network.description.connect(tap, device)
    plain = network.add("ns3::FdNetDevice", network.nodes[1])
    interface = network.add("linux::Tap", network.host)
    network.add("linux::ns3::TunTapFdLink", interface, device=plain)
    with pytest.raises(InvalidValue, match="real time and checksums"):
        network.description.check()
    taps = {line["device"]: line for line in network.lines() if line["do"] == "tap"}
    assert taps[device]["name"] == "tap0"
    assert taps[device]["namespace"] == namespace_name("", lab)
    assert taps[plain]["name"].startswith("tap")
    assert taps[plain]["namespace"] == ""


def test_a_tap_link_has_a_default_route() -> None:
    lab = Harness("netns::Node", node=Harness(Node))
    lab.host.facts = replace(lab.host.facts, link_kinds=("tun",))
    tap = Harness("linux::ns3::TapLink", node=lab, deviceName="tap0", gateway="10.1.0.1")
    lab.host.answer("tuntap", '[{"ifname": "tap0", "mtu": 1500}]')
    tap.deploy()
    command = next(call.command for call in tap.host.calls if "tuntap" in call.command)
    assert "ip tuntap add tap0 mode tap user user" in command
    assert command.endswith("ip route add default via 10.1.0.1 dev tap0 proto 113")
