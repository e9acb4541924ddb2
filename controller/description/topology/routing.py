"""Static routes of a network, by the shortest delay."""

from __future__ import annotations

import heapq
import ipaddress
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from .network import Network, NetworkNode, Port

#: What a link costs besides its delay, in seconds, so that of equal ways the shorter is taken.
_HOP = 1e-6
#: Length of the prefix of a single address, of IPv4 and of IPv6.
_LONGEST = (32, 128)


def static_routes(network: Network) -> dict[NetworkNode, list[str]]:
    """Return the routes of each node to all others and to all links, as ``NETWORK via ADDRESS``.

    Packets take the way of the smallest delay; of several, that by the node which comes first. The
    next router that most destinations share is the default route. IPv6 takes the same ways.
    """
    hosts = [node for node in network.nodes if not node.is_switch]
    versions = range(len(hosts[0].addresses)) if hosts else ()
    subnets = [_subnets(network, number) for number in versions]
    tables: dict[NetworkNode, list[str]] = {}
    for node in hosts:
        if not node.links:
            continue
        if len(node.links) == 1 and not node.links[0].other(node).node.is_switch:
            tables[node] = [f"default via {ip}" for ip in node.links[0].other(node).ips]
            continue
        hops = dict(_next_hops(node))
        routes = [
            route for number in versions for route in _table(node, hops, subnets[number], number)
        ]
        if routes:
            tables[node] = routes
    return tables


def _table(
    node: NetworkNode,
    hops: Mapping[NetworkNode, Port],
    subnets: Mapping[str, Collection[NetworkNode]],
    number: int,
) -> list[str]:
    """Return the routes of a node for one IP version: 0 for IPv4, 1 for IPv6."""
    ways = {}
    for other, way in hops.items():
        if not other.is_switch:
            ways[f"{other.addresses[number]}/{_LONGEST[number]}"] = way.ips[number]
    for subnet, hosts in subnets.items():
        if node not in hosts:
            reached = (hops.get(host) for host in hosts)
            if via := next(filter(None, reached), None):
                ways[subnet] = via.ips[number]
    if not ways:
        return []
    (usual, _), *_ = Counter(ways.values()).most_common(1)
    further = (f"{net} via {via}" for net, via in ways.items() if via != usual)
    return [f"default via {usual}", *further]


def _subnets(network: Network, number: int) -> dict[str, list[NetworkNode]]:
    """Return the hosts on each subnet."""
    found: dict[str, list[NetworkNode]] = {}
    for link in network.links:
        for port in (link.one, link.two):
            if port.addresses:
                subnet = str(ipaddress.ip_interface(port.addresses[number]).network)
                found.setdefault(subnet, []).append(port.node)
    return found


def _next_hops(start: NetworkNode) -> Iterator[tuple[NetworkNode, Port]]:
    """Yield every node that can be reached, and the port of the next router on the way."""
    queue: list[tuple[float, int, int, NetworkNode, Port | None]] = [(0.0, 0, 0, start, None)]
    done: set[NetworkNode] = set()
    count = 0
    while queue:
        cost, _, _, node, way = heapq.heappop(queue)
        if node in done:
            continue
        done.add(node)
        if way is not None:
            yield node, way
        for link in node.links:
            port = link.other(node)
            if port.node in done:
                continue
            count += 1
            # Through switches, the next router is the first host behind them.
            first = way if way is not None and not _only_switches(way) else port
            entry = (cost + link.delay + _HOP, port.node.number, count, port.node, first)
            heapq.heappush(queue, entry)


def _only_switches(way: Port) -> bool:
    return way.node.is_switch
