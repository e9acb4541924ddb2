"""What happened in a run, as the rows and bars of a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors.text import harmless
from ..tables import note
from ..timeline import Span, last_states, spans

if TYPE_CHECKING:
    from ...engine import Event
    from ...engine.store.records import ResourceRecord, RunRecord

#: Kinds of bars, in the order of the page's legend; a wait is what lies between two attempts.
KINDS = ("deploy", "start", "run", "stop", "set", "release", "wait")

#: How bars end.
FINE, FAILED, LOST, AGAIN = range(4)
_ENDS = {"FAILED": FAILED, "lost": LOST, "again": AGAIN}
_STATES = ("DISCOVERED", "RESERVED", "PROVISIONED", "READY", "STARTED", "STOPPED", "FINISHED")
_MARKS = (*_STATES, "FAILED", "RELEASED")
_LONGEST = 4000


@dataclass
class Story:
    """What a page tells.

    Attributes:
        name: name of the experiment.
        run_id: the run; empty if there is none.
        phase: its phase.
        begin: its first event, seconds since the epoch.
        end: its last, or now if it goes on; seconds after ``begin``.
        over: nothing will happen any more.
        rows: ``[guid, label, type, row of the host or -1, state, note]`` of each resource, those
            of a host right after it.
        bars: ``[row, kind, begin, end or null, attempt, outcome, worker, how, text]``: kind as a
            number into :data:`KINDS`, times in seconds after ``begin``, worker and text as
            numbers into the lists of these or -1.
        marks: ``[row, time, state]`` of resources whose steps had nothing to do.
        workers: names of workers.
        texts: errors and notes.
    """

    name: str
    run_id: str = ""
    phase: str = "not deployed"
    begin: float = 0.0
    end: float = 0.0
    over: bool = True
    rows: list[list[Any]] = field(default_factory=list)
    bars: list[list[Any]] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def story(
    name: str,
    run_id: str,
    meta: RunRecord | None,
    records: Sequence[ResourceRecord],
    events: Sequence[Event],
    now: float,
) -> Story:
    """Tell what happened in a run.

    Args:
        name: name of the experiment.
        run_id: the run.
        meta: its record.
        records: its resources.
        events: its history.
        now: the present, by the clock that gave the events their times.
    """
    made = Story(name, run_id, meta.phase if meta else "GONE")
    made.over = meta is None or meta.phase == "RELEASED"
    if events:
        made.begin = min(event.time for event in events)
        last = max(event.time for event in events)
        made.end = round((last if made.over else max(last, now)) - made.begin, 4)
    elif meta is not None:
        made.begin = meta.created
    row_of = _rows(made, records, last_states(events))
    _bars(made, row_of, events)
    return made


def ordered(records: Iterable[ResourceRecord]) -> list[ResourceRecord]:
    """Each host, then what acts on it; last what acts on none."""
    known = sorted(records, key=lambda record: record.guid)
    hosts = [record.guid for record in known if record.is_host]
    place = {guid: number for number, guid in enumerate(hosts)}

    def key(record: ResourceRecord) -> tuple[int, bool, int]:
        host = record.guid if record.is_host else record.host
        at = len(hosts) if host is None else place.get(host, len(hosts))
        return at, not record.is_host, record.guid

    return sorted(known, key=key)


def _rows(
    made: Story, records: Sequence[ResourceRecord], ends: Mapping[int, str]
) -> dict[int, int]:
    some = ordered(records)
    row_of = {record.guid: row for row, record in enumerate(some)}
    for record in some:
        host = -1 if record.is_host or record.host is None else row_of.get(record.host, -1)
        state = ends.get(record.guid, record.state)
        told = note(record.error, record.attributes)
        made.rows.append([record.guid, record.label, record.rtype, host, state, told])
    return row_of


def _bars(made: Story, row_of: Mapping[int, int], events: Sequence[Event]) -> None:
    workers = _Numbers(made.workers)
    texts = _Numbers(made.texts)
    told = spans(events)
    for guid, row in row_of.items():
        for span in with_waits(told.get(guid, ())):
            made.bars.append(
                [
                    row,
                    KINDS.index(span.kind),
                    round(span.begin - made.begin, 4),
                    None if span.end is None else round(span.end - made.begin, 4),
                    span.attempt,
                    span.outcome,
                    workers.of(span.worker),
                    _ENDS.get(span.outcome, FINE),
                    texts.of(in_words(span.info)),
                ]
            )
    barred = {bar[0] for bar in made.bars}
    for event in events:
        at = row_of.get(event.guid)
        if at is not None and at not in barred and event.what in _MARKS:
            made.marks.append([at, round(event.time - made.begin, 4), event.what])


def with_waits(some: Iterable[Span]) -> Iterator[Span]:
    """The spans of a resource with those between the attempts of a step that was repeated."""
    pending: dict[str, Span] = {}
    for span in sorted(some, key=lambda span: span.begin):
        before = pending.pop(span.kind, None)
        if before is not None and before.end is not None and span.begin > before.end:
            yield _wait(before, span.begin)
        if span.outcome in ("lost", "again"):
            pending[span.kind] = span
        yield span
    for before in pending.values():
        yield _wait(before, None)


def _wait(before: Span, end: float | None) -> Span:
    begin = before.begin if before.end is None else before.end
    why = "its worker was lost" if before.outcome == "lost" else "put back"
    return Span(
        before.guid, "wait", begin, end, before.attempt, f"{before.kind}: {why}", "", before.info
    )


class _Numbers:
    """Texts that are named by their number."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._known: dict[str, int] = {"": -1}

    def of(self, text: str) -> int:
        text = harmless(text)
        if text not in self._known:
            self._known[text] = len(self._texts)
            self._texts.append(text)
        return self._known[text]


def in_words(info: Mapping[str, Any] | None) -> str:
    """An error, an exit or a note as it is read, cut if it is very long."""
    if not info:
        return ""
    first = str(info.get("message") or "")
    kind = str(info.get("type") or "")
    lines = [f"{kind}: {first}" if kind and first else first or kind]
    lines += [f"{info[name]}" for name in ("where", "hint") if info.get(name)]
    lines += [
        f"{name}: {value}"
        for name, value in info.items()
        if name not in ("type", "message", "where", "hint") and value not in (None, "", [], {})
    ]
    text = "\n".join(line for line in lines if line)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
