"""The data of a timeline page: rows, bars and marks of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors.text import escaped
from ..tables import note
from ..timeline import Span, last_states, spans

if TYPE_CHECKING:
    from ...engine import Event
    from ...engine.store.records import ResourceRecord, RunRecord

#: Kinds of bars, in the order of the legend; a wait is the time between two attempts.
KINDS = ("deploy", "start", "run", "stop", "set", "release", "wait")

#: How bars end.
FINE, FAILED, LOST, RETRIED = range(4)
_ENDS = {"FAILED": FAILED, "lost": LOST, "again": RETRIED}
_STATES = ("DISCOVERED", "RESERVED", "PROVISIONED", "READY", "STARTED", "STOPPED", "FINISHED")
#: Events that mark a resource without bars.
MARKS = (*_STATES, "FAILED", "RELEASED")
_MAX_TEXT = 4000


@dataclass
class PageData:
    """The data of a page, which its script reads as JSON.

    Attributes:
        name: name of the experiment.
        run_id: the run; empty without a run.
        phase: the phase of the run.
        begin: time of the first event, in seconds since the epoch.
        end: time of the last event, or now if the run is not released; in seconds after ``begin``.
        over: True if the run is released.
        rows: ``[guid, label, type, row of the host or -1, state, note]`` of each resource; each
            host is followed by the resources that act on it.
        bars: ``[row, kind, begin, end or null, attempt, outcome, worker, how, text]``: kind is an
            index into :data:`KINDS`, times are in seconds after ``begin``, how is an end such as
            :data:`FAILED`, worker and text are indices into these lists or -1.
        marks: ``[row, time, state]`` of resources without bars.
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


def page_data(
    name: str,
    run_id: str,
    meta: RunRecord | None,
    records: Sequence[ResourceRecord],
    events: Sequence[Event],
    now: float,
) -> PageData:
    """Return the data of the page of a run.

    Args:
        name: name of the experiment.
        run_id: the run.
        meta: the record of the run; None if Redis has none.
        records: its resources.
        events: its history.
        now: the present time, by the clock of the events.
    """
    data = PageData(name, run_id, meta.phase if meta else "GONE")
    data.over = meta is None or meta.phase == "RELEASED"
    if events:
        data.begin = min(event.time for event in events)
        last = max(event.time for event in events)
        data.end = round((last if data.over else max(last, now)) - data.begin, 4)
    elif meta is not None:
        data.begin = meta.created
    row_of = _add_rows(data, records, last_states(events))
    _add_bars(data, row_of, events)
    return data


def ordered(records: Iterable[ResourceRecord]) -> list[ResourceRecord]:
    """Sort by host: each host before the resources that act on it, those without a host last."""
    by_guid = sorted(records, key=lambda record: record.guid)
    hosts = [record.guid for record in by_guid if record.is_host]
    rank_of = {guid: rank for rank, guid in enumerate(hosts)}

    def key(record: ResourceRecord) -> tuple[int, bool, int]:
        host = record.guid if record.is_host else record.host
        rank = len(hosts) if host is None else rank_of.get(host, len(hosts))
        return rank, not record.is_host, record.guid

    return sorted(by_guid, key=key)


def _add_rows(
    data: PageData, records: Sequence[ResourceRecord], ends: Mapping[int, str]
) -> dict[int, int]:
    sequence = ordered(records)
    row_of = {record.guid: row for row, record in enumerate(sequence)}
    for record in sequence:
        host = -1 if record.is_host or record.host is None else row_of.get(record.host, -1)
        state = ends.get(record.guid, record.state)
        remark = note(record.error, record.attributes)
        data.rows.append([record.guid, record.label, record.rtype, host, state, remark])
    return row_of


def _add_bars(data: PageData, row_of: Mapping[int, int], events: Sequence[Event]) -> None:
    workers = _Index(data.workers)
    texts = _Index(data.texts)
    spans_of = spans(events)
    for guid, row in row_of.items():
        for span in with_waits(spans_of.get(guid, ())):
            *bar, worker, how, text = bar_of(span, data.begin)
            data.bars.append([row, *bar, workers.of(worker), how, texts.of(text)])
    rows_with_bars = {bar[0] for bar in data.bars}
    for event in events:
        event_row = row_of.get(event.guid)
        if event_row is None or event_row in rows_with_bars:
            continue
        if event.what in MARKS:
            data.marks.append([event_row, round(event.time - data.begin, 4), event.what])


def bar_of(span: Span, begin: float) -> list[Any]:
    """Return a bar without its row, with the worker and the text themselves.

    Args:
        span: what it shows.
        begin: the time from which its times are counted.
    """
    return [
        KINDS.index(span.kind),
        round(span.begin - begin, 4),
        None if span.end is None else round(span.end - begin, 4),
        span.attempt,
        span.outcome,
        span.worker,
        _ENDS.get(span.outcome, FINE),
        info_text(span.info),
    ]


def with_waits(resource_spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans of a resource, and a wait between the attempts of a retried step."""
    pending: dict[str, Span] = {}
    for span in sorted(resource_spans, key=lambda span: span.begin):
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
    why = "its worker was lost" if before.outcome == "lost" else "retried"
    return Span(
        before.guid, "wait", begin, end, before.attempt, f"{before.kind}: {why}", "", before.info
    )


class _Index:
    """Indices of texts in a list without duplicates; an empty text has index -1."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._indices: dict[str, int] = {"": -1}

    def of(self, text: str) -> int:
        text = escaped(text)
        if text not in self._indices:
            self._indices[text] = len(self._texts)
            self._texts.append(text)
        return self._indices[text]


def info_text(info: Mapping[str, Any] | None) -> str:
    """Return the info of an event (an error, an exit or a note) as text, truncated if very long."""
    if not info:
        return ""
    message = str(info.get("message") or "")
    kind = str(info.get("type") or "")
    lines = [f"{kind}: {message}" if kind and message else message or kind]
    lines += [f"{info[name]}" for name in ("where", "hint") if info.get(name)]
    lines += [
        f"{name}: {value}"
        for name, value in info.items()
        if name not in ("type", "message", "where", "hint") and value not in (None, "", [], {})
    ]
    text = "\n".join(line for line in lines if line)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
