"""Timeline of a run: one bar for each attempt of a step and for each period of running.

::

                 0 s         1 s         2 s        3 s
    node-1      ▒···········································
    server      ·░▓████████████████████████  STOPPED
    client      ··········░▓███████  FINISHED

A retried step has one bar per attempt, with gaps for the waits between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine import Event

#: States in which a resource has ended.
ENDS = ("STOPPED", "FINISHED", "FAILED", "RELEASED")
_STATES = ("DISCOVERED", "RESERVED", "PROVISIONED", "READY", "STARTED", *ENDS)
#: The mark of each kind of bar: in Unicode and in ASCII.
MARKS: Mapping[str, tuple[str, str]] = {
    "deploy": ("░", "-"),
    "start": ("▓", "+"),
    "run": ("█", "#"),
    "stop": ("▒", "~"),
    "set": ("•", "s"),
    "release": ("▁", "_"),
}
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)


@dataclass(frozen=True)
class Span:
    """One attempt of a step, or one period in which a resource ran.

    Attributes:
        guid: the resource.
        kind: ``deploy``, ``start``, ``stop``, ``set`` or ``release`` for an attempt of that step;
            ``run`` for the period from STARTED to the end of the resource.
        begin: begin in seconds since the epoch.
        end: end in seconds since the epoch; None if it has not ended.
        attempt: number of the attempt; 0 for ``run``.
        outcome: the state or event that ended it; empty if it has not ended.
        worker: the worker that executed the step; empty for ``run``.
        info: info of the event that ended it: an error, an exit code, the reason of a retry.
    """

    guid: int
    kind: str
    begin: float
    end: float | None = None
    attempt: int = 0
    outcome: str = ""
    worker: str = ""
    info: Mapping[str, Any] | None = field(default=None, compare=False)


#: Parts of a deployment that can be requested separately, and the milestone that ends each.
_PARTS = {"discover": "DISCOVERED", "provision": "PROVISIONED"}


def _kind(step: str) -> str:
    action = step.split(".")[1]
    return "deploy" if action in _PARTS else action


def _intermediate(step: str) -> set[str]:
    """Return the milestones that do not end an attempt of a step."""
    return {"DISCOVERED", "RESERVED", "PROVISIONED"} - {_PARTS.get(step.split(".")[1], "")}


class _Resource:
    """The spans of one resource, built event by event."""

    def __init__(self, guid: int) -> None:
        self.guid = guid
        self.spans: list[Span] = []
        self._attempts: dict[str, Event] = {}
        self._started: float | None = None

    def add(self, event: Event) -> None:
        if event.what == "claim":
            self._attempts[event.step] = event
            return
        if event.what == "STARTED":
            self._started = event.time
        # Intermediate milestones of a deployment do not end its attempt.
        if event.step and event.what not in _intermediate(event.step):
            self._close(event)
        if event.what in ENDS and self._started is not None:
            span = Span(self.guid, "run", self._started, event.time, 0, event.what, info=event.info)
            self.spans.append(span)
            self._started = None

    def _close(self, event: Event) -> None:
        claim = self._attempts.pop(event.step, None)
        if claim is None:
            return
        self.spans.append(
            Span(
                self.guid,
                _kind(event.step),
                claim.time,
                max(event.time, claim.time),
                claim.attempt or event.attempt,
                event.what,
                claim.worker or event.worker,
                event.info,
            )
        )

    def finish(self) -> list[Span]:
        for step, claim in self._attempts.items():
            kind = _kind(step)
            self.spans.append(
                Span(self.guid, kind, claim.time, None, claim.attempt, "", claim.worker)
            )
        if self._started is not None:
            self.spans.append(Span(self.guid, "run", self._started))
        return sorted(self.spans, key=lambda span: span.begin)


def spans(events: Iterable[Event]) -> dict[int, list[Span]]:
    """Return the attempts and periods of running of each resource, in order of time."""
    resources: dict[int, _Resource] = {}
    for event in events:
        if event.guid:
            resources.setdefault(event.guid, _Resource(event.guid)).add(event)
    return {guid: resource.finish() for guid, resource in resources.items()}


def last_states(events: Iterable[Event]) -> dict[int, str]:
    """Return the last state of each resource in its events; RELEASED does not replace an end."""
    states: dict[int, str] = {}
    for event in events:
        if event.guid and event.what in _STATES:
            if event.what == "RELEASED" and states.get(event.guid) in ENDS:
                continue
            states[event.guid] = event.what
    return states


def timeline(
    events: Sequence[Event],
    labels: Mapping[int, str],
    *,
    width: int = 100,
    ascii_only: bool = False,
    longest: int = 60,
) -> str:
    """Draw the timeline of a run, one line per resource.

    Args:
        events: the events of the run.
        labels: label of each guid; resources without a label are omitted.
        width: width in columns.
        ascii_only: draw without block characters.
        longest: maximum number of resources; the last line counts the omitted ones.

    Returns:
        The drawing; empty if the resources have no events.
    """
    spans_of = spans(events)
    states = last_states(events)
    guids = [guid for guid in labels if guid in spans_of or guid in states]
    if not guids:
        return ""
    begin = min(event.time for event in events)
    end = max(event.time for event in events)
    margin = min(24, max(len(labels[guid]) for guid in guids)) + 1
    columns = max(20, width - margin - 12)
    scale = columns / max(end - begin, 1e-3)
    lines = [" " * margin + _axis(end - begin, columns)]
    for guid in guids[:longest]:
        row = _row(spans_of.get(guid, []), begin, scale, columns, ascii_only=ascii_only)
        name = labels[guid]
        name = name if len(name) < margin else name[: margin - 2] + "~"
        lines.append(f"{name:<{margin}}{row}  {states.get(guid, 'NEW')}".rstrip())
    if len(guids) > longest:
        lines.append(f"... and {len(guids) - longest} more")
    lines.append(" " * margin + legend(ascii_only=ascii_only))
    return "\n".join(lines)


def legend(*, ascii_only: bool = False) -> str:
    """Return the legend of the marks."""
    return "  ".join(f"{marks[ascii_only]} {kind}" for kind, marks in MARKS.items())


def _axis(seconds: float, columns: int) -> str:
    """Return the line of times above the bars, at round intervals of 12 columns or more."""
    interval = seconds * 12 / columns
    step = next((step for step in _STEPS if step >= interval), max(interval, 86400.0))
    text = ""
    for number in range(int(seconds / step) + 1):
        column = int(number * step / max(seconds, 1e-3) * columns)
        text = text.ljust(column)[:column] + _time(number * step)
    return text


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _row(
    resource_spans: Iterable[Span], begin: float, scale: float, columns: int, *, ascii_only: bool
) -> str:
    row = [" " if ascii_only else "·"] * columns
    # Attempts are drawn last, so that the period of running does not cover short ones.
    for span in sorted(resource_spans, key=lambda span: span.kind != "run"):
        mark = MARKS[span.kind][ascii_only] if span.kind in MARKS else "?"
        first = min(columns - 1, int((span.begin - begin) * scale))
        last = columns if span.end is None else int((span.end - begin) * scale) + 1
        for column in range(first, max(first + 1, min(columns, last))):
            row[column] = mark
        if span.outcome in ("FAILED", "lost", "again") and span.kind != "run":
            row[max(first, min(columns, last) - 1)] = "!"
    return "".join(row)
