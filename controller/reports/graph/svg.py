"""The graph as SVG, for light and dark backgrounds, without fonts or scripts of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape as _escape

from ...errors.text import escaped
from .coordinates import HEAD, MARGIN, PILE, Box, Layout, Line, layout, second_line, shortened
from .model import Graph, Vertex
from .style import ACTIONS, GROUND, STATES, Colour, fill_number, fills

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_ROUND = 5.0
_TITLE = 34.0


def svg(graph: Graph, *, dark: bool | None = None) -> str:
    """An SVG document.

    Args:
        graph: what to draw.
        dark: for a dark background; as the reader's system is set for None.
    """
    made = layout(graph)
    legend, deep = _legend(graph, max(made.width, 420.0))
    width, height = max(made.width, 420.0), made.height + _TITLE + deep
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" font-family="{_FONT}">',
        f"<title>{escape(_title(graph))}</title>",
        f"<style>{_style(dark)}</style>",
        _markers(),
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        f'<text class="name" x="{MARGIN}" y="26">{escape(graph.name)}</text>',
        f'<g transform="translate(0 {_TITLE - 8:g})">',
        *_frames(made),
        *(_line(line) for line in made.lines),
        *_boxes(made),
        *_labels(made),
        "</g>",
        f'<g transform="translate({MARGIN} {made.height + _TITLE:g})">',
        *legend,
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text as XML can hold it: errors of programs may have any character in them."""
    return _escape("".join(c for c in escaped(text) if c not in "\ufffe\uffff"))


def _title(graph: Graph) -> str:
    count = sum(vertex.count for vertex in graph.vertices.values())
    return f"{graph.name}: {count} resources, {len(graph.arrows)} conditions"


# -- styles -------------------------------------------------------------------------------------


def _rules(dark: bool) -> Iterator[str]:
    def shade(colour: Colour) -> str:
        return colour[int(dark)]

    ground = {name: shade(colour) for name, colour in GROUND.items()}
    yield f".page{{fill:{ground['page']}}}"
    yield f"text{{fill:{ground['ink']}}}.faint{{fill:{ground['faint']}}}"
    yield f".host{{fill:{ground['host']};stroke:{ground['rim']}}}"
    yield f".link{{stroke:{ground['link']}}}.halo{{stroke:{ground['host']}}}"
    for action, colour in ACTIONS.items():
        yield f".{action}{{stroke:{shade(colour)}}}"
        yield f".h-{action},text.t-{action}{{fill:{shade(colour)}}}"
    for number, colour in enumerate(fills()):
        yield f".f{number}{{fill:{shade(colour)}}}"
    yield f".box{{stroke:{ground['rim']}}}"
    for state, colour in STATES.items():
        yield f".s-{state}{{stroke:{shade(colour)}}}"
        yield f".d-{state}{{fill:{shade(colour)}}}"


def _style(dark: bool | None) -> str:
    base = (
        "text{font-size:10.5px}.name{font-size:16px;font-weight:600}"
        ".label{font-size:13px;font-weight:600}.line{fill:none;stroke-width:1.6}"
        ".link{stroke-dasharray:2 3}.STOP{stroke-dasharray:6 3}.told{paint-order:stroke}"
        ".halo{stroke-width:3px;stroke-linejoin:round}.box{stroke-width:1.2}.FAILED{stroke-width:2.4}"
    )
    light = "".join(_rules(bool(dark)))
    if dark is not None:
        return base + light
    return f"{base}{light}@media (prefers-color-scheme:dark){{{''.join(_rules(True))}}}"


def _markers() -> str:
    heads = [
        f'<marker id="{action}" viewBox="0 0 8 8" refX=".5" refY="4" markerWidth="8" '
        f'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path class="h-{action}" d="M8 .5 0 4 8 7.5z"/></marker>'
        for action in ACTIONS
    ]
    return f"<defs>{''.join(heads)}</defs>"


# -- parts --------------------------------------------------------------------------------------


def _frames(made: Layout) -> Iterator[str]:
    for box in made.frames:
        frame = box.vertex
        if frame is None:
            continue
        yield _group(frame) + _tip(frame) + _rect(box, f"host {_border(frame)}", 9)
        x, y = box.x + 14, box.y + HEAD - 9
        yield (
            f'<text x="{x:.1f}" y="{y:.1f}"><tspan class="label">{escape(frame.label)}</tspan>'
            f'<tspan class="faint" dx="8">{escape(frame.rtype)}</tspan>{_state(frame)}</text></g>'
        )


def _boxes(made: Layout) -> Iterator[str]:
    for box in made.boxes.values():
        vertex = box.vertex
        if vertex is None:
            continue
        kind = f"box f{fill_number(vertex.rtype)} {_border(vertex)}"
        yield _group(vertex) + _tip(vertex)
        # A pile of cards stands for many.
        for step in (PILE, PILE / 2) if vertex.count > 1 else ():
            card = Box(vertex, box.x + step, box.y + step, box.width, box.height)
            yield _rect(card, kind, 7)
        yield _rect(box, kind, 7)
        middle, x = box.y + box.height / 2, box.x + 11
        name = escape(shortened(vertex.label))
        yield f'<text class="label" x="{x:.1f}" y="{middle - 2:.1f}">{name}</text>'
        below = escape(second_line(vertex))
        if vertex.state:
            dot = f'cx="{x + 4:.1f}" cy="{middle + 11.5:.1f}" r="3.5"'
            yield f'<circle class="d-{vertex.state}" {dot}/>'
            x += 12
        yield f'<text class="faint" x="{x:.1f}" y="{middle + 15:.1f}">{below}</text></g>'


def _group(vertex: Vertex) -> str:
    """The beginning of a resource's group, by which a live page finds it."""
    return f'<g data-guid="{vertex.guid}" data-count="{vertex.count}">'


def _rect(box: Box, kind: str, radius: float) -> str:
    return (
        f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius}"/>'
    )


def _border(vertex: Vertex) -> str:
    return f"s-{vertex.state} {vertex.state}" if vertex.state == "FAILED" else ""


def _state(vertex: Vertex) -> str:
    if not vertex.state:
        return ""
    return f'<tspan class="d-{vertex.state}" dx="8">{vertex.state}</tspan>'


def _tip(vertex: Vertex) -> str:
    """What is told of a resource on hover."""
    told = [vertex.label, vertex.rtype, vertex.state, vertex.note]
    return f"<title>{escape(', '.join(part for part in told if part))}</title>"


def _line(line: Line) -> str:
    kind = "link" if line.net.kind == "LINK" else line.net.kind
    # Drawn from its end: where lines of a net have joined, their dashes fall together.
    way = _path(reversed(line.points))
    head = "" if kind == "link" else f' marker-start="url(#{kind})"'
    tip = f"<title>{escape(line.net.text)}</title>" if line.net.text else ""
    return f'<path class="line {kind}" d="{way}"{head}>{tip}</path>'


def _path(points: Iterable[tuple[float, float]]) -> str:
    """A way with rounded corners."""
    corners = list(points)
    told = [f"M{corners[0][0]:.1f} {corners[0][1]:.1f}"]
    for before, here, after in zip(corners, corners[1:], corners[2:], strict=False):
        near = min(_ROUND, _length(before, here) / 2, _length(here, after) / 2)
        one, two = _toward(here, before, near), _toward(here, after, near)
        told.append(
            f"L{one[0]:.1f} {one[1]:.1f}Q{here[0]:.1f} {here[1]:.1f} {two[0]:.1f} {two[1]:.1f}"
        )
    told.append(f"L{corners[-1][0]:.1f} {corners[-1][1]:.1f}")
    return "".join(told)


def _length(a: tuple[float, float], b: tuple[float, float]) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _toward(a: tuple[float, float], b: tuple[float, float], distance: float) -> tuple[float, float]:
    whole = _length(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * distance / whole, a[1] + (b[1] - a[1]) * distance / whole


def _labels(made: Layout) -> Iterator[str]:
    for net, (x, y, begins) in made.labels.items():
        at, anchor = (x + 10, "start") if begins else (x - 10, "end")
        yield (
            f'<text class="told halo t-{net.kind}" x="{at:.1f}" y="{y - 4:.1f}" '
            f'text-anchor="{anchor}">{escape(net.text)}</text>'
        )


# -- legend -------------------------------------------------------------------------------------


def _legend(graph: Graph, width: float) -> tuple[list[str], float]:
    """What the colours mean, and how high that is."""
    actions = [name for name in ACTIONS if any(a.action == name for a in graph.arrows)]
    types = dict.fromkeys(v.rtype for v in graph.vertices.values() if not v.is_frame)
    items = [
        (name, f'<path class="line {name}" d="M22 -4H0" marker-start="url(#{name})"/>', 28)
        for name in actions
    ]
    if graph.links:
        items.append(("connection", '<path class="line link" d="M0 -4H22"/>', 28))
    items += [
        (
            rtype,
            f'<rect class="box f{fill_number(rtype)}" y="-11" width="16" height="12" rx="3"/>',
            22,
        )
        for rtype in types
    ]
    told, x, y = [], 0.0, 16.0
    for text, mark, indent in items:
        wide = indent + 6.2 * len(text) + 20
        if x and x + wide > width - 2 * MARGIN:
            x, y = 0.0, y + 18
        told.append(
            f'<g transform="translate({x:.0f} {y:.0f})">{mark}'
            f'<text class="faint" x="{indent}">{escape(text)}</text></g>'
        )
        x += wide
    return told, (y + 14 if items else 0.0)
