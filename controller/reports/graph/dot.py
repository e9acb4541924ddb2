"""The graph as DOT, the language of Graphviz."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ...errors.text import escaped
from .model import Graph, Vertex
from .style import ACTIONS, STATES, fill


def dot(graph: Graph) -> str:
    """DOT text: frames as clusters, connections as plain lines, conditions as labelled arrows."""
    return "\n".join(_lines(graph)) + "\n"


def quoted(text: str) -> str:
    """A string of DOT; the ends of lines are kept."""
    safe = escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + safe.replace("\n", "\\n") + '"'


def _lines(graph: Graph) -> Iterator[str]:
    yield f"digraph {quoted(graph.name)} {{"
    yield "  rankdir=LR; compound=true; newrank=true;"
    yield '  graph [fontname="Helvetica", fontsize=12, color="#9aa5b1"];'
    yield '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];'
    yield '  edge [fontname="Helvetica", fontsize=9, color="#52606d"];'
    frames = {vertex.guid for vertex in graph.vertices.values() if vertex.is_frame}
    inner: dict[int | None, list[Vertex]] = defaultdict(list)
    for vertex in graph.vertices.values():
        inner[vertex.frame if vertex.frame in frames else None].append(vertex)
    for vertex in inner[None]:
        yield from _vertex(vertex, inner, "  ")
    for one, two in graph.links:
        yield f"  {one} -> {two} [dir=none, style=dotted];"
    for arrow in graph.arrows:
        colour = quoted(ACTIONS[arrow.action].light)
        label = quoted(arrow.text)
        yield f"  {arrow.target} -> {arrow.guid} [label={label}, color={colour}];"
    yield "}"


def _vertex(vertex: Vertex, inner: Mapping[int | None, list[Vertex]], indent: str) -> Iterator[str]:
    if not vertex.is_frame:
        yield indent + _node(vertex)
        return
    yield f"{indent}subgraph cluster_{vertex.guid} {{"
    yield f"{indent}  label={quoted(f'{vertex.label} ({vertex.rtype})')};"
    yield f"{indent}  {_node(vertex)}"
    for other in inner.get(vertex.guid, ()):
        yield from _vertex(other, inner, indent + "  ")
    yield indent + "}"


def _node(vertex: Vertex) -> str:
    told = [vertex.label, vertex.rtype, vertex.state]
    label = quoted("\n".join(part for part in told if part))
    border = STATES[vertex.state].light if vertex.state in STATES else "#52606d"
    shape = ", shape=box3d" if vertex.is_frame else ""
    fills = quoted(fill(vertex.rtype).light)
    return f"{vertex.guid} [label={label}, fillcolor={fills}, color={quoted(border)}{shape}];"
