"""Where resources go: lanes of frames from top to bottom, columns in order of their starts.

A resource that waits for another to be deployed or started lies right of it, so that a picture
is read from left to right. Resources of one frame, a host or a simulation, share its lane; a frame
that lies in another one follows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
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
        lanes: the frame of each lane; None for what lies in no frame.
        depths: of each lane, how many frames its frame lies in.
        cells: the place of each resource that is drawn by itself, by guid.
        columns: how many columns there are.
        rows: how many rows each lane has.
    """

    lanes: list[Vertex | None]
    depths: list[int]
    cells: dict[int, Cell]
    columns: int
    rows: list[int]


def places(graph: Graph) -> Places:
    """Give each resource a place; a frame has one of its own only if something leads to it."""
    wanted = _drawn(graph)
    frames = list(_frames(graph))
    lanes: list[Vertex | None] = [frame for frame, _ in frames]
    depths = [depth for _, depth in frames]
    lane_of = {frame.guid: lane for lane, (frame, _) in enumerate(frames)}
    if any(_lane(vertex, lane_of) is None for vertex in wanted.values()):
        lanes.append(None)
        depths.append(0)
    columns = _columns(graph, wanted)
    before: dict[int, list[int]] = defaultdict(list)
    for arrow in graph.arrows:
        if arrow.target in wanted and arrow.action != "STOP":
            before[arrow.guid].append(arrow.target)
    for one, two in graph.links:
        before[two].append(one)
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
    return Places(lanes, depths, cells, 1 + max(columns.values(), default=0), rows)


def _frames(graph: Graph) -> Iterator[tuple[Vertex, int]]:
    """Yield the frames with their depths, each before those that lie in it."""
    inner: dict[int | None, list[Vertex]] = defaultdict(list)
    for vertex in graph.vertices.values():
        if vertex.is_frame:
            outer = graph.vertices.get(vertex.frame) if vertex.frame is not None else None
            inner[outer.guid if outer is not None and outer.is_frame else None].append(vertex)
    pending = [(vertex, 0) for vertex in reversed(inner[None])]
    while pending:
        vertex, depth = pending.pop()
        yield vertex, depth
        pending += [(other, depth + 1) for other in reversed(inner[vertex.guid])]


def _drawn(graph: Graph) -> dict[int, Vertex]:
    led = {guid for arrow in graph.arrows for guid in (arrow.guid, arrow.target)}
    led |= {guid for link in graph.links for guid in link}
    return {g: v for g, v in graph.vertices.items() if not v.is_frame or g in led}


def _lane(vertex: Vertex, lane_of: dict[int, int]) -> int | None:
    if vertex.is_frame:
        return lane_of[vertex.guid]
    return None if vertex.frame is None else lane_of.get(vertex.frame)


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
    for one, two in graph.links:
        after[2 * one].append(2 * two)
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
