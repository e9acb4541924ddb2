"""Where resources go: lanes of hosts from top to bottom, columns in order of their starts.

A resource that waits for another to be deployed or started lies right of it, so that a picture
is read from left to right. Resources of one host share its lane.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from .model import Graph, Vertex


@dataclass
class Cell:
    """The place of one resource.

    Attributes:
        vertex: the resource.
        lane: its lane, counted from the top.
        column: its column, counted from the left.
        row: its row in the lane.
    """

    vertex: Vertex
    lane: int
    column: int
    row: int


@dataclass
class Places:
    """Where everything goes.

    Attributes:
        lanes: the host of each lane; None for what acts on no host.
        cells: the place of each resource that is drawn by itself, by guid.
        columns: how many columns there are.
        rows: how many rows each lane has.
    """

    lanes: list[Vertex | None]
    cells: dict[int, Cell]
    columns: int
    rows: list[int]


def places(graph: Graph) -> Places:
    """Give each resource a place; a host has one of its own only if something leads to it."""
    wanted = _drawn(graph)
    lanes: list[Vertex | None] = [v for v in graph.vertices.values() if v.is_host]
    lane_of = {host.guid: lane for lane, host in enumerate(lanes) if host is not None}
    if any(_lane(vertex, lane_of) is None for vertex in wanted.values()):
        lanes.append(None)
    columns = _columns(graph, wanted)
    before: dict[int, list[int]] = defaultdict(list)
    for arrow in graph.arrows:
        if arrow.target in wanted and arrow.action != "STOP":
            before[arrow.guid].append(arrow.target)
    cells: dict[int, Cell] = {}
    taken: set[tuple[int, int, int]] = set()
    for guid in sorted(wanted, key=lambda guid: columns[guid]):
        lane = _lane(wanted[guid], lane_of)
        at = len(lanes) - 1 if lane is None else lane
        near = [cells[g].row for g in before[guid] if g in cells and cells[g].lane == at]
        row = round(sum(near) / len(near)) if near else 0
        while (at, columns[guid], row) in taken:
            row += 1
        taken.add((at, columns[guid], row))
        cells[guid] = Cell(wanted[guid], at, columns[guid], row)
    rows = [0] * len(lanes)
    for cell in cells.values():
        rows[cell.lane] = max(rows[cell.lane], cell.row + 1)
    return Places(lanes, cells, 1 + max(columns.values(), default=0), rows)


def _drawn(graph: Graph) -> dict[int, Vertex]:
    led = {guid for arrow in graph.arrows for guid in (arrow.guid, arrow.target)}
    led |= {guid for link in graph.links for guid in link}
    return {g: v for g, v in graph.vertices.items() if not v.is_host or g in led}


def _lane(vertex: Vertex, lane_of: dict[int, int]) -> int | None:
    if vertex.is_host:
        return lane_of[vertex.guid]
    return None if vertex.host is None else lane_of.get(vertex.host)


def _columns(graph: Graph, wanted: dict[int, Vertex]) -> dict[int, int]:
    """The longest way to each resource's start; what closes a circle is passed over.

    The way leads through ends too: what starts after an end lies right of what that end waits
    for. The start of a resource has an even number here, its end the odd one that follows.
    """
    after: dict[int, list[int]] = defaultdict(list)
    for guid in wanted:
        after[2 * guid].append(2 * guid + 1)
    for arrow in graph.arrows:
        ended = arrow.milestone in ("STOPPED", "FINISHED", "FAILED", "RELEASED")
        if arrow.target != arrow.guid:
            after[2 * arrow.target + ended].append(2 * arrow.guid + (arrow.action == "STOP"))
    nodes = [node for guid in wanted for node in (2 * guid, 2 * guid + 1)]
    far = dict.fromkeys(nodes, 0)
    for node in _in_order(nodes, after):
        for other in after[node]:
            far[other] = max(far[other], far[node] + 1 - other % 2)
    return {guid: far[2 * guid] for guid in wanted}


def _in_order(nodes: list[int], after: dict[int, list[int]]) -> list[int]:
    """Return each before those that come after it; remove one edge of each circle."""
    while True:
        sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(nodes, ()))
        for node in nodes:
            for other in after[node]:
                sorter.add(other, node)
        try:
            return list(sorter.static_order())
        except CycleError as error:
            *_, node, other = error.args[1]
            after[node].remove(other)
