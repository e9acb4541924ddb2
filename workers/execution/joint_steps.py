"""Joint steps: those that configure one host, carried out by one request to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, Outcome
from ...controller.engine.store.records import ResourceRecord
from ...controller.errors import NepiqError
from ...controller.model import registry
from ...controller.model.configuration import Change
from ..hosts import Attempt, ShellHost
from ..hosts.configuration import Configuration, Wanted, ask_together
from ..hosts.content_cache import Pieces
from ..runtime.context import Runtime
from ..runtime.leases import Lease
from .attempts import AttemptSummary
from .claimed_step import ClaimedStep

#: Steps that one call of the commit script may end.
MOST_COMMITS = 50

_ACTIONS = frozenset({"deploy", "release"})

_Answer = str | NepiqError


def is_joint(claim: Claim) -> bool:
    """Return whether a claimed step can be carried out together with others of its host."""
    if claim.host is None or claim.covered or claim.action not in _ACTIONS:
        return False
    return registry.find_on_worker(claim.rtype).joint


class JointSteps:
    """Claimed joint steps on one host.

    The hook of each is called up to its request for the configuration of the host. The requests go
    together; then each hook is called again, and receives the answer at once. Hooks may be called
    twice, as after a crash.
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
        self._records = _Records(run, [claim for claim, _ in items])
        self._steps = [
            ClaimedStep(runtime, run, claim, lease, summary, records=self._records)
            for claim, lease in items
        ]

    def work(self) -> None:
        """Carry the steps out and commit them."""
        captured: list[tuple[ClaimedStep, _Captured]] = []
        outcomes: list[tuple[ClaimedStep, Outcome]] = []
        for step in self._steps:
            try:
                outcome = step.outcome(_CapturingHost)
            except _Captured as request:
                captured.append((step, request))
            else:
                if outcome is not None:
                    outcomes.append((step, outcome))
        answers = ask_together([(item.attempt, item.wanted) for _, item in captured])
        for (step, _), answer in zip(captured, answers, strict=True):
            outcome = step.outcome(_answering(answer))
            if outcome is not None:
                outcomes.append((step, outcome))
        self._commit(outcomes)

    def _commit(self, outcomes: Sequence[tuple[ClaimedStep, Outcome]]) -> None:
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


class _Captured(BaseException):
    """The request of a hook; it passes through what handles errors of hooks.

    Attributes:
        attempt: the attempt of the step that makes it.
        wanted: the request.
    """

    def __init__(self, attempt: Attempt, wanted: Wanted) -> None:
        super().__init__()
        self.attempt, self.wanted = attempt, wanted


class _CapturingHost(ShellHost):
    """A host whose configuration is requested later."""

    def configure(self, changes: Sequence[Change], *, anew: bool = True, report: str = "") -> str:
        """Pass the request on."""
        raise _Captured(self.attempt, self._configuration.wanted(changes, anew, report))

    def unconfigure(self) -> None:
        """Pass the request on."""
        raise _Captured(self.attempt, Configuration.NOTHING)


def _answering(answer: _Answer) -> type[ShellHost]:
    """Return a class of hosts that have answered the first request for their configuration."""

    class AnsweringHost(ShellHost):
        def __init__(self, attempt: Attempt, pieces: Pieces | None = None) -> None:
            super().__init__(attempt, pieces)
            self._answer: _Answer | None = answer

        def configure(
            self, changes: Sequence[Change], *, anew: bool = True, report: str = ""
        ) -> str:
            given, self._answer = self._answer, None
            if given is None:
                return super().configure(changes, anew=anew, report=report)
            if isinstance(given, NepiqError):
                raise given
            return given

        def unconfigure(self) -> None:
            given, self._answer = self._answer, None
            if given is None:
                super().unconfigure()
            elif isinstance(given, NepiqError):
                raise given

    return AnsweringHost
