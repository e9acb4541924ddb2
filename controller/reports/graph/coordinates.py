"""Coordinates of a picture: boxes, lines and labels, in pixels."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from .lanes import Cell, Places, places
from .model import Graph, Vertex
from .routes import Net, Route, nets, routes, tracks

MARGIN = 16.0
HEAD = 30.0
"""Height of the head of a frame's box."""

PILE = 6.0
"""Distance by which the cards of several resources lie beside each other."""

_PAD = 14.0
_INSET = 8.0
_ROW_GAP = 16.0
_PORT = 19.0
_TRACK = 9.0
_LOW = 44.0
_GUTTER = 16.0
_STUB = 16.0
_NARROW, _WIDE = 104.0, 190.0
_LETTER = {"label": 7.6, "small": 6.1}
_LONGEST = 20


@dataclass(frozen=True)
class Box:
    """A rectangle.

    Attributes:
        vertex: what it stands for; None for the lane of what lies in no frame.
        x: left edge.
        y: upper edge.
        width: its width.
        height: its height.
    """

    vertex: Vertex | None
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """The way of one line.

    Attributes:
        net: the net that it belongs to.
        source: guid of where it comes from.
        points: its corners.
    """

    net: Net
    source: int
    points: tuple[tuple[float, float], ...]


@dataclass
class Layout:
    """A picture in coordinates.

    Attributes:
        width: of everything.
        height: of everything.
        frames: the boxes of frames.
        boxes: the boxes of resources.
        lines: conditions and connections.
        labels: where the text of each net goes: its end, and whether it begins there.
    """

    width: float = 0.0
    height: float = 0.0
    frames: list[Box] = field(default_factory=list)
    boxes: dict[int, Box] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    labels: dict[Net, tuple[float, float, bool]] = field(default_factory=dict)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text that fits into its box, with the number at its end; all of it is shown on hover."""
    if len(text) <= longest:
        return text
    number = re.search("([-_.]| \N{MULTIPLICATION SIGN} )?\\d{1,6}$", text)
    end = number[0] if number else ""
    return text[: longest - 1 - len(end)] + "…" + end


def second_line(vertex: Vertex) -> str:
    """What is written below the label: the state of a running resource, else its type."""
    kind = vertex.rtype.rpartition("::")[2] if vertex.state else vertex.rtype
    return shortened(f"{vertex.state} · {kind}" if vertex.state else kind, 30)


def layout(graph: Graph) -> Layout:
    """Lay a graph out."""
    return _Layouter(graph).done()


class _Layouter:
    def __init__(self, graph: Graph) -> None:
        self.placed: Places = places(graph)
        self.nets = nets(graph, self.placed)
        self.routes = routes(self.nets, self.placed)
        self.made = Layout()
        lefts = Counter(net.guid for net in self.nets if not net.right)
        rights = Counter(net.guid for net in self.nets if net.right)
        self._ports = {guid: max(lefts[guid], rights[guid] + 1) for guid in self.placed.cells}

    def done(self) -> Layout:
        self._gutters = self._gutter_tracks()
        self._lay_rows()
        self._channels = self._channel_tracks()
        self._lay_columns()
        self._lay_boxes()
        self._draw_lines()
        return self.made

    # -- from top to bottom ---------------------------------------------------------------------

    def _gutter_tracks(self) -> dict[int, dict[Net, int]]:
        wanted: dict[int, list[tuple[Net, float, float]]] = defaultdict(list)
        for route in self.routes:
            if route.gutter is not None:
                wanted[route.gutter].append((route.net, route.first, route.last))
        return {gutter: tracks(some) for gutter, some in wanted.items()}

    def _lay_rows(self) -> None:
        """Upper edges of lanes, rows and gutters."""
        high: dict[tuple[int, int], float] = defaultdict(float)
        self._row_ports: dict[tuple[int, int], int] = defaultdict(int)
        for guid, cell in self.placed.cells.items():
            at = (cell.lane, cell.row)
            self._row_ports[at] = max(self._row_ports[at], self._ports[guid])
            high[at] = max(high[at], self._height(guid))
        self._row_top: dict[tuple[int, int], float] = {}
        self._gutter_top: list[float] = []
        self._lane_span: list[tuple[float, float]] = []
        y = MARGIN
        around: list[int] = []
        for lane, frame in enumerate(self.placed.lanes):
            y = self._close(around, self.placed.depths[lane], y)
            around.append(lane)
            y = self._lay_gutter(lane, y)
            top = y
            y += _PAD + (HEAD - 4 if frame is not None else 0.0)
            for row in range(self.placed.rows[lane]):
                self._row_top[lane, row] = y
                y += high[lane, row] + _ROW_GAP
            y += _PAD - _ROW_GAP if self.placed.rows[lane] else 4 - _PAD
            self._lane_span.append((top, y))
        y = self._close(around, 0, y)
        y = self._lay_gutter(len(self.placed.lanes), y)
        self.made.height = y - _GUTTER + MARGIN

    def _close(self, around: list[int], depth: int, y: float) -> float:
        """End the lanes deeper than a depth; their boxes enclose what follows them."""
        while len(around) > depth:
            lane = around.pop()
            top, bottom = self._lane_span[lane]
            if bottom < y:
                y += _INSET
                self._lane_span[lane] = (top, y)
        return y

    def _lay_gutter(self, gutter: int, y: float) -> float:
        self._gutter_top.append(y)
        count = 1 + max(self._gutters.get(gutter, {}).values(), default=-1)
        room = _GUTTER if gutter else 0.0
        return y + (count * _TRACK + _GUTTER if count else room)

    def _height(self, guid: int) -> float:
        return max(_LOW, _PORT * self._ports[guid] + 8)

    def _out(self, guid: int) -> float:
        """Where lines leave a resource: as high for all of a row, so that many are straight."""
        cell = self.placed.cells[guid]
        at = (cell.lane, cell.row)
        first = _LOW / 2 if self._row_ports[at] < 2 else (_PORT + 8) / 2
        return self._row_top[at] + first

    def _in(self, net: Net) -> float:
        return self._out(net.guid) + net.port * _PORT

    def _between(self, route: Route) -> float | None:
        """How high a line runs between its two channels; None if these are one."""
        if route.gutter is not None:
            track = self._gutters[route.gutter][route.net]
            first = _GUTTER / 2 if route.gutter == 0 else _GUTTER
            return self._gutter_top[route.gutter] + first + track * _TRACK
        if route.row is None:
            return None
        end = self.placed.cells[route.net.guid]
        return self._in(route.net) if route.row == (end.lane, end.row) else self._out(route.source)

    # -- from left to right ---------------------------------------------------------------------

    def _channel_tracks(self) -> dict[int, dict[Net, int]]:
        wanted: dict[int, list[tuple[Net, float, float]]] = defaultdict(list)
        for route in self.routes:
            out, into, between = self._out(route.source), self._in(route.net), self._between(route)
            turns = [(route.first, out, into)]
            if between is not None:
                turns = [(route.first, out, between), (route.last, between, into)]
            for channel, one, two in turns:
                if abs(one - two) > 0.5:
                    wanted[channel].append((route.net, one, two))
        return {channel: tracks(some) for channel, some in wanted.items()}

    def _lay_columns(self) -> None:
        """Left edges of columns, and of the tracks of each channel."""
        widths = [_NARROW] * self.placed.columns
        for cell in self.placed.cells.values():
            widths[cell.column] = max(widths[cell.column], _width(cell))
        room: dict[tuple[int, bool], float] = defaultdict(lambda: _STUB)
        for net in self.nets:
            channel = self.placed.cells[net.guid].column + int(net.right)
            told = _LETTER["small"] * len(net.text) + 18
            room[channel, net.right] = max(room[channel, net.right], told)
        used = {channel for route in self.routes for channel in (route.first, route.last)}
        self._column: list[tuple[float, float]] = []
        self._track_left: dict[int, float] = {}
        deep = _INSET * max(self.placed.depths, default=0)
        x = MARGIN + deep + _PAD
        for channel in range(self.placed.columns + 1):
            if channel in used or 0 < channel < self.placed.columns:
                count = 1 + max(self._channels.get(channel, {}).values(), default=0)
                self._track_left[channel] = x + room[channel, True]
                x += room[channel, True] + count * _TRACK + room[channel, False]
            if channel < self.placed.columns:
                self._column.append((x, widths[channel]))
                x += widths[channel]
        named = [_head_width(frame) for frame in self.placed.lanes if frame is not None]
        self.made.width = max([x + _PAD + deep, *named]) + MARGIN

    def _lay_boxes(self) -> None:
        spans = zip(self.placed.lanes, self.placed.depths, self._lane_span, strict=True)
        for frame, depth, (top, bottom) in spans:
            left = MARGIN + depth * _INSET
            wide = self.made.width - 2 * left
            self.made.frames.append(Box(frame, left, top, wide, bottom - top))
        for guid, cell in self.placed.cells.items():
            x, width = self._column[cell.column]
            top = self._row_top[cell.lane, cell.row]
            self.made.boxes[guid] = Box(cell.vertex, x, top, width, self._height(guid))

    def _track(self, channel: int, net: Net) -> float:
        return self._track_left[channel] + self._channels.get(channel, {}).get(net, 0) * _TRACK

    def _draw_lines(self) -> None:
        for route in self.routes:
            net = route.net
            source, end = self.made.boxes[route.source], self.made.boxes[net.guid]
            out, into, between = self._out(route.source), self._in(net), self._between(route)
            pile = PILE if end.vertex is not None and end.vertex.count > 1 else 0.0
            port = end.x + end.width + pile if net.right else end.x
            first = self._track(route.first, net)
            points = [(source.x + source.width, out), (first, out)]
            if between is not None:
                last = self._track(route.last, net)
                points += [(first, between), (last, between), (last, into)]
            else:
                points.append((first, into))
            points.append((port, into))
            self.made.lines.append(Line(net, route.source, _straight(points)))
            if net.text:
                self.made.labels[net] = (port, into, net.right)


def _width(cell: Cell) -> float:
    label = _LETTER["label"] * len(shortened(cell.vertex.label))
    below = _LETTER["small"] * len(second_line(cell.vertex)) + 12
    return min(_WIDE, max(_NARROW, label + 28, below + 22))


def _head_width(frame: Vertex) -> float:
    told = len(frame.label) + 0.8 * (len(frame.rtype) + len(frame.state)) + 6
    return _LETTER["label"] * told + 2 * _PAD


def _straight(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The corners without those that are none."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1 and _in_line(kept[-2], kept[-1], point):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _in_line(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]
