"""What ran when: a run's events as one bar for each attempt and each stretch of running.

::

                 0 s         1 s         2 s        3 s
    node-1      ▒···········································
    server      ·░▓████████████████████████  STOPPED
    client      ··········░▓███████  FINISHED

A retried step shows as several bars with the waits between them, not as one long bar.
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
#: How each kind of bar is drawn: with Unicode and in ASCII.
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
    """A stretch of time in which something was done for one resource, or it ran.

    Attributes:
        guid: the resource.
        kind: ``deploy``, ``start``, ``stop``, ``set`` or ``release``: one attempt of that step;
            ``run``: from STARTED to its end.
        begin: seconds since the epoch.
        end: the same; None if it has not ended.
        attempt: number of the try, 0 for ``run``.
        outcome: the state or event it ended with; empty if it has not.
        worker: who carried it out; empty for ``run``.
        info: what the event of its end tells: an error, an exit code, why it is to be repeated.
    """

    guid: int
    kind: str
    begin: float
    end: float | None = None
    attempt: int = 0
    outcome: str = ""
    worker: str = ""
    info: Mapping[str, Any] | None = field(default=None, compare=False)


#: Parts of a deployment that were asked for by themselves, and the milestone that ends them.
_PARTS = {"discover": "DISCOVERED", "provision": "PROVISIONED"}


def _kind(step: str) -> str:
    action = step.split(".")[1]
    return "deploy" if action in _PARTS else action


def _passed(step: str) -> set[str]:
    """The milestones after which an attempt of a step goes on."""
    return {"DISCOVERED", "RESERVED", "PROVISIONED"} - {_PARTS.get(step.split(".")[1], "")}


class _Resource:
    """Spans of one resource, built event by event."""

    def __init__(self, guid: int) -> None:
        self.guid = guid
        self.spans: list[Span] = []
        self._attempts: dict[str, Event] = {}
        self._started: float | None = None

    def take(self, event: Event) -> None:
        if event.what == "claim":
            self._attempts[event.step] = event
            return
        if event.what == "STARTED":
            self._started = event.time
        # A deployment passes milestones; its attempt goes on.
        if event.step and event.what not in _passed(event.step):
            self._close(event)
        if event.what in ENDS and self._started is not None:
            ran = Span(self.guid, "run", self._started, event.time, 0, event.what, info=event.info)
            self.spans.append(ran)
            self._started = None

    def _close(self, event: Event) -> None:
        began = self._attempts.pop(event.step, None)
        if began is None:
            return
        self.spans.append(
            Span(
                self.guid,
                _kind(event.step),
                began.time,
                max(event.time, began.time),
                began.attempt or event.attempt,
                event.what,
                began.worker or event.worker,
                event.info,
            )
        )

    def finish(self) -> list[Span]:
        for step, event in self._attempts.items():
            kind = _kind(step)
            self.spans.append(
                Span(self.guid, kind, event.time, None, event.attempt, "", event.worker)
            )
        if self._started is not None:
            self.spans.append(Span(self.guid, "run", self._started))
        return sorted(self.spans, key=lambda span: span.begin)


def spans(events: Iterable[Event]) -> dict[int, list[Span]]:
    """The attempts and stretches of running of each resource, in order of time."""
    resources: dict[int, _Resource] = {}
    for event in events:
        if event.guid:
            resources.setdefault(event.guid, _Resource(event.guid)).take(event)
    return {guid: resource.finish() for guid, resource in resources.items()}


def last_states(events: Iterable[Event]) -> dict[int, str]:
    """The last state of each resource that its events tell; ends are kept over RELEASED."""
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
    """Draw a run's history, one line for each resource.

    Args:
        events: the run's events.
        labels: label of each guid; resources without one are left out.
        width: columns to use.
        ascii_only: draw without block characters.
        longest: at most so many resources; the last line says how many were left out.

    Returns:
        The drawing, empty if nothing has happened.
    """
    told = spans(events)
    states = last_states(events)
    guids = [guid for guid in labels if guid in told or guid in states]
    if not guids:
        return ""
    begin = min(event.time for event in events)
    end = max(event.time for event in events)
    margin = min(24, max(len(labels[guid]) for guid in guids)) + 1
    columns = max(20, width - margin - 12)
    scale = columns / max(end - begin, 1e-3)
    lines = [" " * margin + _axis(end - begin, columns)]
    for guid in guids[:longest]:
        row = _row(told.get(guid, []), begin, scale, columns, ascii_only=ascii_only)
        name = labels[guid]
        name = name if len(name) < margin else name[: margin - 2] + "~"
        lines.append(f"{name:<{margin}}{row}  {states.get(guid, 'NEW')}".rstrip())
    if len(guids) > longest:
        lines.append(f"... and {len(guids) - longest} more")
    lines.append(" " * margin + legend(ascii_only=ascii_only))
    return "\n".join(lines)


def legend(*, ascii_only: bool = False) -> str:
    """What the marks mean."""
    return "  ".join(f"{marks[ascii_only]} {kind}" for kind, marks in MARKS.items())


def _axis(seconds: float, columns: int) -> str:
    """Times above the bars, at round distances of 12 columns or more."""
    wanted = seconds * 12 / columns
    step = next((step for step in _STEPS if step >= wanted), max(wanted, 86400.0))
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
    told: Iterable[Span], begin: float, scale: float, columns: int, *, ascii_only: bool
) -> str:
    row = [" " if ascii_only else "·"] * columns
    # Short attempts must not vanish behind the running that follows them: drawn last.
    for span in sorted(told, key=lambda span: span.kind != "run"):
        mark = MARKS[span.kind][ascii_only] if span.kind in MARKS else "?"
        first = min(columns - 1, int((span.begin - begin) * scale))
        last = columns if span.end is None else int((span.end - begin) * scale) + 1
        for column in range(first, max(first + 1, min(columns, last))):
            row[column] = mark
        if span.outcome in ("FAILED", "lost", "again") and span.kind != "run":
            row[max(first, min(columns, last) - 1)] = "!"
    return "".join(row)
