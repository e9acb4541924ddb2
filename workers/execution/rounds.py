"""Short steps of many runs, carried out together, and what follows from them at once.

The runs of a campaign that begin together have few steps each. A message, a claim and a commit of
their own would cost more than these steps: several runs share them. What becomes due meanwhile and
needs no host is carried out in the next round, by the thread that is there already.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, Reply
from ...controller.engine.store.store import claim_each
from ..runtime.context import Runtime
from .attempts import AttemptSummary
from .batch import Batch, Granted

MOST_RUNS = 8
"""Runs whose steps share a message."""

MOST_STEPS = 32
"""Steps of one run that a round takes; with more of them, other workers get some."""

_Work = list[tuple[Run, list[str]]]


def dispatch(runtime: Runtime, exp_id: str, replies: Sequence[tuple[str, Reply]]) -> None:
    """Dispatch the steps of runs of an experiment that have begun together."""
    work = _short(runtime, [(runtime.run(run_id), reply) for run_id, reply in replies])
    for at in range(0, len(work), MOST_RUNS):
        part = work[at : at + MOST_RUNS]
        runtime.backend.publisher.rounds(exp_id, [(run.run_id, steps) for run, steps in part])


def carry_out(runtime: Runtime, exp_id: str, items: Sequence[tuple[str, list[str]]]) -> str:
    """Carry out steps of several runs, and what follows from them.

    Args:
        runtime: of this worker.
        exp_id: name of the experiment of all runs.
        items: runs, and the steps of each that a message requests.

    Returns:
        A summary of the outcomes, for people.
    """
    if runtime.paused:
        # Received before the pause took effect; the sweeper sends the steps again.
        return "the clock of this machine is wrong"
    summary = AttemptSummary(runtime.metrics)
    work = [(runtime.run(run_id), list(steps)) for run_id, steps in items]
    for run, _ in work:
        run.learn(exp_id)
    while work:
        work = _round(runtime, work, summary)
    return str(summary)


def _round(runtime: Runtime, work: _Work, summary: AttemptSummary) -> _Work:
    """Claim, carry out and commit steps; return what follows from them and is short too."""
    requested_at = time.monotonic()
    stores = [(run.store, steps) for run, steps in work]
    answers = claim_each(stores, secrets.token_hex(6), runtime.name, runtime.machine)
    replies, items = [], []
    with ExitStack() as held:
        for (run, _), (reply, found) in zip(work, answers, strict=True):
            replies.append((run, reply))
            claims = [claim for claim in found if isinstance(claim, Claim)]
            runtime.metrics.claimed(claims)
            leases = held.enter_context(runtime.lease_renewer.holding(run, claims, requested_at))
            items += [Granted(run, *pair) for pair in zip(claims, leases, strict=True)]
        if items:
            replies += Batch(runtime, items, summary).work()
    return _short(runtime, replies)


def _short(runtime: Runtime, replies: Sequence[tuple[Run, Reply]]) -> _Work:
    """Send the due steps of replies; return the short ones instead that this worker may take."""
    work = []
    for run, reply in replies:
        own = [
            step.step
            for step in reply.due
            if step.batch and step.delay <= 0 and step.queue in runtime.queues
        ]
        if len(own) > MOST_STEPS:
            own = []
        chosen = set(own)
        run.settle(reply._replace(due=[step for step in reply.due if step.step not in chosen]))
        if own:
            work.append((run, own))
    return work
