"""Overdue work of a run: late steps, unreachable hosts, unread journals, stalled releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model import registry
from ..model.lifecycle import Action
from ..model.resource import DEADLINES
from ..reports.why import reason
from ..reports.words import duration

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord, StepRecord

SLACK = 60.0
"""Delay in seconds that is tolerated before work is reported as overdue."""
_UNFOLLOWED = 15.0


@dataclass(frozen=True)
class Overdue:
    """One overdue part of a run.

    Attributes:
        run_id: the run.
        about: its kind: ``step``, ``host``, ``journal`` or ``release``.
        label: the resource; empty for the run itself.
        late: delay in seconds.
        why: the cause as text.
    """

    run_id: str
    about: str
    label: str
    late: float
    why: str

    def __str__(self) -> str:
        where = f" {self.label}" if self.label else ""
        return f"run {self.run_id}{where}: {self.why}"


def overdue(run: Run, slack: float = SLACK) -> list[Overdue]:
    """Return what is late by more than ``slack`` seconds; checks 500 steps at most."""
    now = run.store.now()
    items = [*_steps(run, now, slack), *_journals(run, now)]
    release = _release(run, now, slack)
    return [*items, release] if release else items


def _steps(run: Run, now: float, slack: float) -> Iterator[Overdue]:
    for record, step in _live_steps(run):
        late = 0.0
        if step.status == "due" and step.due is not None:
            late = now - step.due
        elif step.status == "claimed" and step.began is not None:
            late = now - step.began - _allowed(run, record, step.action)
        if late > slack:
            text = f"{step.action} {reason(run, record, step)}"
            if step.status == "claimed":
                text += f", {duration(late)} longer than allowed"
            else:
                text += f", for {duration(late)}"
            yield Overdue(run.run_id, "step", record.label, late, text)
    for record in run.records(list(run.store.watches())):
        if record.silent is not None and now - record.silent > slack:
            late = now - record.silent
            text = f"the host has not answered for {duration(late)}"
            yield Overdue(run.run_id, "host", record.label, late, text)


def _live_steps(run: Run) -> Iterator[tuple[ResourceRecord, StepRecord]]:
    ids = run.store.alarmed()
    steps = run.store.some_steps(ids)
    guids = sorted({int(step.step.partition(".")[0]) for step in steps})
    records = {record.guid: record for record in run.records(guids)}
    for step in steps:
        record = records.get(int(step.step.partition(".")[0]))
        if record is not None:
            yield record, step


def _allowed(run: Run, record: ResourceRecord, action: str) -> float:
    """Return the seconds that a step may take; the default if its class cannot be loaded here."""
    try:
        rm = registry.find(record.rtype).load(
            guid=record.guid, run_id=run.run_id, attributes=record.attributes
        )
        return rm.deadline_for(Action(action))
    except Exception:  # noqa: BLE001 - a class of third parties may raise anything
        return DEADLINES[Action(action)]


def _journals(run: Run, now: float) -> Iterator[Overdue]:
    watches = run.store.watches()
    # A journal that was never followed has 0: it then counts from READY of its node.
    unfollowed = [node for node, until in watches.items() if now - until > _UNFOLLOWED]
    for record in run.records(unfollowed) if unfollowed else ():
        since = watches[record.guid] or record.milestones.get("READY", now)
        if now - since > _UNFOLLOWED:
            text = "no worker follows its journal; check that a worker of its site is running"
            yield Overdue(run.run_id, "journal", record.label, now - since, text)


def _release(run: Run, now: float, slack: float) -> Overdue | None:
    meta = run.store.meta()
    last = run.last_event()
    if meta is None or meta.phase != "RELEASING" or last is None or now - last.time <= slack:
        return None
    late = now - last.time
    text = f"its release has made no progress for {duration(late)}; {meta.live} resources remain"
    return Overdue(run.run_id, "release", "", late, text)


def latest(items: Sequence[Overdue], limit: int = 3) -> str:
    """Return the items with the longest delay as text."""
    ordered = sorted(items, key=lambda item: -item.late)
    more = f"; and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(map(str, ordered[:limit])) + more
