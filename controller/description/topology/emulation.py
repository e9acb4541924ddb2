"""Emulated networks: the resources for the nodes and links of a topology."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import InvalidValue
from ...model.durations import seconds
from .cut import divide
from .graphs import read_graph
from .network import Network, NetworkLink, NetworkNode, Port
from .routing import static_routes

#: Attributes of edges that impair a link, by their names in linux::Impairment.
IMPAIRMENTS = {
    "delay": "delay",
    "latency": "delay",
    "rtt": "rtt",
    "jitter": "jitter",
    "loss": "loss",
    "lossBurst": "lossBurst",
    "reorder": "reorder",
    "duplicate": "duplicate",
    "rate": "rate",
    "bandwidth": "rate",
    "queue": "queue",
}
#: Attributes of nodes that are those of emulated hosts.
HOST_ATTRIBUTES = ("env", "forward", "ip6", "pidNamespace", "privateDirs", "critical")

_LONGEST_LABEL = 63

#: Where addresses of IPv6 are taken from by default: a unique local prefix, whose 40 bits behind
#: fd were drawn at random (RFC 4193, 3.2.1).
ULA = "fd6e:9c41:b7d3::/48"
#: Least MTU of a link that carries IPv6 (RFC 8200, 5); with less the kernel has no IPv6 there.
_LEAST_MTU = 1280


class Describes(Protocol):
    """What resources can be registered in, such as an experiment."""

    def register_resource(self, rtype: str, **settings: Any) -> int:
        """Add a resource with attributes and connections; return its guid."""
        ...


@dataclass(frozen=True)
class EmulatedNetwork:
    """The resources of an emulated network.

    Attributes:
        nodes: the guid of the emulated host or switch of each node of the graph.
        links: the guids of each link, by its two nodes in the order of the graph: of a netns::Link,
            or of the two ends of a link between machines. Those of parallel links follow.
        impairments: the guids of the impairments of each link, likewise.
        addresses: the IPv4 address of each node.
        addresses6: its IPv6 address, with ``ipv6``.
        machines: the machine of each node.
    """

    nodes: dict[Hashable, int] = field(default_factory=dict)
    links: dict[tuple[Hashable, Hashable], tuple[int, ...]] = field(default_factory=dict)
    impairments: dict[tuple[Hashable, Hashable], tuple[int, ...]] = field(default_factory=dict)
    addresses: dict[Hashable, str] = field(default_factory=dict)
    addresses6: dict[Hashable, str] = field(default_factory=dict)
    machines: dict[Hashable, Any] = field(default_factory=dict)


def emulate(  # noqa: PLR0913 - one for each key of topology: in descriptions
    ec: Describes,
    topology: Any,
    on: Any,
    *,
    routing: str | None = "static",
    network: str = "10.0.0.0/9",
    node_network: str = "10.255.0.0/16",
    ipv6: bool | str = False,
    prefix: str = "",
    hosts: Mapping[str, Any] | None = None,
    sample: str | float | None = None,
) -> EmulatedNetwork:
    """Register emulated hosts, switches and links for a topology.

    Nodes become netns::Node, or netns::Switch if their attribute ``kind`` is ``switch``; their
    labels are the names of the nodes. Links get subnets and nodes addresses of their own, in the
    order of the graph, so the same topology always has the same addresses. Attributes of edges
    impair links: ``delay`` (or ``latency``), ``rate``, ``loss`` and all others of
    linux::Impairment; ``mtu`` is that of both ends.

    On several machines the nodes are divided so that few links lie between machines, and these
    links are VXLAN. The attribute ``on`` of a node, a number from 0, chooses its machine.

    Args:
        ec: the experiment.
        topology: see :func:`~nepiq.controller.description.topology.graphs.read_graph`.
        on: the linux::Node that all of it is part of, or several.
        routing: ``static`` for routes by the smallest delay; None for none, as for routing daemons.
        network: where the subnets of links are taken from.
        node_network: where the addresses of nodes are taken from.
        ipv6: whether links and nodes have addresses and routes of IPv6, too: True for those of a
            unique local network, or the network that they are taken from, as ``fd00:1::/48``.
        prefix: what labels of nodes begin with.
        hosts: attributes of all emulated hosts, such as ``privateDirs``.
        sample: time between two samples of the load of all links, which the live page shows; none
            are taken by default.

    Returns:
        What was registered.

    Raises:
        InvalidValue: the topology or a value in it is malformed.
        DescriptionError: a file cannot be read, or networkx is not installed.
    """
    if routing not in ("static", None):
        raise InvalidValue(f"routing cannot be {routing!r}", hint="use 'static' or None")
    machines = list(on) if isinstance(on, Sequence) and not isinstance(on, str) else [on]
    if not machines:
        raise InvalidValue("an emulated network needs a machine", hint="pass on=[node]")
    ipv6 = ULA if ipv6 is True else ipv6 or ""
    plan = Network(
        read_graph(topology), links=network, nodes=node_network, ipv6=ipv6, prefix=prefix
    )
    if ipv6:
        _check_mtus(plan)
    parts = divide(plan, len(machines))
    made = _Emulation(ec, machines, parts)
    made.add_nodes(plan, hosts or {})
    made.add_links(plan)
    if sample is not None:
        made.add_samplers(sample, prefix)
    if routing:
        for node, routes in static_routes(plan).items():
            made.add_routes(node, routes)
    return made.network


class _Emulation:
    """Registers an emulated network."""

    def __init__(
        self, ec: Describes, machines: Sequence[Any], parts: Mapping[NetworkNode, int]
    ) -> None:
        self._add = ec.register_resource
        self._machines, self._parts = machines, parts
        self._guids: dict[NetworkNode, int] = {}
        self._labels: set[str] = set()
        self._on_machine: list[list[int]] = [[] for _ in machines]
        self.network = EmulatedNetwork()

    def add_nodes(self, plan: Network, common: Mapping[str, Any]) -> None:
        """Register hosts and switches; tell each machine the names on the others."""
        extents = self._extents(plan)
        for node in plan.nodes:
            machine = self._machines[self._parts[node]]
            settings: dict[str, Any] = {"label": node.label, "node": machine}
            if node.is_switch:
                if others := [other for other in extents.get(node, ()) if other != machine]:
                    settings["over"] = others
                guid = self._add("netns::Switch", **settings)
            else:
                given = {name: node.data[name] for name in HOST_ATTRIBUTES if name in node.data}
                forward = len(node.links) > 1
                own = dict(zip(("ip", "ip6"), node.addresses, strict=False))
                settings |= {**own, "forward": forward, **common, **given}
                guid = self._add("netns::Node", **settings)
                self.network.addresses[node.key] = own["ip"]
                if "ip6" in own:
                    self.network.addresses6[node.key] = own["ip6"]
            self._labels.add(node.label)
            self._guids[node] = self.network.nodes[node.key] = guid
            self.network.machines[node.key] = machine
        if len(self._machines) > 1:
            for part, machine in enumerate(self._machines):
                lines = [
                    f"{address} {node.label}"
                    for node in plan.nodes
                    if self._parts[node] != part
                    for address in node.addresses
                ]
                self._add("linux::netns::Emulation", node=machine, hosts=lines)

    def _extents(self, plan: Network) -> dict[NetworkNode, list[Any]]:
        """Return the machines of the Ethernet of each switch."""
        extents: dict[NetworkNode, list[Any]] = {}
        for domain in plan.domains():
            nodes = {port.node for link in domain for port in (link.one, link.two)}
            machines = [self._machines[part] for part in sorted({self._parts[it] for it in nodes})]
            extents |= {node: machines for node in nodes if node.is_switch}
        return extents

    def add_links(self, plan: Network) -> None:
        """Register links and their impairments."""
        for link in plan.links:
            self._add_link(link)

    def _is_between(self, link: NetworkLink) -> bool:
        return self._parts[link.one.node] != self._parts[link.two.node]

    def _add_link(self, link: NetworkLink) -> None:
        ends = (link.one, link.two)
        key = (link.one.node.key, link.two.node.key)
        size = {} if link.data.get("mtu") is None else {"mtu": link.data["mtu"]}
        if self._is_between(link):
            first = self._add_end(link.one, link.two, size)
            guids: tuple[int, ...] = (first, self._add_end(link.two, link.one, size, first))
        else:
            one, two = (self._guids[end.node] for end in ends)
            given = {
                f"ip{number}": " ".join(end.addresses)
                for number, end in enumerate(ends, 1)
                if end.addresses
            }
            names = {"name1": link.one.name, "name2": link.two.name}
            name = self._label(link.one, link.two)
            guids = (self._add("netns::Link", ends=[one, two], **name, **names, **given, **size),)
            self._on_machine[self._parts[link.one.node]].append(guids[0])
        self.network.links[key] = (*self.network.links.get(key, ()), *guids)
        effect = {
            name: link.data[given]
            for given, name in IMPAIRMENTS.items()
            if link.data.get(given) is not None
        }
        if effect:
            if len(guids) > 1:
                effect = _one_way(effect)
            made = tuple(
                self._add(
                    "linux::Impairment",
                    target=guid,
                    **self._label(near, far, "-impairment"),
                    **effect,
                )
                for guid, near, far in zip(guids, ends, reversed(ends), strict=False)
            )
            self.network.impairments[key] = (*self.network.impairments.get(key, ()), *made)

    def _add_end(
        self, end: Port, far: Port, size: Mapping[str, Any], peer: int | None = None
    ) -> int:
        given: dict[str, Any] = {} if peer is None else {"peer": peer}
        for address, version in zip(end.addresses, ("", "6"), strict=False):
            ip, _, length = address.partition("/")
            given |= {f"ip{version}": ip, f"prefix{version}": int(length)}
        guid = self._add(
            "netns::RemoteLink",
            node=self._guids[end.node],
            deviceName=end.name,
            **self._label(end, far),
            **given,
            **size,
        )
        self._on_machine[self._parts[end.node]].append(guid)
        return guid

    def _label(self, near: Port, far: Port, rest: str = "") -> dict[str, str]:
        """Return the label of a link or its impairment; that of its type and guid if it is taken.

        Links have the names of their two nodes, ``paris-rome``.
        """
        return self._free(f"{near.node.label}-{far.node.label}{rest}")

    def _free(self, label: str) -> dict[str, str]:
        """Return a label; nothing if it is taken or too long."""
        if label in self._labels or len(label) > _LONGEST_LABEL:
            return {}
        self._labels.add(label)
        return {"label": label}

    def add_samplers(self, interval: str | float, prefix: str) -> None:
        """Register a sampler of the links on each machine."""
        for part, machine in enumerate(self._machines):
            if links := self._on_machine[part]:
                label = f"{prefix}links-{part}"
                given = {"label": label, "node": machine, "links": links, "interval": interval}
                self._add("linux::LinkStat", sudo=True, **given)

    def add_routes(self, node: NetworkNode, routes: Sequence[str]) -> None:
        """Register the routes of a node."""
        label = self._free(f"{node.label}-routes")
        self._add("netns::Routes", node=self._guids[node], routes=list(routes), **label)


def _check_mtus(plan: Network) -> None:
    """Refuse links whose packets are too small for IPv6."""
    for link in plan.links:
        mtu = link.data.get("mtu")
        if isinstance(mtu, int) and mtu < _LEAST_MTU:
            raise InvalidValue(
                f"link {link.one.node.label}-{link.two.node.label}: mtu {mtu} is too small for "
                "IPv6",
                hint=f"use at least {_LEAST_MTU}, or leave ipv6 out",
            )


def _one_way(effect: Mapping[str, Any]) -> dict[str, Any]:
    """Return an effect on what one end sends; of a round-trip time, half is imposed there."""
    rest = {name: value for name, value in effect.items() if name != "rtt"}
    if "rtt" in effect:
        rest["delay"] = seconds(effect["rtt"]) / 2
    return {**rest, "direction": "out"}
