"""Joint steps: those on one host whose requests go together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, Outcome
from ...controller.engine.store.records import ResourceRecord
from ...controller.errors import ClassNotImportable
from ...controller.model import registry
from ...controller.model.lifecycle import Action
from ..hosts.exchange import Answer, NotShared, Pending, Recorded, ask_together
from ..hosts.joint_requests import Verb
from ..runtime import fault_injection
from ..runtime.context import MOST_COMMITS, Runtime
from ..runtime.leases import Lease
from .attempts import AttemptSummary
from .claimed_step import ClaimedStep, Machine

#: The kinds of outcomes of a start whose process has ended already.
_ENDS = frozenset({"FINISHED", "STOPPED", "FAILED"})


def is_joint(claim: Claim) -> bool:
    """Return whether a claimed step can be carried out together with others of its host."""
    if claim.host is None or claim.covered:
        return False
    try:
        cls = registry.find_on_worker(claim.rtype)
    except ClassNotImportable:
        return False  # it is recorded as the failure of this step alone
    return cls.is_joint(Action(claim.action), claim.attributes)


@dataclass
class _Member:
    """One of the steps.

    Attributes:
        step: the step.
        answers: to its requests so far.
        answered: when the last of them came, by this machine's monotonic clock.
    """

    step: ClaimedStep
    answers: list[Answer] = field(default_factory=list)
    answered: float = 0.0

    def aged(self, outcome: Outcome) -> Outcome:
        """Return an outcome with the ages of its moments as of now, not as of the answer."""
        if self.step.claim.action != "start" or not self.answers or outcome.kind == "failed":
            return outcome
        since = time.monotonic() - self.answered
        end_age = outcome.end_age + (since if outcome.kind in _ENDS else 0.0)
        return replace(outcome, age=outcome.age + since, end_age=end_age)


class JointSteps:
    """Claimed joint steps on one host.

    The hook of each is called up to its first request to the host. The requests go together, and
    the hooks are called again with the answers, up to the next request, and so on: hooks may be
    called several times, as after a crash. A step that needs another kind of request goes on alone.
    """

    def __init__(
        self,
        runtime: Runtime,
        run: Run,
        items: Sequence[tuple[Claim, Lease]],
        summary: AttemptSummary,
    ) -> None:
        self._runtime, self._run = runtime, run
        self._summary = summary
        records = _Records(run, [claim for claim, _ in items])
        self._machines: dict[int, Machine] = {}
        steps = [
            ClaimedStep(
                runtime, run, claim, lease, summary, records=records, machines=self._machines
            )
            for claim, lease in items
        ]
        self._members = [_Member(step) for step in steps]
        self._threads: list[threading.Thread] = []

    def work(self) -> None:
        """Carry the steps out and commit them."""
        members = self._members
        while members:
            members = self._round(members)
        for thread in self._threads:
            thread.join()

    def _round(self, members: Sequence[_Member]) -> list[_Member]:
        """Call the hooks once; return the steps that have made a request, with its answer."""
        asked: dict[Verb, list[tuple[_Member, Pending]]] = {}
        outcomes: list[tuple[ClaimedStep, Outcome]] = []
        self._machines.clear()  # a session may have been closed since
        for member in members:
            try:
                outcome = member.step.outcome(Recorded(member.answers))
            except Pending as pending:
                asked.setdefault(pending.verb, []).append((member, pending))
            except NotShared:
                self._go_alone(member)
            else:
                if outcome is not None:
                    outcomes.append((member.step, member.aged(outcome)))
        self._commit(outcomes)
        for items in asked.values():
            answers = ask_together([pending for _, pending in items])
            answered = time.monotonic()
            for (member, _), answer in zip(items, answers, strict=True):
                member.answers.append(answer)
                member.answered = answered
        return [member for items in asked.values() for member, _ in items]

    def _go_alone(self, member: _Member) -> None:
        def act() -> None:
            outcome = member.step.outcome(Recorded(member.answers, alone=True))
            if outcome is not None:
                fault_injection.point("acted", member.step.claim.label)
                status = self._runtime.commit(self._run, outcome)
                self._summary.committed(member.step.claim, outcome.kind, status)

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _commit(self, outcomes: Sequence[tuple[ClaimedStep, Outcome]]) -> None:
        for step, _ in outcomes:
            fault_injection.point("acted", step.claim.label)
        for at in range(0, len(outcomes), MOST_COMMITS):
            part = outcomes[at : at + MOST_COMMITS]
            statuses = self._run.commit([outcome for _, outcome in part])
            for (step, outcome), status in zip(part, statuses, strict=True):
                self._summary.committed(step.claim, outcome.kind, status)


class _Records:
    """Records of a run that several steps need, read at once."""

    def __init__(self, run: Run, claims: Sequence[Claim]) -> None:
        self.run_id, self.exp_id = run.run_id, run.exp_id
        self._run = run
        needed = {guid for claim in claims for guids in claim.peers.values() for guid in guids}
        needed |= {claim.host for claim in claims if claim.host is not None}
        needed |= {claim.inside for claim in claims if claim.inside is not None}
        self._known = dict(zip(sorted(needed), run.records(sorted(needed)), strict=True))
        self._lock = threading.Lock()

    def record(self, guid: int) -> ResourceRecord:
        """Return a record; see :meth:`Run.record`."""
        (record,) = self.records([guid])
        return record

    def records(self, guids: Sequence[int]) -> list[ResourceRecord]:
        """Return records; see :meth:`Run.records`."""
        with self._lock:
            missing = [guid for guid in guids if guid not in self._known]
            if missing:
                self._known.update(zip(missing, self._run.records(missing), strict=True))
            return [self._known[guid] for guid in guids]
