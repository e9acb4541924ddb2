"""Claimed steps without I/O, of one or several runs, carried out one after the other."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, Outcome, Reply
from ...controller.engine.store.store import commit_each
from ..runtime.context import Runtime
from ..runtime.leases import SLOW_HOOK, Lease
from .attempts import AttemptSummary
from .claimed_step import ClaimedStep


class Granted(NamedTuple):
    """A step that this worker has claimed.

    Attributes:
        run: its run.
        claim: the claim.
        lease: of the claim.
    """

    run: Run
    claim: Claim
    lease: Lease


class Batch:
    """Several claimed steps without I/O, committed together.

    If a hook hangs, the thread of the lease renewer requeues the steps that wait behind it and
    commits those that are done.

    Args:
        runtime: of this worker.
        items: the steps.
        summary: collects what became of them.
    """

    def __init__(self, runtime: Runtime, items: list[Granted], summary: AttemptSummary) -> None:
        self._runtime = runtime
        self._summary = summary
        self._waiting = items[::-1]
        self._done: list[tuple[Granted, Outcome]] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def work(self) -> list[tuple[Run, Reply]]:
        """Carry out the steps and commit them; return the replies, whose steps are not sent yet."""
        with self._runtime.lease_renewer.timer(SLOW_HOOK, self._check):
            while True:
                with self._lock:
                    if not self._waiting:
                        break
                    item = self._waiting.pop()
                    self._began = time.monotonic()
                outcome = ClaimedStep(
                    self._runtime, item.run, item.claim, item.lease, self._summary
                ).outcome()
                if outcome is not None:
                    with self._lock:
                        self._done.append((item, outcome))
        return self._commit()

    def _commit(self) -> list[tuple[Run, Reply]]:
        with self._lock:
            done, self._done = self._done, []
        by_run: dict[str, list[tuple[Granted, Outcome]]] = {}
        for item, outcome in done:
            by_run.setdefault(item.run.run_id, []).append((item, outcome))
        groups = list(by_run.values())
        if not groups:
            return []
        calls = [(group[0][0].run.store, [outcome for _, outcome in group]) for group in groups]
        answers = commit_each(calls)
        self._runtime.lease_renewer.drop([item.lease for item, _ in done])
        replies = []
        for group, (reply, statuses) in zip(groups, answers, strict=True):
            for (item, outcome), status in zip(group, statuses, strict=True):
                self._summary.committed(item.claim, outcome.kind, status)
            replies.append((group[0][0].run, reply))
        return replies

    def _check(self) -> float | None:
        slow = time.monotonic() - self._began
        if slow < SLOW_HOOK:
            # The batch is long, not stuck: check again when the present hook would be slow.
            return SLOW_HOOK - slow
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for run, claim, _ in waiting:
            run.again(claim.step, claim.token, 0.0, "later")
            self._summary.ended(claim, "again")
        self._runtime.lease_renewer.drop([lease for _, _, lease in waiting])
        for run, reply in self._commit():
            run.settle(reply)
        return None
