"""The ways of conditions and connections between places, without coordinates.

Lines run in *channels* between columns and in *gutters* between lanes, or along a row that is
empty as far as they need it; they cross no resource. Conditions of one resource that say the
same of several others are one *net*: their lines join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .lanes import Cell, Places
from .model import Graph

_Row = tuple[int, int]
"""A lane and a row in it."""


@dataclass(eq=False)
class Net:
    """Lines that end in one port of one resource.

    Attributes:
        guid: the resource.
        kind: DEPLOY, START, STOP or LINK.
        text: what is written at the port.
        right: the port is on the right side.
        port: its number on that side, from the top.
        sources: guids of the resources that the lines come from.
    """

    guid: int
    kind: str
    text: str
    right: bool
    port: int = 0
    sources: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Route:
    """The way of one line: from the right side of its source to a port.

    Attributes:
        source: guid of the source.
        net: the net that it belongs to.
        first: the channel in which it leaves the source.
        last: the channel in which it arrives; the same if it is near.
        gutter: the gutter between the two; None if it runs along a row or is near.
        row: the row between the two, if it runs along one.
    """

    source: int
    net: Net
    first: int
    last: int
    gutter: int | None = None
    row: _Row | None = None


def nets(graph: Graph, placed: Places) -> list[Net]:
    """The nets of a graph, with their ports."""
    found: dict[tuple[int, str, str], Net] = {}
    for arrow in graph.arrows:
        key = (arrow.guid, arrow.action, arrow.text)
        net = found.setdefault(
            key, Net(arrow.guid, arrow.action, arrow.text, arrow.action == "STOP")
        )
        net.sources.append(arrow.target)
    for one, two in graph.links:
        # From left to right, if they are not above each other.
        left, right = sorted((one, two), key=lambda guid: placed.cells[guid].column)
        level = placed.cells[left].column == placed.cells[right].column
        net = found.setdefault((right, "LINK", ""), Net(right, "LINK", "", level))
        net.sources.append(left)
    ports: dict[tuple[int, bool], int] = defaultdict(int)
    for net in found.values():
        ports[net.guid, net.right] += 1
        # The upper port of the right side is where lines leave.
        net.port = ports[net.guid, net.right] - (0 if net.right else 1)
    return list(found.values())


def routes(some: Iterable[Net], placed: Places) -> list[Route]:
    """The ways of all lines."""
    cells = placed.cells
    filled = {(c.lane, c.row, c.column) for c in cells.values()}
    used: dict[tuple[int, int, int], Net] = {}
    found = []
    for net in some:
        end = cells[net.guid]
        last = end.column + int(net.right)
        for guid in net.sources:
            start = cells[guid]
            found.append(_route(start, end, Route(guid, net, start.column + 1, last), filled, used))
    return found


def _route(
    start: Cell,
    end: Cell,
    plain: Route,
    filled: set[tuple[int, int, int]],
    used: dict[tuple[int, int, int], Net],
) -> Route:
    net, first, last = plain.net, plain.first, plain.last
    if first == last:
        return plain
    if first < last and not net.right:
        for cell in (end, start):
            way = [(cell.lane, cell.row, column) for column in range(first, last)]
            if all(at not in filled and used.get(at, net) is net for at in way):
                used.update(dict.fromkeys(way, net))
                return Route(plain.source, net, first, last, row=(cell.lane, cell.row))
    below = start.lane > end.lane or (start.lane == end.lane and net.right)
    return Route(plain.source, net, first, last, gutter=end.lane + int(below))


def tracks(wanted: Iterable[tuple[Net, float, float]]) -> dict[Net, int]:
    """Give each net a track such that no two overlap on one; short ones first.

    Args:
        wanted: net, and from where to where it runs; several of one net are joined.
    """
    spans: dict[Net, tuple[float, float]] = {}
    for net, one, two in wanted:
        low, high = spans.get(net, (one, one))
        spans[net] = min(low, one, two), max(high, one, two)
    ends: list[list[tuple[float, float]]] = []
    given: dict[Net, int] = {}
    for net, (low, high) in sorted(spans.items(), key=lambda item: item[1][1] - item[1][0]):
        free = (
            number
            for number, others in enumerate(ends)
            if all(high < other[0] or low > other[1] for other in others)
        )
        given[net] = number = next(free, len(ends))
        if number == len(ends):
            ends.append([])
        ends[number].append((low, high))
    return given
