"""Many alike resources become one: 50 pings of a host are ``ping x 50``.

Resources are alike if they have the same type, stem of the label, state and frame, and if alike
resources wait for them and are waited for by them. Offsets may differ. What is alike is found
by refining: first all of one type and name, then what differs in its neighbours is parted, until
nothing changes.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .model import Arrow, Graph, Vertex

#: As many resources are drawn one by one.
FEW = 24
_CROWD = 60
_ALIKE = 3
_ROUNDS = 8

_Classes = dict[int, int]


def grouped(graph: Graph, few: int = FEW) -> Graph:
    """The graph with alike resources put together, as far as its size asks for it.

    Args:
        graph: the graph.
        few: how many resources are drawn one by one.
    """
    # Ever coarser: what is alike in one frame; alike frames too; whatever is of one name.
    ways: tuple[Callable[[Graph], _Classes], ...] = (
        lambda g: _refined(g, apart=True),
        lambda g: _refined(g, apart=False),
        lambda g: _numbered({guid: _stem_key(v, None) for guid, v in g.vertices.items()}),
    )
    made = graph
    for limit, way in zip((few, _CROWD, _CROWD), ways, strict=True):
        if len(made.vertices) > limit:
            made = _merged(graph, way(graph))
    return made


def _stem_key(vertex: Vertex, frame: Any) -> tuple[Any, ...]:
    return (vertex.rtype, _stem(vertex.label), vertex.state, vertex.is_frame, frame)


def _stem(label: str) -> str:
    """The label without its number: ``ping`` of ``ping-17``, ``client-on-`` of ``client-on-n3``."""
    return re.sub(r"[-_.]?\d+", "", label) or label


def _refined(graph: Graph, *, apart: bool) -> _Classes:
    """Classes of alike resources; those of different frames are kept apart if wanted."""
    vertices = graph.vertices
    keep = {guid: guid if v.is_frame else v.frame for guid, v in vertices.items()} if apart else {}
    classes = _numbered({guid: _stem_key(v, keep.get(guid)) for guid, v in vertices.items()})
    near: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for arrow in graph.arrows:
        near[arrow.guid].append((arrow.target, 0, arrow.action, arrow.milestone))
        near[arrow.target].append((arrow.guid, 1, arrow.action, arrow.milestone))
    for one, two in graph.links:
        near[one].append((two, 2))
        near[two].append((one, 2))
    for guid, vertex in vertices.items():
        if vertex.frame in vertices:
            near[guid].append((vertex.frame, 3))
            near[vertex.frame].append((guid, 4))
    for _ in range(_ROUNDS):
        finer = _numbered(
            {
                guid: (classes[guid], frozenset((classes[o], *how) for o, *how in near[guid]))
                for guid in vertices
            }
        )
        if len(set(finer.values())) == len(set(classes.values())):
            break
        classes = finer
    return classes


def _numbered(keys: Mapping[int, Any]) -> _Classes:
    numbers: dict[Any, int] = {}
    return {guid: numbers.setdefault(key, len(numbers)) for guid, key in keys.items()}


def _merged(graph: Graph, classes: _Classes) -> Graph:
    members: dict[int, list[Vertex]] = defaultdict(list)
    for guid, vertex in graph.vertices.items():
        members[classes[guid]].append(vertex)
    first: dict[int, int] = {}
    made = Graph(graph.name)
    for alike in members.values():
        if len(alike) < _ALIKE:
            first.update({vertex.guid: vertex.guid for vertex in alike})
            continue
        first.update({vertex.guid: alike[0].guid for vertex in alike})
    for guid, vertex in graph.vertices.items():
        if first[guid] == guid:
            alike = members[classes[guid]]
            whole = _crowd(alike) if len(alike) >= _ALIKE else vertex
            frame = None if whole.frame is None else first.get(whole.frame, whole.frame)
            made.vertices[guid] = replace(whole, frame=frame)
    pairs = {(first[one], first[two]): None for one, two in graph.links}
    made.links = [(one, two) for one, two in pairs if one != two]
    made.arrows = _joined(graph.arrows, first)
    return made


def _crowd(alike: list[Vertex]) -> Vertex:
    """One for all: named for what their labels share."""
    stems = Counter(_stem(vertex.label).rstrip("-_.") for vertex in alike)
    name = stems.most_common(1)[0][0] or alike[0].rtype
    notes = {vertex.note for vertex in alike}
    return replace(
        alike[0],
        label=f"{name} × {len(alike)}",  # noqa: RUF001 - the sign of multiplication
        note=notes.pop() if len(notes) == 1 else "",
        count=len(alike),
    )


def _joined(arrows: list[Arrow], first: Mapping[int, int]) -> list[Arrow]:
    """The conditions between groups, those that differ only in their offset as one."""
    offsets: dict[tuple[int, str, int, str], list[float]] = defaultdict(list)
    for arrow in arrows:
        key = (first[arrow.guid], arrow.action, first[arrow.target], arrow.milestone)
        offsets[key].append(arrow.offset)
    return [Arrow(*key, min(some), max(some)) for key, some in offsets.items()]
