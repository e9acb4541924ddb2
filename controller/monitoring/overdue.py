"""What of a run should have happened by now, and why it has not."""

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
"""Seconds that everything may be late before somebody is told."""
_UNFOLLOWED = 15.0


@dataclass(frozen=True)
class Overdue:
    """One thing that should have happened.

    Attributes:
        run_id: the run.
        about: ``step``, ``host``, ``journal`` or ``release``.
        label: the resource; empty for the run itself.
        late: seconds since it should have happened.
        why: what it waits for.
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
    """What of a run is late by more than ``slack`` seconds; looks at 500 steps at most."""
    now = run.store.now()
    found = [*_steps(run, now, slack), *_journals(run, now)]
    late = _release(run, now, slack)
    return [*found, late] if late else found


def _steps(run: Run, now: float, slack: float) -> Iterator[Overdue]:
    for record, step in _live_steps(run):
        late = 0.0
        if step.status == "due" and step.due is not None:
            late = now - step.due
        elif step.status == "claimed" and step.began is not None:
            late = now - step.began - _allowed(run, record, step.action)
        if late > slack:
            told = f"{step.action} {reason(run, record, step)}"
            if step.status == "claimed":
                told += f", {duration(late)} longer than it may take"
            else:
                told += f", for {duration(late)}"
            yield Overdue(run.run_id, "step", record.label, late, told)
    for record in run.records(list(run.store.watches())):
        if record.silent is not None and now - record.silent > slack:
            late = now - record.silent
            told = f"the host has not answered for {duration(late)}"
            yield Overdue(run.run_id, "host", record.label, late, told)


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
    """Seconds that a step may take; the default where its class cannot say so here."""
    try:
        rm = registry.find(record.rtype).load(
            guid=record.guid, run_id=run.run_id, attributes=record.attributes
        )
        return rm.deadline_for(Action(action))
    except Exception:  # noqa: BLE001 - a class of third parties may raise anything
        return DEADLINES[Action(action)]


def _journals(run: Run, now: float) -> Iterator[Overdue]:
    watches = run.store.watches()
    # A node that nobody has followed yet has 0: since when it is there, its record says.
    alone = [node for node, until in watches.items() if now - until > _UNFOLLOWED]
    for record in run.records(alone) if alone else ():
        since = watches[record.guid] or record.milestones.get("READY", now)
        if now - since > _UNFOLLOWED:
            told = "nobody follows what ends on it: does a worker of its site run?"
            yield Overdue(run.run_id, "journal", record.label, now - since, told)


def _release(run: Run, now: float, slack: float) -> Overdue | None:
    meta = run.store.meta()
    last = run.last_event()
    if meta is None or meta.phase != "RELEASING" or last is None or now - last.time <= slack:
        return None
    late = now - last.time
    told = f"its release makes no progress for {duration(late)}; {meta.live} resources are left"
    return Overdue(run.run_id, "release", "", late, told)


def shown(found: Sequence[Overdue], most: int = 3) -> str:
    """The latest of them, in words."""
    latest = sorted(found, key=lambda item: -item.late)
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(map(str, latest[:most])) + more
