"""Execution of steps: claim, load, call the hook, commit.

Steps without I/O arrive in batches: one claim, their hooks one after the other, one commit. A step
with I/O arrives alone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from functools import partial

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, DueStep, NotDue, Outcome
from ..runtime import fault_injection
from ..runtime.context import Runtime
from . import joint_steps
from .attempts import AttemptSummary
from .batch import Batch, Granted
from .claimed_step import ClaimedStep

log = logging.getLogger("nepiq.steps")

WORTH_WAITING = 0.3
"""Seconds that a step may arrive early and still be waited for by the thread that holds it."""


def carry_out(
    runtime: Runtime, run_id: str, steps: Sequence[str], queue: str, parallel: bool = False
) -> str:
    """Claim steps of a run and carry out those that were granted.

    Args:
        runtime: of this worker.
        run_id: the run.
        steps: requested by a message; those that are done, claimed or cancelled are skipped.
        queue: queue of the message; steps that are not due yet return to it.
        parallel: True if each step does I/O, so that none may wait for another.

    Returns:
        A summary of the outcomes, for people.
    """
    run = runtime.run(run_id)
    if runtime.paused:
        # Received before the pause took effect; the sweeper sends the step again.
        return "the clock of this machine is wrong"
    nonce = secrets.token_hex(6)
    requested_at = time.monotonic()
    answers = run.claim(steps, nonce, runtime.name, runtime.machine)
    granted = [answer for answer in answers if isinstance(answer, Claim)]
    runtime.metrics.claimed(granted)
    summary = AttemptSummary(runtime.metrics)
    if parallel:
        _spread(runtime, run, granted, summary, requested_at)
    elif granted:
        _execute(runtime, run, granted, summary, requested_at)
    early = [answer for answer in answers if isinstance(answer, NotDue)]
    if early:
        return _requeue(runtime, run, early, queue, parallel)
    return str(summary)


def _spread(
    runtime: Runtime,
    run: Run,
    claims: Sequence[Claim],
    summary: AttemptSummary,
    requested_at: float,
) -> None:
    """Carry out steps in parallel: joint steps of one host together, others one thread each."""
    joint, others = _divide(claims)
    work = [partial(_execute_joint, runtime, run, group, summary, requested_at) for group in joint]
    work += [partial(_execute, runtime, run, [one], summary, requested_at) for one in others]
    threads = [threading.Thread(target=item, daemon=True) for item in work[1:]]
    for thread in threads:
        thread.start()
    if work:
        work[0]()
    for thread in threads:
        thread.join()


def _divide(claims: Sequence[Claim]) -> tuple[list[list[Claim]], list[Claim]]:
    """Return the joint steps of each host that has several, and all other steps."""
    joint: dict[int | None, list[Claim]] = {}
    others = []
    for claim in claims:
        if joint_steps.is_joint(claim):
            joint.setdefault(claim.host, []).append(claim)
        else:
            others.append(claim)
    lone = [item for group in joint.values() if len(group) == 1 for item in group]
    return [group for group in joint.values() if len(group) > 1], others + lone


def _execute_joint(
    runtime: Runtime,
    run: Run,
    claims: Sequence[Claim],
    summary: AttemptSummary,
    requested_at: float,
) -> None:
    with runtime.lease_renewer.holding(run, claims, requested_at) as leases:
        for claim in claims:
            fault_injection.point("claimed", claim.label)
        joint_steps.JointSteps(runtime, run, list(zip(claims, leases, strict=True)), summary).work()


def _requeue(
    runtime: Runtime, run: Run, early: Sequence[NotDue], queue: str, parallel: bool
) -> str:
    """Wait for steps that are not due yet (this machine's clock is ahead), or requeue them."""
    wait = max(item.seconds for item in early)
    steps = [item.step for item in early]
    if wait <= WORTH_WAITING:
        time.sleep(wait)
        return carry_out(runtime, run.run_id, steps, queue, parallel)
    batch = len(steps) > 1 and not parallel
    due = [DueStep(item.step, item.seconds, queue, batch, item.step) for item in early]
    runtime.backend.publisher.submit(run.run_id, due)
    return f"too early by {wait:.3f} s"


def _execute(
    runtime: Runtime,
    run: Run,
    claims: Sequence[Claim],
    summary: AttemptSummary,
    requested_at: float,
) -> None:
    with runtime.lease_renewer.holding(run, claims, requested_at) as leases:
        if len(claims) == 1:
            fault_injection.point("claimed", claims[0].label)
            outcome = ClaimedStep(runtime, run, claims[0], leases[0], summary).outcome()
            fault_injection.point("acted", claims[0].label)
            if outcome is not None:
                summary.committed(claims[0], outcome.kind, runtime.commit(run, outcome))
                _wake_watcher(runtime, claims[0], outcome)
        else:
            items = [Granted(run, *pair) for pair in zip(claims, leases, strict=True)]
            for batch_run, reply in Batch(runtime, items, summary).work():
                batch_run.settle(reply)


def _wake_watcher(runtime: Runtime, claim: Claim, outcome: Outcome) -> None:
    deployed_host = claim.action == "deploy" and claim.host == claim.guid
    if deployed_host and outcome.kind == "ok" and runtime.watcher is not None:
        runtime.watcher.poke()
