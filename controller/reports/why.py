"""Explanations of what a resource waits for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import NoWorker
from . import leases
from .failures import Failure
from .words import duration, some

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord, StepRecord

# A host accepts this many times more stops and releases than other steps (docs/engine.md).
_END_FACTOR = 64


def why(run: Run, guid: int) -> str:
    """Return a sentence with the state of a resource and what it waits for.

    Args:
        run: the run.
        guid: the resource.

    Returns:
        For example ``client is READY: start waits for server STARTED + 2 s (it is READY)``.
    """
    record = run.record(guid)
    text = "; ".join(reasons(run, record))
    return f"{record.label} is {record.state}" + (f": {text}" if text else "")


def reasons(run: Run, record: ResourceRecord) -> list[str]:
    """Return how a resource ended, and what each of its pending steps waits for."""
    steps = [step for step in run.store.steps(record.guid) if not step.ended]
    texts = []
    if record.error:
        texts.append(str(Failure.of(record)).removeprefix(f"{record.label}: "))
    elif record.state == "NEW" and not steps:
        texts.append("it has not been deployed")
    elif record.state == "STARTED" and not steps:
        texts.append("it runs until it ends by itself or is stopped")
    elif "exitCode" in record.attributes:
        texts.append(f"it ended with exit code {record.attributes['exitCode']}")
    return texts + [
        f"{step.action} {reason(run, record, step)}{_activity(record, step)}" for step in steps
    ]


def _activity(record: ResourceRecord, step: StepRecord) -> str:
    """Return what a deployment under way has reported in an attribute of that name."""
    activity = record.attributes.get("activity") if step.action == "deploy" else ""
    return f"; it {activity}" if activity else ""


def reason(run: Run, record: ResourceRecord, step: StepRecord) -> str:
    """Return what a pending step waits for, or the worker that executes it."""
    if step.status == "waiting":
        gates = _closed_gates(run, record, step.action)
        return "waits for " + (" and ".join(gates) if gates else "its turn")
    if step.status == "claimed":
        since = f" for {duration(max(0.0, time.time() - step.began))}" if step.began else ""
        return f"is executed by {step.worker}{since}" + _attempts(step)
    delay = (step.due or 0.0) - time.time()
    hosts = leases.waiting(run, record.guid) if delay > 0.05 and step.action == "deploy" else ""
    if hosts:
        return f"waits for {hosts}"
    if delay > 0.05:
        return f"is due in {duration(delay)}" + _attempts(step)
    return "is due: " + _why_not_claimed(run, record, step) + _attempts(step)


def _closed_gates(run: Run, record: ResourceRecord, action: str) -> list[str]:
    """Return the closed gates of a step as text."""
    gates = []
    for condition in run.store.conditions(record.guid):
        if condition.action != action:
            continue
        target = run.record(condition.target)
        if condition.milestone in target.milestones:
            continue
        offset = f" + {duration(condition.offset)}" if condition.offset else ""
        hosts = leases.waiting(run, target.guid) if condition.need else ""
        if hosts:
            gates.append(hosts)
        elif target.guid == record.guid:
            gates.append(f"its own {condition.milestone}{offset}")
        else:
            gates.append(f"{target.label} {condition.milestone}{offset} (it is {target.state})")
    if action == "start":
        gates += _barrier(run, record)
    elif action == "stop" and "STARTED" not in record.milestones:
        gates.append("its own STARTED")
    elif action == "release":
        gates += [
            f"{user.label} RELEASED (it is {user.state})"
            for user in run.records(run.store.users(record.guid))
            if user.state != "RELEASED"
        ]
    return gates


def _barrier(run: Run, record: ResourceRecord) -> list[str]:
    """Return the closed READY gate of a start: of the resource itself, or of its whole group."""
    if record.group is None or run.store.group_opened(record.group) is not None:
        return [] if "READY" in record.milestones else ["its own READY"]
    missing = [other.label for other in run.records() if other.group == record.group and other.held]
    return [f"all of group {record.group} to be READY (not yet: {some(missing)})"]


def _why_not_claimed(run: Run, record: ResourceRecord, step: StepRecord) -> str:
    if record.running:
        return f"step {record.running} of this resource is running"
    queue = run.queue_of(record.guid)
    try:
        run.require_workers([queue], 0.0)
    except NoWorker:
        return f"no worker serves queue {queue}"
    if record.host is not None and not record.batch:
        host = run.record(record.host)
        busy = sum(bool(other.running) for other in run.records() if other.host == host.guid)
        is_end = step.action in {"stop", "release"}
        if host.limit and busy >= host.limit * (_END_FACTOR if is_end else 1):
            return f"{host.label} already runs {busy} steps, its limit"
    return f"a worker of queue {queue} will claim it next"


def _attempts(step: StepRecord) -> str:
    parts = [f"attempt {step.tries}"] if step.tries > 1 else []
    if step.lost:
        parts.append(f"its worker was lost {step.lost} times")
    return f" ({', '.join(parts)})" if parts else ""
