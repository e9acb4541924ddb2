"""The graph of an experiment, as pictures of it need it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import ClassNotImportable, UnknownType
from ...model import registry
from ..tables import note
from ..words import duration

if TYPE_CHECKING:
    from ...description.description import Description
    from ...engine import Run
    from ...engine.store.records import ResourceRecord


@dataclass(frozen=True)
class Vertex:
    """One resource, or several that are alike.

    Attributes:
        guid: its number, or the lowest of several.
        label: its name, ``ping x 50`` for several.
        rtype: its type.
        frame: guid of the host, or of the simulation, that it is drawn in; None if there is none.
        is_frame: others may be drawn in it.
        state: where it is; empty if there is no run.
        note: its error, or how it ended; may be empty.
        count: how many it stands for.
    """

    guid: int
    label: str
    rtype: str
    frame: int | None = None
    is_frame: bool = False
    state: str = ""
    note: str = ""
    count: int = 1


@dataclass(frozen=True)
class Arrow:
    """A condition: a step of one resource waits for a state of another.

    Attributes:
        guid: who waits.
        action: DEPLOY, START or STOP.
        target: whom it waits for.
        milestone: the state that must have been reached.
        offset: seconds that must have passed since.
        latest: the longest of several offsets; the same for one condition.
    """

    guid: int
    action: str
    target: int
    milestone: str
    offset: float = 0.0
    latest: float = 0.0

    @property
    def text(self) -> str:
        """The condition in words: ``START after STARTED +5 s``."""
        told = f"{self.action} after {self.milestone}"
        if self.latest > self.offset:
            first = duration(self.offset) if self.offset else "0"
            return f"{told} +{first}…{duration(self.latest)}"
        return f"{told} +{duration(self.offset)}" if self.offset else told


@dataclass
class Graph:
    """Resources, connections and conditions.

    Attributes:
        name: name of the experiment.
        vertices: the resources by guid, in order of registration.
        links: pairs of connected resources, the one that waits for the other last; that of a
            resource with its frame is left out.
        arrows: the conditions.
    """

    name: str
    vertices: dict[int, Vertex] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """There is a run, so resources have states."""
        return any(vertex.state for vertex in self.vertices.values())


def described(description: Description, run: Run | None = None) -> Graph:
    """The graph of a description, with what is known of its run.

    Args:
        description: the description.
        run: its run, if it has been deployed.
    """
    graph = running(run, description.exp_id) if run is not None else Graph(description.exp_id)
    with description.lock:
        _describe(graph, description, "NEW" if run is not None else "")
    return graph


def _describe(graph: Graph, description: Description, state: str) -> None:
    """Put what is described into a graph; what has no vertex yet is in that state."""
    items = [item for item in description.resources() if not item.cls.internal]
    waits = {item.guid: item.awaited() for item in items}
    frames = {item.guid for item in items if item.cls.provides_host or item.cls.encloses}
    for item in items:
        if item.guid not in graph.vertices:
            graph.vertices[item.guid] = Vertex(
                item.guid,
                item.label,
                item.cls.rtype,
                _frame_of(item.guid, waits, frames),
                item.guid in frames,
                state,
            )
    pairs = [(peer, guid) for guid, peers in waits.items() for peer in peers]
    pairs += [
        (item.guid, peer) for item in items for peers in item.peers.values() for peer in peers
    ]
    arrows = [
        Arrow(cond.guid, cond.action.name, cond.target, cond.milestone.name, cond.offset)
        for cond in description.conditions()
    ]
    _complete(graph, pairs, arrows)


def running(run: Run, name: str = "") -> Graph:
    """The graph of a run, from its records alone.

    Args:
        run: the run.
        name: name of the experiment, if it is known.
    """
    records = [record for record in run.records() if not registry.is_internal(record.rtype)]
    waits: dict[int, list[int]] = {record.guid: [] for record in records}
    arrows = []
    for record in records:
        for item in run.store.conditions(record.guid):
            if item.need:
                # It comes from a connection, which is drawn as such.
                if item.action == "deploy":
                    waits[record.guid].append(item.target)
            else:
                action = item.action.upper()
                arrows.append(Arrow(record.guid, action, item.target, item.milestone, item.offset))
    enclosing = {rtype for rtype in {record.rtype for record in records} if _encloses(rtype)}
    frames = {record.guid for record in records if record.is_host or record.rtype in enclosing}
    vertices = {
        record.guid: _vertex(record, _frame_of(record.guid, waits, frames), record.guid in frames)
        for record in records
    }
    graph = Graph(name or run.exp_id, vertices)
    pairs = [(peer, guid) for guid, peers in waits.items() for peer in peers]
    pairs += [
        (record.guid, peer)
        for record in records
        for peers in record.peers.values()
        for peer in peers
    ]
    _complete(graph, pairs, arrows)
    return graph


def _encloses(rtype: str) -> bool:
    try:
        return registry.find(rtype).encloses
    except (UnknownType, ClassNotImportable):
        return False


def _frame_of(guid: int, waits: Mapping[int, Sequence[int]], frames: Collection[int]) -> int | None:
    """Return the nearest frame along what a resource waits for; None if there is none."""
    front, seen = [guid], {guid}
    for here in front:
        if here in frames and here != guid:
            return here
        ahead = [peer for peer in waits.get(here, ()) if peer not in seen]
        seen.update(ahead)
        front += ahead
    return None


def _vertex(record: ResourceRecord, frame: int | None, is_frame: bool) -> Vertex:
    return Vertex(
        record.guid,
        record.label,
        record.rtype,
        frame,
        is_frame,
        record.state,
        note(record.error, record.attributes),
    )


def _complete(graph: Graph, pairs: Iterable[tuple[int, int]], arrows: Iterable[Arrow]) -> None:
    """Add connections and conditions, each once; those of unknown resources are left out."""
    known: Mapping[int, Vertex] = graph.vertices
    linked = {frozenset(pair) for pair in graph.links}
    for one, two in pairs:
        if one not in known or two not in known or frozenset((one, two)) in linked:
            continue
        linked.add(frozenset((one, two)))
        if two != known[one].frame and one != known[two].frame:
            graph.links.append((one, two))
    seen = {_key(arrow) for arrow in graph.arrows}
    for arrow in arrows:
        key = _key(arrow)
        if key not in seen and arrow.guid in known and arrow.target in known:
            seen.add(key)
            latest = max(arrow.offset, arrow.latest)
            graph.arrows.append(
                Arrow(arrow.guid, arrow.action, arrow.target, arrow.milestone, arrow.offset, latest)
            )


def _key(arrow: Arrow) -> tuple[int, str, int, str, float]:
    """What makes two conditions one; Redis keeps six decimals of an offset."""
    return arrow.guid, arrow.action, arrow.target, arrow.milestone, round(arrow.offset, 6)
