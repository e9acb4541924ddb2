"""The base of types that are one end of a tunnel, and the way between two ends."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ....errors import HostError
from ....model import Attribute, Change, Context, Flag, ResourceManager, link_alias
from .device import Device
from .values import Ip

#: Greatest MTU of an end whose machine does not report that of its interface (RFC 894).
ETHERNET = 1500
#: How names of interfaces begin that are made on a machine, as those of runs; they come last.
_MADE = ("nq", "tap", "tun", "wg", "br-", "docker", "veth", "virbr", "vxlan")


class Way(NamedTuple):
    """How packets of a tunnel travel between two machines.

    Attributes:
        local: the address of this machine; empty if the machine has to choose it.
        remote: the address of the other one.
        mtu: largest IP packet, in bytes, by the interfaces at both ends.
    """

    local: str
    remote: str
    mtu: int = ETHERNET

    @property
    def header(self) -> int:
        """Bytes of the outer IP header (RFC 791, RFC 8200)."""
        return 40 if ":" in self.remote else 20


class _Address(NamedTuple):
    """An address of a machine, the MTU of its interface, and whether that was made on it."""

    at: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    mtu: int = ETHERNET
    made: bool = False

    def reaches(self, other: _Address) -> bool:
        return (
            self.at.version == other.at.version
            and self.at.ip != other.at.ip
            and other.at.ip in self.at.network
            and self.at.ip in other.at.network
        )


class Endpoint(Device):
    """One end of a tunnel: an interface whose packets travel to another machine.

    In an emulated host, the interface lies inside, and its packets travel between the machines.
    """

    local = Attribute(
        Ip,
        help="The address of its machine that the tunnel uses; by default one in a network that "
        "both machines have.",
        flags=Flag.DESIGN,
    )

    @property
    def _is_named(self) -> bool:
        """False: it is made on the machine, where names of emulated hosts do not belong."""
        return False

    def other(self) -> Endpoint | None:
        """Return the other end, if it is a resource."""
        raise NotImplementedError

    def overhead(self) -> int:
        """Return the bytes that the tunnel adds to an IP packet, beside the outer IP header."""
        raise NotImplementedError

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the interface, made on the machine so that its packets leave from there."""
        if not self.node.emulates:
            return super().creation(context)
        name, inside = self._device, self.node.network_namespace()
        return [
            Change(f"link add {name} netns {inside} type {self.kind(context)}", netns=""),
            Change(
                f"link set {name} alias {link_alias(self.run_id, self.guid)}", f"link del {name}"
            ),
        ]

    def way(self) -> Way:
        """Return the way to the other end.

        Raises:
            HostError: no address of the other machine is known, or both are on one machine.
        """
        other = self.other()
        if other is None:
            return Way(self.local or "", "")
        return way(self, other)

    def fit(self, way: Way) -> None:
        """Choose the MTU, unless it is given: what fits on the way, and what the other end has."""
        other = self.other()
        if self.mtu is None:
            fits = way.mtu - way.header - self.overhead()
            self.fill(mtu=min(fits, (other and other.mtu) or fits))


def machine(end: Endpoint) -> Any:
    """Return the machine of an end, also of one in an emulated host."""
    node: Any = end.node
    return node.machine if node.emulates else node


def machines(*ends: Endpoint | None) -> list[ResourceManager]:
    """Return the machines of those ends that are there and connected to one."""
    known = [end for end in ends if end is not None and end.peers.get("node")]
    return [it for it in map(machine, known) if it is not None]


class _Site(NamedTuple):
    """A machine at which a tunnel ends.

    Attributes:
        machine: its linux::Node.
        local: the address that the tunnel uses there; empty for any.
        label: the end of the tunnel.
    """

    machine: Any
    local: str = ""
    label: str = ""

    def addresses(self) -> list[_Address]:
        """Return the addresses of the machine, or the one that is given."""
        found = sorted(_reported(self.machine.interfaces or {}), key=lambda it: it.made)
        if not self.local:
            return found
        given = ipaddress.ip_interface(self.local)
        return [it for it in found if it.at.ip == given.ip] or [_Address(given)]


def way(end: Endpoint, other: Endpoint) -> Way:
    """Return the way from one end to another; both ends find the same one.

    An address by which the workers reach the machine is preferred, then the first network that
    both machines have, then the first address.

    Raises:
        HostError: no address of the other machine is known.
    """
    here, there = (_Site(machine(it), it.local or "", it.label) for it in (end, other))
    return _way(here, there)


def narrowest(machines: Collection[Any], header: int) -> int:
    """Return the largest IP packet that fits into a tunnel between any two machines.

    Args:
        machines: at least two linux::Node, each perhaps several times.
        header: bytes that the tunnel adds, beside the outer IP header.

    Raises:
        HostError: no address of a machine is known.
    """
    different = {it.guid: _Site(it, label=it.label) for it in machines}
    ways = (_way(one, two) for one, two in combinations(different.values(), 2))
    return min(it.mtu - it.header - header for it in ways)


def _way(here: _Site, there: _Site) -> Way:
    first, second = sorted((here, there), key=lambda it: it.machine.guid)
    ours, theirs = first.addresses(), second.addresses()
    together = first.machine.guid == second.machine.guid
    if together or (not (first.local or second.local) and ours and ours == theirs):
        return Way("127.0.0.1", "127.0.0.1", 65535)
    pairs = [(a, b) for a in ours for b in theirs if a.reaches(b)]
    names = {first.machine.hostname, second.machine.hostname}
    pairs.sort(key=lambda pair: sum(it.made - (str(it.at.ip) in names) for it in pair))
    if pairs:
        one, two = pairs[0] if here is first else pairs[0][::-1]
        return Way(str(one.at.ip), str(two.at.ip), min(one.mtu, two.mtu))
    far = theirs if here is first else ours
    named = [it for it in far if str(it.at.ip) in names] or far
    if not named:
        raise HostError(
            f"no address is known by which {there.machine.hostname} can be reached",
            hint=f"set local of {there.label}",
        )
    near = [it.mtu for it in (ours if here is first else theirs)]
    return Way(here.local, str(named[0].at.ip), min([named[0].mtu, *near[:1]]))


def _reported(interfaces: Mapping[str, Mapping[str, Any]]) -> Iterator[_Address]:
    for name, interface in interfaces.items():
        made = name.startswith(_MADE)
        for text in interface.get("addresses", ()):
            at = ipaddress.ip_interface(text)
            if not (at.is_loopback or at.is_link_local):
                yield _Address(at, interface.get("mtu") or ETHERNET, made)
