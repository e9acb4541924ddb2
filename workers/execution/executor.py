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
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, DueStep, NotDue, Outcome
from ..runtime import fault_injection
from ..runtime.context import Runtime
from ..runtime.leases import Lease
from .attempts import AttemptSummary
from .batch import Batch, Granted
from .claimed_step import ClaimedStep
from .joint_steps import JointSteps, is_joint

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
    execution = _Execution(runtime, run, summary, requested_at)
    if parallel:
        execution.spread(granted)
    elif granted:
        execution.execute(granted)
    early = [answer for answer in answers if isinstance(answer, NotDue)]
    if early:
        return _requeue(runtime, run, early, queue, parallel)
    return str(summary)


def _divide(claims: Sequence[Claim]) -> tuple[list[list[Claim]], list[Claim]]:
    """Return the joint steps of each host that has several, and all other steps."""
    joint: dict[int | None, list[Claim]] = {}
    others = []
    for claim in claims:
        if is_joint(claim):
            joint.setdefault(claim.host, []).append(claim)
        else:
            others.append(claim)
    lone = [item for group in joint.values() if len(group) == 1 for item in group]
    return [group for group in joint.values() if len(group) > 1], others + lone


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


@dataclass(frozen=True)
class _Execution:
    """The execution of the claimed steps of one message.

    Attributes:
        runtime: of this worker.
        run: the run.
        summary: of the outcomes.
        requested_at: when the claims were requested, by this machine's monotonic clock.
    """

    runtime: Runtime
    run: Run
    summary: AttemptSummary
    requested_at: float

    def spread(self, claims: Sequence[Claim]) -> None:
        """Carry out steps in parallel: joint ones of a host together, others a thread each."""
        joint, others = _divide(claims)
        work = [partial(self._execute_joint, group) for group in joint]
        work += [partial(self.execute, [claim]) for claim in others]
        threads = [threading.Thread(target=item, daemon=True) for item in work[1:]]
        for thread in threads:
            thread.start()
        if work:
            work[0]()
        for thread in threads:
            thread.join()

    def execute(self, claims: Sequence[Claim]) -> None:
        """Carry out a step, or several without I/O one after the other."""
        with self._holding(claims) as leases:
            if len(claims) > 1:
                items = [Granted(self.run, *pair) for pair in zip(claims, leases, strict=True)]
                for run, reply in Batch(self.runtime, items, self.summary).work():
                    run.settle(reply)
                return
            ((claim, lease),) = zip(claims, leases, strict=True)
            fault_injection.point("claimed", claim.label)
            step = ClaimedStep(self.runtime, self.run, claim, lease, self.summary)
            outcome = step.outcome()
            fault_injection.point("acted", claim.label)
            if outcome is not None:
                self.summary.committed(claim, outcome.kind, self.runtime.commit(self.run, outcome))
                self._wake_watcher(claim, outcome)

    def _execute_joint(self, claims: Sequence[Claim]) -> None:
        with self._holding(claims) as leases:
            for claim in claims:
                fault_injection.point("claimed", claim.label)
            items = list(zip(claims, leases, strict=True))
            JointSteps(self.runtime, self.run, items, self.summary).work()

    def _holding(self, claims: Sequence[Claim]) -> AbstractContextManager[list[Lease]]:
        return self.runtime.lease_renewer.holding(self.run, claims, self.requested_at)

    def _wake_watcher(self, claim: Claim, outcome: Outcome) -> None:
        deployed_host = claim.action == "deploy" and claim.host == claim.guid
        if deployed_host and outcome.kind == "ok" and self.runtime.watcher is not None:
            self.runtime.watcher.poke()
