"""netns::Link: a link between two emulated hosts of one machine."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from ...errors import InvalidValue
from ...model import (
    ROUTE_PROTOCOL,
    Action,
    Attribute,
    Change,
    Connection,
    Context,
    Flag,
    ResourceManager,
)
from ..linux.network.configured import Configured
from ..linux.network.ends import LinkEnd
from ..linux.network.values import Addresses, InterfaceName, Mac
from .node import Node
from .switch import BRIDGE, Switch, fitting, spanned

#: Protocols of the routes of resources: of single ones, and of netns::Routes.
PROTOCOLS = (ROUTE_PROTOCOL, ROUTE_PROTOCOL + 1)
#: What ip-route(8) shows of a route, but does not read.
_STATES = re.compile(r" (linkdown|dead)(?=\s|$)")


class End(NamedTuple):
    """One end of a link.

    Attributes:
        node: the emulated host or switch.
        name: the name of the interface there.
        addresses: its addresses.
        mac: its MAC address; None for any.
    """

    node: Node
    name: str
    addresses: Addresses
    mac: Mac | None


class Link(Configured, rtype="netns::Link"):
    """A link between two emulated hosts or switches: a pair of virtual Ethernet interfaces.

    Both are on one machine; a netns::RemoteLink leads to another. What the attributes ``delay``,
    ``rate`` and ``loss`` say is imposed by a linux::Impairment that is connected to it. After
    veth(4).
    """

    joint = {"do_set": ()}

    name1 = Attribute(
        InterfaceName,
        help="Name of the interface in the first host; eth and the guid of the link by default.",
        flags=Flag.DESIGN,
    )
    name2 = Attribute(
        InterfaceName, help="Name of the interface in the second host.", flags=Flag.DESIGN
    )
    ip1 = Attribute(
        Addresses,
        "",
        help="Addresses of the first, as 10.0.0.1/30 or 10.0.0.1/30 fd00::1/64.",
        flags=Flag.DESIGN,
    )
    ip2 = Attribute(Addresses, "", help="Addresses of the second.", flags=Flag.DESIGN)
    mac1 = Attribute(Mac, help="MAC address of the first.", flags=Flag.DESIGN)
    mac2 = Attribute(Mac, help="MAC address of the second.", flags=Flag.DESIGN)
    mtu = Attribute(
        int,
        help="Largest packet in bytes, of both ends; by default 1500, or what fits where an end is "
        "a switch with links to other machines.",
        range=(68, 65535),
    )
    up = Attribute(
        bool,
        True,
        help="Whether both ends are up. Routes of nepiq over them, which the kernel removes when "
        "they go down, are there again when they go up.",
    )
    lost = Attribute(
        str,
        help="While it is down: commands that restore its routes, a line each.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )
    ends = Connection(
        Node, required=True, many=True, help="The two emulated hosts or switches, in this order."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check its two ends."""
        del conditional
        if len(self.ends) != 2:
            raise InvalidValue("connect it to two emulated hosts", where=self.label)
        one, two = self.ends
        if one.machine.guid != two.machine.guid:
            raise InvalidValue(
                f"{one.label} and {two.label} are on different machines",
                where=self.label,
                hint="register a netns::RemoteLink for each end, or use emulate()",
            )
        for end in self.both():
            if end.addresses and isinstance(end.node, Switch):
                raise InvalidValue(f"a port of {end.node.label} has no address", where=self.label)

    def awaits(self) -> Collection[ResourceManager]:
        """Return the machines over which its Ethernet extends, which report their addresses."""
        return spanned(*self.ends)

    def both(self) -> tuple[End, End]:
        """Return its ends."""
        one, two = self.ends
        usual = f"eth{self.guid}"
        return (
            End(one, self.name1 or usual, self.ip1, self.mac1),
            End(two, self.name2 or usual, self.ip2, self.mac2),
        )

    def link_ends(self) -> list[LinkEnd]:
        """Return its interfaces."""
        return [LinkEnd(end.name, end.node.network_namespace()) for end in self.both()]

    def joined_hosts(self) -> Sequence[tuple[Node, Sequence[str]]]:
        """Return its two emulated hosts or switches."""
        return [(end.node, [str(one.address) for one in end.addresses]) for end in self.both()]

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the pair, made in both namespaces at once, and its addresses.

        It is made from the machine: so one process makes all pairs, and one in each namespace does
        all that is to be done there. The kernel gives the second end neither the MTU nor the state
        of the first.
        """
        del context
        one, two = self.both()
        left, right = (end.node.network_namespace() for end in (one, two))
        mtu = self.mtu or fitting(*self.ends)
        size = f" mtu {mtu}" if mtu else ""
        made = (
            f"link add name {one.name}{_mac(one)}{size} netns {left} type veth "
            f"peer name {two.name}{_mac(two)}{size} netns {right}"
        )
        return [
            Change(made, netns=""),
            Change("", f"link del dev {one.name}", netns=left),
            *self._settings(one, left),
            *self._settings(two, right),
            *_names(one),
            *_names(two),
        ]

    def _settings(self, end: End, netns: str) -> Iterator[Change]:
        if self.up:
            master = f" master {BRIDGE}" if isinstance(end.node, Switch) else ""
            yield Change(f"link set dev {end.name}{master} up", netns=netns)
        elif isinstance(end.node, Switch):
            yield Change(f"link set dev {end.name} master {BRIDGE}", netns=netns)
        for address in end.addresses:
            nodad = " nodad" if address.version == 6 else ""
            yield Change(f"address add {address} dev {end.name}{nodad}", netns=netns)

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change ``up`` and ``mtu`` of both ends."""
        texts = {"up": "up" if value else "down", "mtu": f"mtu {value or 1500}"}
        if name not in texts:
            return
        if name == "up" and not value:
            self.lost = "\n".join(self._routes(context)) or self.lost
        changes = [
            Change(f"link set dev {end.device} {texts[name]}", netns=end.netns)
            for end in self.link_ends()
        ]
        if name == "up" and value:
            changes += self._regained()
        context.host.configure(changes, anew=False)

    def _routes(self, context: Context) -> Iterator[str]:
        """Yield commands that restore the routes over it which resources have made."""
        shown = "; ".join(
            f"ip -n {end.netns} -{version} route show table all dev {end.device} | "
            f"sed 's/^/{end.netns} {end.device} /'"
            for end in self.link_ends()
            for version in (4, 6)
        )
        command = f"PATH=$PATH:/usr/sbin:/sbin; {shown}"
        text = context.host.run(command, mutates=False, check=False, sudo=True).text
        for line in text.splitlines():
            netns, device, route = line.split(maxsplit=2)
            if any(f" proto {protocol} " in f"{route} " for protocol in PROTOCOLS):
                route = _STATES.sub("", route).strip()
                yield f"ip -n {netns} route replace {route} dev {device}"

    def _regained(self) -> Iterator[Change]:
        """Yield what restores routes, and addresses of IPv6, when it is up again."""
        for end in self.both():
            for address in end.addresses:
                if address.version == 6:
                    text = f"address replace {address} dev {end.name} nodad"
                    yield Change(text, netns=end.node.network_namespace())
        for line in self.lost.splitlines():
            yield Change(f"{line} || :", tool="sh", netns="")
        self.lost = ""


def _names(end: End) -> Iterator[Change]:
    return end.node.names_at(end.name, (address.address for address in end.addresses))


def _mac(end: End) -> str:
    return f" address {end.mac}" if end.mac else ""
