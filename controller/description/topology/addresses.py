"""Addresses of point-to-point links, each with a subnet of its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ...errors import InvalidValue
from ...errors.text import quoted

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DEFAULTS = {4: ("10.0.0.0/8", 30), 6: ("fd00::/48", 64)}


@dataclass(frozen=True)
class Link:
    """The addresses of a link, from the view of one end.

    Attributes:
        network: address of the subnet.
        prefix: length of its prefix.
        address: address of this end.
        peer: address of the other end.
    """

    network: str
    prefix: int
    address: str
    peer: str

    @property
    def netmask(self) -> str:
        """The prefix as a mask, ``255.255.255.252``."""
        return str(ipaddress.ip_network(f"{self.network}/{self.prefix}").netmask)

    def turned(self) -> Link:
        """Return the link from the view of its other end."""
        return Link(self.network, self.prefix, self.peer, self.address)


def subnets(
    count: int, network: str | None = None, prefix: int | None = None, version: int | None = None
) -> Iterator[Link]:
    """Yield subnets of a network, one for each link.

    Args:
        count: number of links.
        network: the network; ``10.0.0.0/8`` or ``fd00::/48`` by default.
        prefix: length of a subnet's prefix; 30 or 64 by default.
        version: 4 or 6; that of ``network`` by default.

    Raises:
        InvalidValue: the network is malformed, too small, or of another version.
    """
    if version not in (None, *_DEFAULTS):
        raise InvalidValue(f"there is no IP version {quoted(version)}", hint="use 4 or 6")
    parent = _network(network or _DEFAULTS[version or 4][0])
    if version not in (None, parent.version):
        raise InvalidValue(f"{parent} is a network of IP version {parent.version}, not {version}")
    length = _DEFAULTS[parent.version][1] if prefix is None else prefix
    if isinstance(length, bool) or not isinstance(length, int):
        raise InvalidValue(f"prefix cannot be {quoted(length)}", hint="use a whole number")
    longest = parent.max_prefixlen - 1
    if not parent.prefixlen <= length <= longest:
        raise InvalidValue(
            f"subnets of {parent} cannot have the prefix /{length}",
            hint=f"use /{parent.prefixlen} to /{longest}: a link has two addresses",
        )
    limit = 1 << (length - parent.prefixlen)
    if count > limit:
        raise InvalidValue(
            f"{parent} is too small for {count} links: it has {limit} subnets /{length}",
            hint="use a larger network, or a longer prefix",
        )
    all_subnets: Iterator[_Network] = parent.subnets(new_prefix=length)
    return (_link(subnet) for subnet in islice(all_subnets, count))


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidValue(
            f"network {quoted(text)}: {error}", hint="write, for example, 10.0.0.0/8 or fd00::/48"
        ) from None


def _link(subnet: _Network) -> Link:
    one, other = islice(subnet.hosts(), 2)
    return Link(str(subnet.network_address), subnet.prefixlen, str(one), str(other))
