"""The graph as DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors.text import harmless
from .model import Graph, Vertex
from .style import ACTIONS, STATES, fill


def dot(graph: Graph) -> str:
    """DOT text: hosts as clusters, connections as plain lines, conditions as labelled arrows."""
    return "\n".join(_lines(graph)) + "\n"


def quoted(text: str) -> str:
    """A string of DOT; the ends of lines are kept."""
    safe = harmless(text).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + safe.replace("\n", "\\n") + '"'


def _lines(graph: Graph) -> Iterator[str]:
    yield f"digraph {quoted(graph.name)} {{"
    yield "  rankdir=LR; compound=true; newrank=true;"
    yield '  graph [fontname="Helvetica", fontsize=12, color="#9aa5b1"];'
    yield '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];'
    yield '  edge [fontname="Helvetica", fontsize=9, color="#52606d"];'
    hosts = {vertex.guid for vertex in graph.vertices.values() if vertex.is_host}
    for vertex in graph.vertices.values():
        if vertex.is_host:
            yield f"  subgraph cluster_{vertex.guid} {{"
            yield f"    label={quoted(f'{vertex.label} ({vertex.rtype})')};"
            yield f"    {_node(vertex)}"
            for other in graph.vertices.values():
                if other.host == vertex.guid and not other.is_host:
                    yield f"    {_node(other)}"
            yield "  }"
        elif vertex.host not in hosts:
            yield f"  {_node(vertex)}"
    for one, two in graph.links:
        yield f"  {one} -> {two} [dir=none, style=dotted];"
    for arrow in graph.arrows:
        colour = quoted(ACTIONS[arrow.action].light)
        label = quoted(arrow.text)
        yield f"  {arrow.target} -> {arrow.guid} [label={label}, color={colour}];"
    yield "}"


def _node(vertex: Vertex) -> str:
    told = [vertex.label, vertex.rtype, vertex.state]
    label = quoted("\n".join(part for part in told if part))
    border = STATES[vertex.state].light if vertex.state in STATES else "#52606d"
    shape = ", shape=box3d" if vertex.is_host else ""
    fills = quoted(fill(vertex.rtype).light)
    return f"{vertex.guid} [label={label}, fillcolor={fills}, color={quoted(border)}{shape}];"
