"""Check after a wait that resources reached their goal before another client released them.

A RELEASED resource has passed every milestone, so that all waits for it end. A wait for its end
must raise an error if the end never came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..errors import ExperimentReleased
from ..reports.history import history
from ..reports.words import clock, duration

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

UNATTENDED = "unattended"
"""The request of a release because no client was connected for ``release_after``."""


def require_reached(
    run: Run, guids: Iterable[int], wanted: Collection[str], own: Collection[str], goal: str
) -> None:
    """Raise an error if another client released a resource before it was in one of some states.

    Args:
        run: the run.
        guids: the resources.
        wanted: the states that were waited for.
        own: the releases that this client requested, which are no surprise to it.
        goal: the name of the states.

    Raises:
        ExperimentReleased: a resource was released so.
    """
    orders = run.store.releases()
    foreign = orders.keys() - own
    if not foreign:
        return
    covered = _covered(orders, foreign) - _covered(orders, orders.keys() & own)
    asked = [guid for guid in guids if guid in covered or None in covered]
    if not asked or None in _covered(orders, orders.keys() & own):
        return
    ended = [r for r in run.records(asked) if r.state in ("RELEASED", "STOPPED")]
    missed = _missed(run, ended, frozenset(wanted) - {"RELEASED"})
    if missed:
        raise _error(run, missed, goal, foreign)


def _covered(orders: dict[str, list[int] | None], chosen: Iterable[str]) -> set[int | None]:
    """Return the resources that releases are about; None stands for all."""
    found: set[int | None] = set()
    for order in chosen:
        members = orders[order]
        found.update([None] if members is None else members)
    return found


def _missed(run: Run, ended: list[ResourceRecord], wanted: frozenset[str]) -> list[ResourceRecord]:
    """Return those that were in none of the states; STOPPED by their release does not count."""
    if not ended:
        return []
    guids = {record.guid for record in ended}
    entered: dict[int, set[str]] = defaultdict(set)
    for event in history(run):
        if event.guid in guids:
            entered[event.guid].add(event.what)
    missed = []
    for record in ended:
        passed = entered[record.guid] & wanted
        if passed == {"STOPPED"} and not _was_stopped(run, record.guid):
            passed = set()
        if not passed:
            missed.append(record)
    return missed


def _was_stopped(run: Run, guid: int) -> bool:
    """Return True if a step has stopped it, because of a condition or a request."""
    steps = run.store.steps(guid)
    return any(".stop" in step.step and step.status == "done" for step in steps)


def _error(
    run: Run, missed: list[ResourceRecord], goal: str, foreign: Collection[str]
) -> ExperimentReleased:
    first = missed[0]
    ended = first.milestones.get("RELEASED", first.milestones.get("STOPPED", 0.0))
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    were = "were" if more else "was"
    meta = run.store.meta()
    by = "another client"
    if UNATTENDED in foreign and meta is not None and meta.release_after is not None:
        by = f"the workers, since no client was seen for {duration(meta.release_after)},"
    return ExperimentReleased(
        f"{first.label}{more} {were} released at {clock(ended)} by {by} before being {goal}",
        where=f"run {run.run_id}",
        hint=f"nepiq status --timeline {run.run_id} tells how far it came",
    )
