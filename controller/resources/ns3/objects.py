"""The families of ns-3 objects: what each kind of object is connected to.

A type such as ``ns3::CsmaNetDevice`` is a class of its own (types.py) with the attributes of its
TypeId, derived from one of the families here. The simulation that they belong to makes all objects
at once (description.py); the hooks here only act on the running simulation.
"""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import InvalidValue, UnknownAttribute
from ...model import Action, Attribute, Connection, Context, Flag, Launch, ResourceManager
from . import kinds
from .declarations import declarations
from .kinds import Ipv4, Mac

if TYPE_CHECKING:
    from ..linux.network.tuntap import Tap
    from .simulation import Simulation

_NAME = re.compile(r"(count:)?[A-Za-z]\w*", re.ASCII)


class TraceNames(tuple[str, ...]):
    """Names of trace sources, separated by blanks or commas, or as a list."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> TraceNames:
        """Return the names, each once."""
        names = re.split(r"[,\s]+", value) if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(
            isinstance(name, str) and (not name or _NAME.fullmatch(name)) for name in names
        ):
            raise InvalidValue('must be names of trace sources, as "MacTx, count:MacRx"')
        return cls(dict.fromkeys(name for name in names if name))


class Ns3Object(ResourceManager, rtype="ns3::Object"):
    """An object in a simulation.

    Attributes:
        typeid: the name of its type in ns-3.
        settings: the names of the attributes that ns-3 knows.
        renamed: by the older name of an attribute, today's name, and today's values by older ones.
    """

    internal = True
    endless = True
    typeid: ClassVar[str] = ""
    settings: ClassVar[frozenset[str]] = frozenset()
    renamed: ClassVar[Mapping[str, tuple[str, Mapping[Any, Any]]]] = {}

    tracing = Attribute(
        TraceNames,
        "",
        help="Trace sources written as CSV, as NAME.csv; count:NAME writes only their number. "
        "Devices also have pcap, promiscPcap and ascii. Each can be enabled by enable_trace.",
        flags=Flag.DESIGN,
    )

    observe = Attribute(
        TraceNames,
        "",
        help="Attributes to read from the running simulation, each time this is set; get then "
        "returns what was read.",
    )

    parts = Connection("ns3::Part", many=True, help="Objects that are values of its attributes.")

    def given(self) -> dict[str, Any]:
        """Return the values of ns-3's attributes that users gave, by today's names."""
        names = [*self.renamed, *sorted(self.settings)]
        values = [
            self._today(name, getattr(self, name))
            for name in names
            if self.stored(name) is not None
        ]
        return dict(values)

    def _today(self, name: str, value: Any) -> tuple[str, Any]:
        new, values = self.renamed.get(name, (name, {}))
        return new, values.get(value, value)

    def simulated_in(self) -> Simulation | None:
        """Return the simulation that it belongs to; None if it is not connected to one."""
        for name in self.waiting:
            for peer in self.peers.get(name, ()):
                found: Simulation | None = (
                    peer if peer.rtype == "linux::ns3::Simulation" else peer.simulated_in()
                )
                if found is not None:
                    return found
        return None

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change an attribute in the running simulation; before its start the value is kept."""
        simulation = self.simulated_in()
        if simulation is None:
            return
        if name == "observe":
            for wanted in value:
                self._observe(context, simulation, wanted)
        elif name in self.settings or name in self.renamed:
            name, value = self._today(name, value)
            change = {"do": "set", "id": self.guid, "name": name, "value": value}
            simulation.request(context, change)

    def _observe(self, context: Context, simulation: Simulation, name: str) -> None:
        """Assign the present value of an attribute.

        Raises:
            UnknownAttribute: ns-3 has no such attribute.
        """
        if name not in self.settings:
            raise UnknownAttribute(name, self.settings, where=self.label)
        answer = simulation.request(context, {"do": "get", "id": self.guid, "name": name})
        if answer:
            self.assign(name, kinds.from_text(self.attributes[name], answer))


class Node(Ns3Object, rtype="ns3::Node"):
    """A node of a simulated network."""

    vars().update(declarations("ns3::Node"))

    enableStack = Attribute(
        bool, False, help="Install the internet stack: IP, ICMP, UDP, TCP.", flags=Flag.DESIGN
    )
    routing = Attribute(
        str,
        "global",
        allowed=("global", "static", "olsr", "aodv"),
        help="How the stack finds routes; global and olsr include static routes.",
        flags=Flag.DESIGN,
    )

    simulation = Connection(
        "linux::ns3::Simulation", required=True, follows=True, help="The simulation it is part of."
    )
    devices = Connection("ns3::NetDevice", many=True, help="Its network devices.")
    applications = Connection("ns3::Application", many=True, help="Its applications.")
    mobility = Connection("ns3::MobilityModel", help="Where it is, and how it moves.")
    protocols = Connection("ns3::Protocol", many=True, help="Protocols of its stack.")
    routes = Connection("ns3::Route", many=True, help="Its static routes.")


class Device(Ns3Object, rtype="ns3::NetDevice"):
    """A network device of a node."""

    internal = True

    ip = Attribute(Ipv4, help="Its IPv4 address.", flags=Flag.DESIGN)
    prefix = Attribute(
        int, 24, help="Length of the network prefix.", range=(0, 32), flags=Flag.DESIGN
    )
    mac = Attribute(Mac, help="Its MAC address; by default the next free one.", flags=Flag.DESIGN)

    node = Connection("ns3::Node", required=True, help="Its node.")
    channel = Connection("ns3::Channel", help="What it is attached to.")
    discipline = Connection("ns3::QueueDisc", help="Its queue discipline; by default ns-3's.")
    tap = Connection("linux::ns3::TapLink", help="The TAP interface of the host it is joined to.")
    tap_link = Connection(
        "linux::ns3::TunTapFdLink", help="What joins it to a TAP interface of the host."
    )
    bridge = Connection("ns3::BridgeNetDevice", help="The bridge of which it is a port.")

    def joined(self) -> Tap | None:
        """Return the TAP interface of the host that it is joined to."""
        tap: Tap | None = self.tap if self.tap_link is None else self.tap_link.tap
        return tap


class WifiNetDevice(Device, rtype="ns3::WifiNetDevice"):
    """A Wi-Fi device; what is not connected is made as ns-3's WifiHelper does."""

    vars().update(declarations("ns3::WifiNetDevice"))

    standard = Attribute(
        str,
        "80211a",
        allowed=("80211a", "80211b", "80211g", "80211p", "80211n", "80211ac", "80211ax"),
        help="The IEEE 802.11 standard.",
        flags=Flag.DESIGN,
    )

    phy = Connection("ns3::WifiPhy", help="Its physical layer; by default YansWifiPhy.")
    medium_access = Connection("ns3::WifiMac", help="Its MAC; by default AdhocWifiMac.")
    manager = Connection(
        "ns3::WifiRemoteStationManager", help="Its rate control; by default IdealWifiManager."
    )


class BridgeNetDevice(Device, rtype="ns3::BridgeNetDevice"):
    """A bridge of devices of the same node."""

    vars().update(declarations("ns3::BridgeNetDevice"))

    ports = Connection("ns3::NetDevice", many=True, help="The devices that it joins.")


class _WifiStandard(str):
    """A standard, also in NEPI's form ``WIFI_PHY_STANDARD_80211a``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> _WifiStandard:
        """Return the standard without the prefix."""
        text = value if isinstance(value, str) else ""
        for prefix in ("WIFI_PHY_STANDARD_", "WIFI_STANDARD_"):
            text = text.removeprefix(prefix)
        text = {"80211_5MHZ": "80211a", "80211_10MHZ": "80211p"}.get(text, text)
        if text not in (WifiNetDevice.attributes["standard"].allowed or ()):
            raise InvalidValue("must be a standard such as 80211a or WIFI_PHY_STANDARD_80211a")
        return cls(text)


class _WifiPart(Ns3Object):
    Standard = Attribute(
        _WifiStandard,
        help="The standard, in NEPI's scripts; else set the device's.",
        flags=Flag.DESIGN,
    )

    device = Connection("ns3::WifiNetDevice", required=True, help="The device it is part of.")


class WifiPhy(_WifiPart, rtype="ns3::WifiPhy"):
    """The physical layer of a Wi-Fi device."""

    internal = True

    channel = Connection("ns3::Channel", help="The channel that it sends on.")


class WifiMac(_WifiPart, rtype="ns3::WifiMac"):
    """The medium access control of a Wi-Fi device."""

    internal = True


class WifiManager(_WifiPart, rtype="ns3::WifiRemoteStationManager"):
    """The rate control of a Wi-Fi device."""

    internal = True


class Channel(Ns3Object, rtype="ns3::Channel"):
    """What devices are attached to."""

    internal = True

    devices = Connection("ns3::NetDevice", many=True, waits=True, help="The devices on it.")
    phys = Connection("ns3::WifiPhy", many=True, waits=True, help="The Wi-Fi devices on it.")


class Mobility(Ns3Object, rtype="ns3::MobilityModel"):
    """The position and movement of a node."""

    internal = True

    node = Connection("ns3::Node", required=True, help="The node that it moves.")


class Protocol(Ns3Object, rtype="ns3::Protocol"):
    """A protocol of a node's internet stack; connecting one enables the stack."""

    internal = True

    node = Connection("ns3::Node", required=True, help="The node that it is part of.")


class QueueDisc(Ns3Object, rtype="ns3::QueueDisc"):
    """The queue discipline of a device."""

    internal = True

    device = Connection("ns3::NetDevice", required=True, help="The device that it serves.")


class Part(Ns3Object, rtype="ns3::Part"):
    """An object that is the value of another object's attribute, found by its type."""

    internal = True

    attribute = Attribute(
        str,
        help="The attribute of its owners; by default the first one that takes such an object.",
        flags=Flag.DESIGN,
    )

    owners = Connection(
        "ns3::Object", required=True, many=True, help="The objects that it is part of."
    )


class Application(Ns3Object, rtype="ns3::Application"):
    """An application on a simulated node.

    In a simulation of the default kind it starts at its ``StartTime``. In a real-time simulation it
    starts with its START step, so that conditions apply to it, and its ``StartTime`` and
    ``StopTime`` count from then. It is FINISHED at its ``StopTime``, or with the simulation.
    """

    internal = True
    endless = False

    node = Connection("ns3::Node", required=True, follows=True, help="Its node.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse conditions in a simulation whose time does not pass like real time."""
        simulation = self.node.simulation
        if conditional and not simulation.realtime:
            raise InvalidValue(
                f"a condition needs real time, which {simulation.label} does not have",
                where=self.label,
                hint="set StartTime and StopTime, or simulatorImplementationType of the simulation "
                "to ns3::RealtimeSimulatorImpl",
            )

    def do_start(self, context: Context) -> Launch:
        """Start it in the simulation, and follow it until its end."""
        simulation = self.node.simulation
        requests = [{"do": "start", "id": self.guid}, {"do": "wait", "id": self.guid}]
        text = "".join(json.dumps(request) + "\n" for request in requests)
        return context.host.supervise(simulation.client(context), stdin=text.encode())

    def do_stop(self, context: Context) -> None:
        """Stop it in the simulation."""
        # The process that follows it ends first, which records the end as a stop.
        context.host.end()
        self.node.simulation.request(context, {"do": "stop", "id": self.guid})

    def do_release(self, context: Context) -> None:
        """End the process that follows it."""
        context.host.clear()


class Route(Ns3Object, rtype="ns3::Route"):
    """A static route of a node."""

    internal = False

    network = Attribute(Ipv4, required=True, help="The network.", flags=Flag.DESIGN)
    prefix = Attribute(int, 24, help="Length of its prefix.", range=(0, 32), flags=Flag.DESIGN)
    nexthop = Attribute(Ipv4, required=True, help="Address of the next node.", flags=Flag.DESIGN)
    metric = Attribute(int, 0, help="Its metric.", range=(0, 65535), flags=Flag.DESIGN)

    node = Connection("ns3::Node", required=True, help="The node that has it.")
