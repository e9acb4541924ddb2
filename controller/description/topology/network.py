"""Networks: a graph with names, interfaces and addresses, ready to be emulated."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import InvalidValue
from ...errors.text import quoted
from ...model.durations import seconds
from .graphs import INTERFACES, PLACE

_SWITCHES = ("switch", "bridge", "ovs-bridge", "linux-bridge")
_DELAYS = ("delay", "latency")
_Address = ipaddress.IPv4Address
#: Length of the prefix of each subnet of IPv6 (RFC 4291, 2.5.4).
_IPV6_LENGTH = 64


@dataclass
class Port:
    """An end of a link.

    Attributes:
        node: its node.
        name: its interface there.
        addresses: its addresses with their prefixes, one of each IP version of the network; none
            if it is that of a switch.
    """

    node: NetworkNode
    name: str
    addresses: list[str] = field(default_factory=list)

    @property
    def ips(self) -> list[str]:
        """Its addresses without the prefixes."""
        return [address.partition("/")[0] for address in self.addresses]


@dataclass(eq=False)
class NetworkNode:
    """A node of a network.

    Attributes:
        key: the node of the graph.
        number: its place in the graph, from 0.
        label: its name in the experiment.
        data: its attributes in the graph.
        is_switch: True if it is an Ethernet switch.
        addresses: its own addresses, one of each IP version of the network; none of a switch.
        links: its links.
    """

    key: Hashable
    number: int
    label: str
    data: Mapping[str, Any]
    is_switch: bool
    addresses: list[str] = field(default_factory=list)
    links: list[NetworkLink] = field(default_factory=list)


@dataclass(eq=False)
class NetworkLink:
    """A link of a network.

    Attributes:
        one: its first end.
        two: its second end.
        data: its attributes in the graph.
        delay: in seconds.
    """

    one: Port
    two: Port
    data: Mapping[str, Any]
    delay: float

    def other(self, node: NetworkNode) -> Port:
        """Return the end that is not at a node."""
        return self.two if self.one.node is node else self.one


class Network:
    """The nodes and links of a graph, with deterministic names and addresses.

    Args:
        graph: an undirected networkx graph.
        links: the network from which links get their subnets, in the order of the links.
        nodes: the network from which nodes get addresses of their own.
        ipv6: the network from which both get further addresses, of IPv6: each Ethernet the next
            subnet of 64 bits, and nodes the last one; empty for none.
        prefix: what all names begin with.

    Attributes:
        nodes: its nodes.
        links: its links.

    Raises:
        InvalidValue: a network is too small or malformed, or a value of the graph is.
    """

    def __init__(
        self, graph: Any, *, links: str, nodes: str, ipv6: str = "", prefix: str = ""
    ) -> None:
        taken: set[str] = set()
        self.nodes = [
            NetworkNode(key, number, _label(key, data, prefix, taken), data, _is_switch(data))
            for number, (key, data) in enumerate(graph.nodes(data=True))
        ]
        at = {node.key: node for node in self.nodes}
        edges = [(at[one], at[two], data) for one, two, data in _edges(graph)]
        loop = next((one for one, two, _ in edges if one is two), None)
        if loop is not None:
            raise InvalidValue(f"node {quoted(loop.label)} is linked with itself")
        names = _Names(edges)
        self.links = [
            NetworkLink(
                Port(one, names(one, data)), Port(two, names(two, data)), data, _delay(data)
            )
            for one, two, data in edges
        ]
        for link in self.links:
            link.one.node.links.append(link)
            link.two.node.links.append(link)
        self._number_nodes(_parsed(nodes))
        self._number_links(_parsed(links))
        if ipv6:
            self._number_ipv6(_parsed_ipv6(ipv6))

    def domains(self) -> Iterator[list[NetworkLink]]:
        """Yield the links of each Ethernet: a link of two hosts, or all that switches join."""
        seen: set[int] = set()
        for link in self.links:
            if id(link) in seen:
                continue
            domain = [link]
            seen.add(id(link))
            for item in domain:
                for port in (item.one, item.two):
                    for further in port.node.links if port.node.is_switch else ():
                        if id(further) not in seen:
                            seen.add(id(further))
                            domain.append(further)
            yield domain

    def _hosts(self) -> list[NetworkNode]:
        return [node for node in self.nodes if not node.is_switch]

    def _number_nodes(self, network: ipaddress.IPv4Network) -> None:
        hosts = self._hosts()
        if len(hosts) + 2 > network.num_addresses:
            raise InvalidValue(
                f"{network} is too small for {len(hosts)} nodes", hint="use a larger network"
            )
        first = int(network.network_address)
        for number, node in enumerate(hosts, 1):
            node.addresses.append(str(node.data.get("ip") or _Address(first + number)))

    def _number_links(self, network: ipaddress.IPv4Network) -> None:
        following, end = int(network.network_address), int(network.broadcast_address) + 1
        for domain in self.domains():
            ports = _hosts_ports(domain)
            size = 4
            while size < len(ports) + 2:
                size *= 2
            start = -(-following // size) * size
            following = start + size
            if following > end:
                raise InvalidValue(
                    f"{network} is too small for {len(self.links)} links",
                    hint="use a larger network",
                )
            length = 33 - size.bit_length()
            for number, port in enumerate(ports, 1):
                port.addresses.append(f"{_Address(start + number)}/{length}")

    def _number_ipv6(self, network: ipaddress.IPv6Network) -> None:
        domains, subnets = list(self.domains()), 1 << (_IPV6_LENGTH - network.prefixlen)
        if len(domains) >= subnets:
            raise InvalidValue(
                f"{network} is too small for {len(self.links)} links: it has {subnets} subnets "
                f"/{_IPV6_LENGTH}, the last one for nodes",
                hint="use a larger network",
            )

        def address(subnet: int, number: int) -> str:
            return str(network.network_address + (subnet << 128 - _IPV6_LENGTH) + number)

        for subnet, domain in enumerate(domains):
            for number, port in enumerate(_hosts_ports(domain), 1):
                port.addresses.append(f"{address(subnet, number)}/{_IPV6_LENGTH}")
        for number, node in enumerate(self._hosts(), 1):
            node.addresses.append(str(node.data.get("ip6") or address(subnets - 1, number)))


class _Names:
    """Names of interfaces: those that are given, else eth0 and so on in the order of the links."""

    def __init__(self, edges: Collection[tuple[NetworkNode, NetworkNode, Any]]) -> None:
        self._taken: dict[NetworkNode, set[str]] = {}
        self._next: dict[NetworkNode, int] = {}
        for one, two, data in edges:
            for node in (one, two):
                if name := _given(node, data):
                    taken = self._taken.setdefault(node, set())
                    if name in taken:
                        raise InvalidValue(f"{node.label} has two interfaces {quoted(name)}")
                    taken.add(name)

    def __call__(self, node: NetworkNode, data: Mapping[str, Any]) -> str:
        if name := _given(node, data):
            return name
        number = self._next.get(node, 0)
        while f"eth{number}" in self._taken.get(node, ()):
            number += 1
        self._next[node] = number + 1
        return f"eth{number}"


def _edges(graph: Any) -> list[tuple[Hashable, Hashable, Mapping[str, Any]]]:
    """Return the edges in the order and direction of the list that they were read from."""
    edges = [
        (two, one, data) if data.get(PLACE, (0, one))[1] != one else (one, two, data)
        for one, two, data in graph.edges(data=True)
    ]
    return sorted(edges, key=lambda edge: edge[2].get(PLACE, (0, None))[0])


def _hosts_ports(domain: Collection[NetworkLink]) -> list[Port]:
    """Return the ports of hosts at the links of an Ethernet."""
    return [port for link in domain for port in (link.one, link.two) if not port.node.is_switch]


def _given(node: NetworkNode, data: Mapping[str, Any]) -> str:
    given = data.get(INTERFACES)
    return str(given.get(node.key, "")) if isinstance(given, Mapping) else ""


def _label(key: Hashable, data: Mapping[str, Any], prefix: str, taken: set[str]) -> str:
    text = str(data.get("label") or data.get("name") or key)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "node"
    if not prefix and safe.isdecimal():
        safe = f"n{safe}"
    label = wanted = f"{prefix}{safe}"[:55]
    number = 1
    while label in taken:
        number += 1
        label = f"{wanted}-{number}"
    taken.add(label)
    return label


def _is_switch(data: Mapping[str, Any]) -> bool:
    return str(data.get("kind") or data.get("type") or "").lower() in _SWITCHES


def _delay(data: Mapping[str, Any]) -> float:
    given = next((data[name] for name in _DELAYS if data.get(name) is not None), None)
    if given is None:
        given = data.get("rtt")
        return 0.0 if given is None else seconds(given) / 2
    return seconds(given)


def _parsed(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidValue(f"network {quoted(text)}: {error}") from None


def _parsed_ipv6(text: str) -> ipaddress.IPv6Network:
    example = "write, for example, fd00:1::/48"
    try:
        network = ipaddress.IPv6Network(text)
    except ValueError as error:
        raise InvalidValue(f"network {quoted(text)}: {error}", hint=example) from None
    if network.prefixlen >= _IPV6_LENGTH or network.is_multicast or network.is_link_local:
        raise InvalidValue(
            f"{network} cannot be divided into subnets of links: they are /{_IPV6_LENGTH}, and "
            "neither link-local nor multicast",
            hint=example,
        )
    return network
