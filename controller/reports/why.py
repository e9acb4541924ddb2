"""What a resource waits for, in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import NoWorker
from .failures import Failure
from .words import duration, some

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord, StepRecord

# Of stops and releases a host takes so many times as many as of other steps (docs/engine.md).
_ENDS_A_PLACE = 8


def why(run: Run, guid: int) -> str:
    """One sentence on where a resource is and what it waits for.

    Args:
        run: the run.
        guid: the resource.

    Returns:
        For instance ``client is READY: start waits for server STARTED + 2 s (it is READY)``.
    """
    record = run.record(guid)
    told = "; ".join(reasons(run, record))
    return f"{record.label} is {record.state}" + (f": {told}" if told else "")


def reasons(run: Run, record: ResourceRecord) -> list[str]:
    """What each step of a resource that is not done waits for, or how the resource ended."""
    steps = [step for step in run.store.steps(record.guid) if not step.ended]
    told = []
    if record.error:
        told.append(str(Failure.of(record)).removeprefix(f"{record.label}: "))
    elif record.state == "NEW" and not steps:
        told.append("it has not been deployed")
    elif record.state == "STARTED" and not steps:
        told.append("it runs until it ends by itself or is stopped")
    elif "exitCode" in record.attributes:
        told.append(f"it ended with exit code {record.attributes['exitCode']}")
    return told + [f"{step.action} {reason(run, record, step)}" for step in steps]


def reason(run: Run, record: ResourceRecord, step: StepRecord) -> str:
    """What one step that has not ended waits for, or who carries it out."""
    if step.status == "waiting":
        gates = _closed_gates(run, record, step.action)
        return "waits for " + (" and ".join(gates) if gates else "its turn")
    if step.status == "claimed":
        since = f" for {duration(max(0.0, time.time() - step.began))}" if step.began else ""
        return f"is being carried out by {step.worker}{since}" + _tries(step)
    left = (step.due or 0.0) - time.time()
    if left > 0.05:
        return f"is due in {duration(left)}" + _tries(step)
    return "is due: " + _why_not_taken(run, record, step) + _tries(step)


def _closed_gates(run: Run, record: ResourceRecord, action: str) -> list[str]:
    """The gates of a step that have not opened, in words."""
    told = []
    for condition in run.store.conditions(record.guid):
        if condition.action != action:
            continue
        target = run.record(condition.target)
        if condition.milestone in target.milestones:
            continue
        offset = f" + {duration(condition.offset)}" if condition.offset else ""
        if target.guid == record.guid:
            told.append(f"its own {condition.milestone}{offset}")
        else:
            told.append(f"{target.label} {condition.milestone}{offset} (it is {target.state})")
    if action == "start":
        told += _barrier(run, record)
    elif action == "stop" and "STARTED" not in record.milestones:
        told.append("its own STARTED")
    elif action == "release":
        told += [
            f"{user.label} RELEASED (it is {user.state})"
            for user in run.records(run.store.users(record.guid))
            if user.state != "RELEASED"
        ]
    return told


def _barrier(run: Run, record: ResourceRecord) -> list[str]:
    """The gate of a start on READY: the resource's own, or that of its whole group."""
    if record.group is None or run.store.group_opened(record.group) is not None:
        return [] if "READY" in record.milestones else ["its own READY"]
    late = [other.label for other in run.records() if other.group == record.group and other.held]
    return [f"all of group {record.group} to be READY (not yet: {some(late)})"]


def _why_not_taken(run: Run, record: ResourceRecord, step: StepRecord) -> str:
    if record.running:
        return f"its step {record.running} is being carried out"
    queue = run.queue_of(record.guid)
    try:
        run.require_workers([queue], 0.0)
    except NoWorker:
        return f"no worker serves queue {queue}"
    if record.host is not None and not record.batch:
        host = run.record(record.host)
        busy = sum(bool(other.running) for other in run.records() if other.host == host.guid)
        ends = step.action in {"stop", "release"}
        if host.limit and busy >= host.limit * (_ENDS_A_PLACE if ends else 1):
            return f"{host.label} carries out {busy} steps, which is its limit"
    return f"a worker of queue {queue} takes it next"


def _tries(step: StepRecord) -> str:
    parts = [f"attempt {step.tries}"] if step.tries > 1 else []
    if step.lost:
        parts.append(f"its worker was lost {step.lost} times")
    return f" ({', '.join(parts)})" if parts else ""
