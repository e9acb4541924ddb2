"""Static routes of a network, by the shortest delay."""

from __future__ import annotations

import heapq
import ipaddress
from collections import Counter
from collections.abc import Iterator

from .network import Network, NetworkNode, Port

#: What a link costs besides its delay, in seconds, so that of equal ways the shorter is taken.
_HOP = 1e-6


def static_routes(network: Network) -> dict[NetworkNode, list[str]]:
    """Return the routes of each node to all others and to all links, as ``NETWORK via ADDRESS``.

    Packets take the way of the smallest delay; of several, that by the node which comes first. The
    next router that most destinations share is the default route.
    """
    subnets = _subnets(network)
    tables: dict[NetworkNode, list[str]] = {}
    for node in network.nodes:
        if node.is_switch or not node.links:
            continue
        if len(node.links) == 1 and not node.links[0].other(node).node.is_switch:
            tables[node] = [f"default via {node.links[0].other(node).ip}"]
            continue
        ways = {
            f"{other.address}/32": way.ip for other, way in _next_hops(node) if not other.is_switch
        }
        near = {subnet for subnet, hosts in subnets.items() if node in hosts}
        for subnet, hosts in subnets.items():
            if subnet not in near:
                reached = (ways.get(f"{host.address}/32") for host in hosts)
                if via := next(filter(None, reached), None):
                    ways[subnet] = via
        if not ways:
            continue
        (usual, _), *_ = Counter(ways.values()).most_common(1)
        further = (f"{net} via {via}" for net, via in ways.items() if via != usual)
        tables[node] = [f"default via {usual}", *further]
    return tables


def _subnets(network: Network) -> dict[str, list[NetworkNode]]:
    """Return the hosts on each subnet."""
    found: dict[str, list[NetworkNode]] = {}
    for link in network.links:
        for port in (link.one, link.two):
            if port.address:
                subnet = str(ipaddress.ip_interface(port.address).network)
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
