"""Cases 39 and 40, NEPI's Wi-Fi example, and simulations while they run."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from tests.conformance.conftest import Make
from tests.conformance.ns3 import (
    REALTIME,
    add_air,
    add_bus,
    add_link,
    add_node,
    add_ping,
    add_simulation,
    add_station,
)

from nepiq.controller import ExperimentController, ResourceAction, ResourceState, TraceAttr
from nepiq.controller.model import registry
from nepiq.controller.resources.ns3 import catalogue, typeids

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ns3"),
    pytest.mark.usefixtures("ns3"),
]

TYPES = Path(typeids.__file__).with_name("types.json")
ALL_BACK = "20 packets transmitted, 20 received, 0% packet loss"


@pytest.fixture
def host(ec: ExperimentController) -> int:
    return ec.register_resource("linux::Node", hostname="localhost")


def _moment(time: datetime | None) -> float:
    assert time is not None
    return time.timestamp()


def carry_out(ec: ExperimentController, *guids: int) -> None:
    ec.deploy()
    assert ec.wait_finished(list(guids), timeout=120), ec.failures


@pytest.mark.parametrize("network", ["p2p", "csma", "wifi"])
def test_case_39_a_ping(ec: ExperimentController, host: int, network: str) -> None:
    simulation = add_simulation(ec, host)
    nodes = [add_node(ec, simulation) for _ in range(2)]
    if network == "p2p":
        add_link(ec, *nodes, "10.0.0")
    elif network == "csma":
        add_bus(ec, nodes, "10.0.0")
    else:
        air = add_air(ec)
        add_station(ec, nodes[0], air, "10.0.0.1", "AdhocWifiMac", "0:0:0")
        add_station(ec, nodes[1], air, "10.0.0.2", "AdhocWifiMac", "20:20:0")
    ping = add_ping(ec, nodes[0], "10.0.0.2")
    carry_out(ec, ping, simulation)
    assert ALL_BACK in ec.trace(simulation, "stdout")
    assert ec.state(ping) is ResourceState.FINISHED
    assert ec.get(simulation, "exitCode") == 0
    assert ec.wait_finished(timeout=10)  # of all that end by themselves


def test_case_39_in_real_time(ec: ExperimentController, host: int) -> None:
    simulation = add_simulation(ec, host)
    ec.set(simulation, "simulatorImplementationType", REALTIME)
    nodes = [add_node(ec, simulation) for _ in range(2)]
    add_bus(ec, nodes, "10.0.0")
    ping = add_ping(ec, nodes[0], "10.0.0.2")
    carry_out(ec, ping)
    lasted = _moment(ec.get_stop_time(ping)) - _moment(ec.get_start_time(ping))
    # A host tells the moments of processes to a hundredth of a second (/proc/uptime).
    assert 20 - 0.02 <= lasted < 21
    assert ec.wait_finished(simulation, timeout=30)
    assert ALL_BACK in ec.trace(simulation, "stdout")


def test_case_40_traces_of_devices(ec: ExperimentController, host: int) -> None:
    simulation = add_simulation(ec, host)
    nodes = [add_node(ec, simulation) for _ in range(2)]
    one, two = add_link(ec, *nodes, "10.0.0")
    ping = add_ping(ec, nodes[0], "10.0.0.2")
    assert not ec.trace_enabled(one, "ascii")
    for name in ("ascii", "pcap", "count:MacTx"):
        ec.enable_trace(one, name)
    ec.enable_trace(two, "MacRx")
    assert ec.trace_enabled(one, "ascii")
    ec.enable_trace(ping, "Rtt")
    carry_out(ec, ping, simulation)

    text = ec.trace(one, "ascii")
    assert ec.trace(one, "ascii", TraceAttr.SIZE) == len(text) > 100
    assert ec.trace(one, "ascii", TraceAttr.STREAM, block=10, offset=2) == text[20:30]
    assert ec.trace(one, "ascii", TraceAttr.PATH).endswith("/ascii")
    # As many requests as replies, of 84 bytes in IPv4 and 2 of PPP each.
    assert text.count("\n") == 20 * 3
    pcap = ec.trace(one, "pcap", text=False)
    assert pcap[:4] == b"\xd4\xc3\xb2\xa1"
    assert len(pcap) == 24 + 40 * (16 + 86)
    assert ec.trace(one, "MacTx.count") == "calls,bytes\n20,1720\n"
    rows = ec.trace(two, "MacRx").splitlines()
    assert rows[0] == "time,bytes,packet"
    assert len(rows) == 21
    times = [float(row.split(",")[2]) for row in ec.trace(ping, "Rtt").splitlines()[1:]]
    assert len(times) == 20
    assert max(times) - min(times) < 1e-9


@pytest.mark.parametrize("computed", [False, True])
def test_case_40_routes_over_mixed_links(
    ec: ExperimentController, host: int, computed: bool
) -> None:
    """A link, a bus and a link: n1 - n2 = (n3) = n4 - n5."""
    simulation = add_simulation(ec, host)
    one, two, three, four, five = (add_node(ec, simulation) for _ in range(5))
    add_link(ec, one, two, "10.1.1")
    add_bus(ec, [two, three, four], "10.1.2")
    add_link(ec, four, five, "10.1.3")
    if computed:
        ec.set(simulation, "populateRoutingTables", True)
    else:
        for node, network, hop in (
            (one, "10.1.3.0", "10.1.1.2"),
            (two, "10.1.3.0", "10.1.2.3"),
            (four, "10.1.1.0", "10.1.2.1"),
            (five, "10.1.1.0", "10.1.3.1"),
        ):
            route = ec.register_resource("ns3::Route", network=network, prefix=30, nexthop=hop)
            ec.register_connection(route, node)
    ping = add_ping(ec, one, "10.1.3.2")
    carry_out(ec, ping, simulation)
    assert ALL_BACK in ec.trace(simulation, "stdout")
    assert "ttl=62" in ec.trace(simulation, "stdout")


def test_script_i_an_access_point_and_six_that_move(ec: ExperimentController, host: int) -> None:
    simulation = add_simulation(ec, host)
    air = add_air(ec)
    point = add_node(ec, simulation)
    device = add_station(ec, point, air, "10.0.0.7", "ApWifiMac", "50:50:0")
    stations = [add_node(ec, simulation) for _ in range(6)]
    for number, node in enumerate(stations, 1):
        place = f"{40 + 3 * number}:{55 - 3 * number}:0"
        add_station(ec, node, air, f"10.0.0.{number}", "StaWifiMac", place, speed=1)
    ping = add_ping(ec, stations[0], "10.0.0.7")
    ec.enable_trace(device, "pcap")
    carry_out(ec, ping, simulation)
    text = ec.trace(simulation, "stdout")
    assert "20 packets transmitted" in text
    assert "64 bytes from 10.0.0.7" in text
    drawn = ec.graph().vertices
    assert drawn[device].frame == drawn[air].frame == simulation
    assert drawn[simulation].frame == host
    assert ec.trace(device, "pcap", text=False)[:4] == b"\xd4\xc3\xb2\xa1"


def test_a_simulation_is_talked_to_while_it_runs(make: Make) -> None:
    """An attribute is read and set, and applications of both worlds wait for each other."""
    ec = make()
    host = ec.register_resource("linux::Node")
    simulation = add_simulation(ec, host, "300s")
    ec.set(simulation, "simulatorImplementationType", REALTIME)
    nodes = [add_node(ec, simulation) for _ in range(2)]
    device, _ = add_link(ec, *nodes, "10.0.0")
    ec.enable_trace(device, "MacTx")
    echo = ec.register_resource("ns3::UdpEchoServer", Port=9, connectedTo=nodes[1])
    real = ec.register_resource(
        "linux::Application", command="date +%s.%N; exec sleep 60", connectedTo=host
    )
    ping = add_ping(ec, nodes[0], "10.0.0.2", "60s")
    ec.set(ping, "Interval", "20ms")
    ec.register_condition(real, ResourceAction.START, echo, ResourceState.STARTED)
    ec.register_condition(ping, ResourceAction.START, real, ResourceState.STARTED, "300ms")
    ec.register_condition(echo, ResourceAction.STOP, ping, ResourceState.STARTED, "500ms")
    ec.deploy()
    assert ec.wait_started([simulation, echo, real, ping], timeout=120), ec.failures
    order = [_moment(ec.get_start_time(guid)) for guid in (simulation, echo, real, ping)]
    assert order == sorted(order)

    ec.set(device, "observe", "DataRate")
    assert ec.get(device, "DataRate") == "32768bps"
    ec.set(device, "DataRate", "5Mbps")
    ec.set(device, "observe", ["DataRate", "Mtu"])
    assert ec.get(device, "DataRate") == "5000000bps"
    assert ec.get(device, "Mtu") == 1500

    assert ec.wait_finished(echo, timeout=30)
    assert ec.state(echo) is ResourceState.STOPPED
    deadline = time.monotonic() + 30
    while ec.trace(device, "MacTx").count("\n") < 10:
        assert time.monotonic() < deadline, "the trace of a running simulation stays empty"
        time.sleep(0.1)
    ec.stop(simulation)
    assert ec.state(simulation) is ResourceState.STOPPED
    assert ec.wait_finished(ping, timeout=30)
    assert "packets transmitted" in ec.trace(simulation, "stdout")


def test_the_types_are_those_of_the_pinned_version(ec: ExperimentController, host: int) -> None:
    """If it fails: python tools/ns3_types.py writes them again."""
    simulation = add_simulation(ec, host)
    ec.deploy()
    assert ec.wait_deployed(simulation, timeout=120)
    simulator = f"{ec.get(simulation, 'simulator')}/simulator"
    done = subprocess.run([simulator, "types"], check=True, capture_output=True, timeout=30)
    assert json.loads(done.stdout) == json.loads(TYPES.read_text())
    assert ec.get(simulation, "version") == typeids.version()


def test_every_type_has_a_class() -> None:
    for name in catalogue.names():
        cls = registry.find(name)
        assert cls.rtype == name
        assert not cls.internal
