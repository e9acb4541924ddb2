"""Networks of simulated nodes, described as NEPI's scripts do."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nepiq.controller import ExperimentController

if TYPE_CHECKING:
    from tests.conftest import Need

REALTIME = "ns3::RealtimeSimulatorImpl"


def required(need: Need) -> None:
    """Skip, or fail under CI, without ns-3 and a compiler."""
    need("ns3", importlib.util.find_spec("ns3"), "the Python package of ns-3")
    need("g++", shutil.which("g++"), "a C++ compiler")


def share_builds(home: Path, builds: Path) -> None:
    """Have the hosts with this home use what was compiled for other tests."""
    folder = home / ".nepiq/.usr/ns3"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.symlink_to(builds)


def add_simulation(ec: ExperimentController, host: int, stop: str = "21s") -> int:
    simulation = ec.register_resource("linux::ns3::Simulation")
    ec.set(simulation, "StopTime", stop)
    ec.register_connection(simulation, host)
    return simulation


def add_node(ec: ExperimentController, simulation: int) -> int:
    node = ec.register_resource("ns3::Node")
    ec.set(node, "enableStack", True)
    ec.register_connection(node, simulation)
    return node


def add_device(ec: ExperimentController, rtype: str, node: int, ip: str, prefix: int = 24) -> int:
    device = ec.register_resource(rtype)
    ec.set(device, "ip", ip)
    ec.set(device, "prefix", prefix)
    ec.register_connection(node, device)
    queue = ec.register_resource("ns3::DropTailQueue")
    ec.register_connection(device, queue)
    return device


def add_link(
    ec: ExperimentController,
    one: int,
    two: int,
    network: str,
    prefix: int = 30,
    rate: str | None = None,
    delay: str = "0s",
) -> tuple[int, int]:
    """A point-to-point link of two nodes with the addresses .1 and .2."""
    devices = [
        add_device(ec, "ns3::PointToPointNetDevice", node, f"{network}.{number}", prefix)
        for number, node in enumerate((one, two), 1)
    ]
    channel = ec.register_resource("ns3::PointToPointChannel")
    ec.set(channel, "Delay", delay)
    for device in devices:
        if rate is not None:
            ec.set(device, "DataRate", rate)
        ec.register_connection(channel, device)
    return devices[0], devices[1]


def add_bus(ec: ExperimentController, nodes: list[int], network: str) -> list[int]:
    """A CSMA bus of nodes with the addresses .1, .2, ..."""
    channel = ec.register_resource("ns3::CsmaChannel")
    ec.set(channel, "Delay", "0s")
    devices = [
        add_device(ec, "ns3::CsmaNetDevice", node, f"{network}.{number}")
        for number, node in enumerate(nodes, 1)
    ]
    for device in devices:
        ec.register_connection(channel, device)
    return devices


def add_air(ec: ExperimentController) -> int:
    """A channel of Wi-Fi with delay and loss."""
    channel = ec.register_resource("ns3::YansWifiChannel")
    delay = ec.register_resource("ns3::ConstantSpeedPropagationDelayModel")
    ec.register_connection(channel, delay)
    loss = ec.register_resource("ns3::LogDistancePropagationLossModel")
    ec.register_connection(channel, loss)
    return channel


def add_station(
    ec: ExperimentController, node: int, air: int, ip: str, mac: str, position: str, speed: int = 0
) -> int:
    """A Wi-Fi device of a node, which stands or moves at random in a square of 100 m."""
    kind = "RandomDirection2dMobilityModel" if speed else "ConstantPositionMobilityModel"
    mobility = ec.register_resource(f"ns3::{kind}")
    ec.set(mobility, "Position", position)
    if speed:
        ec.set(mobility, "Bounds", "0|100|0|100")
        ec.set(mobility, "Speed", f"ns3::ConstantRandomVariable[Constant={speed}]")
        ec.set(mobility, "Pause", "ns3::ConstantRandomVariable[Constant=0.2]")
    ec.register_connection(node, mobility)
    device = ec.register_resource("ns3::WifiNetDevice")
    ec.set(device, "ip", ip)
    ec.set(device, "prefix", 24)
    ec.register_connection(node, device)
    phy = ec.register_resource("ns3::YansWifiPhy")
    ec.set(phy, "Standard", "WIFI_PHY_STANDARD_80211a")
    ec.register_connection(device, phy)
    error = ec.register_resource("ns3::NistErrorRateModel")
    ec.register_connection(phy, error)
    manager = ec.register_resource("ns3::ArfWifiManager")
    ec.register_connection(device, manager)
    control = ec.register_resource(f"ns3::{mac}")
    ec.set(control, "Standard", "WIFI_PHY_STANDARD_80211a")
    ec.register_connection(device, control)
    ec.register_connection(phy, air)
    return device


def add_ping(ec: ExperimentController, node: int, remote: str, stop: str = "20s") -> int:
    ping = ec.register_resource("ns3::V4Ping")
    ec.set(ping, "Remote", remote)
    ec.set(ping, "Interval", "1s")
    ec.set(ping, "Verbose", True)
    ec.set(ping, "StartTime", "0s")
    ec.set(ping, "StopTime", stop)
    ec.register_connection(ping, node)
    return ping
