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
from ..runtime.leases import SLOW_HOOK, Lease
from .attempts import AttemptSummary
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
                _Batch(self, list(zip(claims, leases, strict=True))).work()
                return
            ((claim, lease),) = zip(claims, leases, strict=True)
            fault_injection.point("claimed", claim.label)
            outcome = self.step(claim, lease).outcome()
            fault_injection.point("acted", claim.label)
            if outcome is not None:
                self.summary.committed(claim, outcome.kind, self.runtime.commit(self.run, outcome))
                self._wake_watcher(claim, outcome)

    def step(self, claim: Claim, lease: Lease) -> ClaimedStep:
        """Return a claimed step to be carried out."""
        return ClaimedStep(self.runtime, self.run, claim, lease, self.summary)

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


class _Batch:
    """Several claimed steps without I/O.

    If a hook hangs, the thread of the lease renewer requeues the steps that wait behind it and
    commits those that are done.
    """

    def __init__(self, execution: _Execution, items: list[tuple[Claim, Lease]]) -> None:
        self._execution = execution
        self._run, self._summary = execution.run, execution.summary
        self._lease_renewer = execution.runtime.lease_renewer
        self._waiting = items[::-1]
        self._done: list[tuple[Claim, Lease, Outcome]] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def work(self) -> None:
        """Carry out the steps one after the other and commit them together."""
        with self._lease_renewer.timer(SLOW_HOOK, self._check):
            while True:
                with self._lock:
                    if not self._waiting:
                        break
                    claim, lease = self._waiting.pop()
                    self._began = time.monotonic()
                outcome = self._execution.step(claim, lease).outcome()
                if outcome is not None:
                    with self._lock:
                        self._done.append((claim, lease, outcome))
        self._commit()

    def _commit(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        if done:
            statuses = self._run.commit([outcome for _, _, outcome in done])
            self._lease_renewer.drop([lease for _, lease, _ in done])
            for (claim, _, outcome), status in zip(done, statuses, strict=True):
                self._summary.committed(claim, outcome.kind, status)

    def _check(self) -> float | None:
        slow = time.monotonic() - self._began
        if slow < SLOW_HOOK:
            # The batch is long, not stuck: check again when the present hook would be slow.
            return SLOW_HOOK - slow
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for claim, _ in waiting:
            self._run.again(claim.step, claim.token, 0.0, "later")
            self._summary.ended(claim, "again")
        self._lease_renewer.drop([lease for _, lease in waiting])
        self._commit()
        return None
