"""The division of a network among machines, with few links between them."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InvalidValue
from .network import Network, NetworkNode

#: How often the division is improved at most, and from how many nodes it is tried.
_ROUNDS, _STARTS = 10, 8


def divide(network: Network, parts: int) -> dict[NetworkNode, int]:
    """Return the part of each node, from 0: of about equal size, with few links between them.

    A node whose attribute ``on`` is a number belongs to that part. The same network is always
    divided in the same way.

    Raises:
        InvalidValue: ``on`` of a node is no number of a part.
    """
    if parts == 1:
        return dict.fromkeys(network.nodes, 0)
    fixed = {node: _fixed(node, parts) for node in network.nodes if "on" in node.data}
    count = len(network.nodes)
    most = -(-count // parts)
    most += most // 10
    best: dict[NetworkNode, int] = {}
    fewest = -1
    step = max(1, count // _STARTS)
    for start in range(0, count, step):
        order = _walk(network, network.nodes[start])
        division = {node: place * parts // count for place, node in enumerate(order)}
        division.update(fixed)
        _improve(division, parts, most, fixed)
        crossing = sum(division[link.one.node] != division[link.two.node] for link in network.links)
        if fewest < 0 or crossing < fewest:
            best, fewest = division, crossing
    return best


def _fixed(node: NetworkNode, parts: int) -> int:
    part = node.data["on"]
    if isinstance(part, bool) or not isinstance(part, int) or not 0 <= part < parts:
        raise InvalidValue(
            f"node {node.label} cannot be on machine {part!r}", hint=f"use 0 to {parts - 1}"
        )
    return part


def _walk(network: Network, start: NetworkNode) -> list[NetworkNode]:
    """Return all nodes in the order of a depth-first walk, so that neighbours are near."""
    seen: dict[NetworkNode, None] = {}
    for first in (start, *network.nodes):
        stack = [first]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen[node] = None
                stack += [link.other(node).node for link in reversed(node.links)]
    return list(seen)


def _improve(
    division: dict[NetworkNode, int],
    parts: int,
    most: int,
    fixed: dict[NetworkNode, int],
) -> None:
    """Move nodes to the part of most of their neighbours while that has room."""
    sizes = [0] * parts
    for part in division.values():
        sizes[part] += 1
    for _ in range(_ROUNDS):
        moved = False
        for node, part in division.items():
            if node in fixed or sizes[part] == 1:
                continue
            near = _near(division, node, parts)
            target = max(range(parts), key=lambda other: (near[other], -other))
            if near[target] > near[part] and sizes[target] < most:
                division[node] = target
                sizes[part] -= 1
                sizes[target] += 1
                moved = True
        if not moved:
            return


def _near(division: dict[NetworkNode, int], node: NetworkNode, parts: int) -> Sequence[int]:
    near = [0] * parts
    for link in node.links:
        near[division[link.other(node).node]] += 1
    return near
