"""One run in Redis: a typed method for each script, and plain reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...model.spec import Gate, ResourceSpec
from .calls import Claim, ExitReport, NotDue, Outcome, Reply, WatchGrant
from .forms import dumps, loads
from .reads import RunReads
from .records import Snapshot
from .scripts import Argument, Call, evaluate, evaluate_all
from .timing import Timing
from .wire import (
    claimed,
    committed,
    exit_arguments,
    gate_fields,
    outcome_arguments,
    pairs,
    parse,
    ranges,
    reply_of,
    spec_arguments,
)

if TYPE_CHECKING:
    from redis import Redis

UPLOAD_CHUNK = 500
SNAPSHOT_CHUNK = 1000


class RunStore(RunReads):
    """The records of one run.

    Refusals come back as statuses; the caller, who knows labels, turns them into errors. Every
    method may be repeated with the same arguments when its answer was lost.

    Attributes:
        redis: a client that does not decode responses.
        run_id: the run.
        timing: the engine's constants.
    """

    def __init__(self, redis: Redis, run_id: str, timing: Timing | None = None) -> None:
        super().__init__(redis, run_id)
        self.timing = timing or Timing()

    # -- the client's side ---------------------------------------------------------------

    def create(
        self, nonce: str, exp_id: str, release_after: float | None = None
    ) -> tuple[str, float]:
        """Make the run.

        Args:
            nonce: chosen by the caller; the same one again is a repetition.
            exp_id: the user's name for the experiment.
            release_after: seconds without a client after which the run is released.

        Returns:
            Status (``OK`` or ``CLASH``) and the time of creation.
        """
        after = "" if release_after is None else release_after
        status, created = self._ask("create", nonce, exp_id, after)
        return status, float(created or 0)

    def reserve(self, count: int, nonce: str, at: int = 0) -> tuple[str, int]:
        """Reserve guids for this client.

        Args:
            count: how many.
            nonce: the same one again gives the same block.
            at: the block begins here or later.

        Returns:
            Status and the first guid of the block.
        """
        status, *first = self._ask("reserve", nonce, count, at)
        return status, first[0] if first else 0

    def upload(self, nonce: str, specs: Sequence[ResourceSpec]) -> str:
        """Write resource managers.

        Returns:
            ``OK``, ``CLASH:<guid>`` if a guid was uploaded under another nonce, ``CLOSED:<phase>``
            or ``GONE``. A refusal leaves the other chunks of 500 written.
        """
        chunks = [
            [nonce, *(item for spec in part for item in spec_arguments(nonce, spec))]
            for part in _chunks(specs, UPLOAD_CHUNK)
        ]
        statuses = [answer[0] for answer in self._ask_each("upload", chunks)]
        return next((status for status in statuses if status != "OK"), "OK")

    def deploy(self, order: str, group: int | str | None, guids: Iterable[int]) -> Reply:
        """Deploy resource managers; ``detail`` of the reply is their group.

        Args:
            order: id of this deployment, chosen by the caller.
            group: a group's id, ``"new"``, or None for no barrier.
            guids: which; those that are deployed already are passed over.
        """
        return self._act("deploy", order, "" if group is None else group, ranges(guids))

    def condition(self, guid: int, gate: Gate) -> Reply:
        """Let a step of a resource manager wait for one thing more, which is no need."""
        return self._act("condition", guid, *gate_fields(gate)[:-1])

    def request(self, order: str, guid: int, action: str, args: Sequence[Any] = ()) -> Reply:
        """Ask for a start, a stop or a set now; ``detail`` of the reply is the step.

        Args:
            order: id of this request, chosen by the caller.
            guid: the resource manager.
            action: ``start``, ``stop`` or ``set``.
            args: for a set, name and value.
        """
        return self._act("request", order, guid, action, dumps(list(args)) if args else "")

    def release(self, order: str, guids: Iterable[int] | None = None) -> Reply:
        """Release resource managers, and before them what lives on them.

        Args:
            order: id of this release, chosen by the caller.
            guids: which; None for all, which ends the run.
        """
        return self._act("release", order, int(guids is None), ranges(guids or ()))

    def snapshot(self, guids: Iterable[int] | None = None) -> Snapshot:
        """States, and the point of the event stream from which they go on.

        Args:
            guids: whose; None for all.
        """
        asked = self.guids() if guids is None else list(guids)
        states: dict[int, str] = {}
        head: tuple[str, str, str] | None = None
        for chunk in _chunks(asked, SNAPSHOT_CHUNK) if asked else [[]]:
            answer = self._ask("snapshot", ranges(chunk))
            if answer[0] != "OK":
                return Snapshot("0-0", "GONE", None, {})
            _, last_id, phase, cause, *found = answer
            # Later chunks are newer: reading on from the first misses nothing.
            head = head or (last_id, phase, cause)
            states.update((guid, state) for guid, state in zip(chunk, found, strict=True) if state)
        last_id, phase, cause = head or ("0-0", "GONE", "")
        return Snapshot(last_id, phase, loads(cause), states)

    def touch(self, release_after: float | None = None) -> tuple[str, str]:
        """Note that a client is there; status and phase.

        Args:
            release_after: how long the run goes on without a client from now on, ``inf`` for ever;
                None for no change.
        """
        after = "" if release_after is None else release_after
        status, *phase = self._ask("touch", "never" if after == math.inf else after)
        return status, phase[0] if phase else ""

    def wake(self, step: str) -> Reply:
        """Let a step be due now that was put back until something happens elsewhere.

        One that is claimed is due again at once when it is put back. All others stay as they are.
        """
        return self._act("wake", step)

    # -- the worker's side ---------------------------------------------------------------

    def claim(
        self, steps: Sequence[str], nonce: str, worker: str, machine: str
    ) -> tuple[Reply, list[Claim | NotDue | None]]:
        """Take steps to run them.

        Args:
            steps: their ids.
            nonce: of this delivery; the same one again gives the same claims.
            worker: name of the worker.
            machine: the machine it runs on.

        Returns:
            The reply, and for each step a claim, how early it is, or None: nothing to do.
        """
        call = self.claim_call(steps, nonce, worker, machine)
        return claimed(steps, self._ask(call.name, *call.args))

    def claim_call(self, steps: Sequence[str], nonce: str, worker: str, machine: str) -> Call:
        """The call of :meth:`claim`, for several runs in one round trip."""
        head = (*self._limits(), nonce, worker, machine, self.timing.lease)
        return Call("claim", self.keys.prefix, (*head, *steps))

    def renew(self, worker: str, held: Sequence[tuple[str, int]]) -> list[str]:
        """Keep claims for another lease.

        Args:
            worker: who holds them.
            held: step and token of each step that is executing.

        Returns:
            Per claim ``ok``, ``lost``, or ``cancel`` if the step should stop.
        """
        flat = [item for pair in held for item in pair]
        _, *answers = self._ask("renew", worker, self.timing.lease, *flat)
        return answers if answers else ["lost"] * len(held)

    def progress(
        self,
        step: str,
        token: int,
        state: str,
        age: float = 0.0,
        attrs: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Record a milestone on the way of a deploy.

        Args:
            step: the claimed step.
            token: its token.
            state: DISCOVERED, RESERVED or PROVISIONED.
            age: seconds since it was reached.
            attrs: attributes that the hook assigned.
        """
        return self._act("progress", step, token, state, age, *pairs(attrs or {}))

    def commit(self, outcomes: Sequence[Outcome]) -> tuple[Reply, list[str]]:
        """Record how attempts ended; the reply, and per outcome ``OK`` or ``STALE``."""
        call = self.commit_call(outcomes)
        return committed(outcomes, self._ask(call.name, *call.args))

    def commit_call(self, outcomes: Sequence[Outcome]) -> Call:
        """The call of :meth:`commit`, for several runs in one round trip."""
        flat = [item for outcome in outcomes for item in outcome_arguments(outcome)]
        return Call("commit", self.keys.prefix, (*self._limits(), *flat))

    def again(
        self,
        step: str,
        token: int,
        delay: float,
        kind: str = "later",
        note: str = "",
        attrs: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Give a claimed step back, to be due again.

        Args:
            step: the claimed step.
            token: its token.
            delay: seconds until it is due.
            kind: ``later`` (the world is not ready), ``retry`` (it failed and is tried again), or
                ``silent`` (its host does not answer: it keeps its place there meanwhile).
            note: JSON that says why, for the event.
            attrs: attributes that the hook assigned in this round.
        """
        return self._act("again", step, token, delay, kind, note, *pairs(attrs or {}))

    def exited(
        self, reports: Sequence[ExitReport], watch: tuple[int, str] | None = None
    ) -> list[Reply]:
        """Record that processes have ended, in one round trip; return the reply to each report.

        Refused are ``TAKEN``, where another follows that node's journal by now, and ``FOREIGN``,
        where the resource manager acts on another host.

        Args:
            reports: the ends.
            watch: the node whose journal says so, and the holder of its watch; not checked if None.
        """
        common = (*self._limits(), *(watch or ("", "")))
        calls = [(*common, *exit_arguments(report)) for report in reports]
        return [reply_of(answer) for answer in self._ask_each("exited", calls)]

    def abandon(
        self, node: int, error: Mapping[str, Any], holder: str = "", until: float | None = None
    ) -> Reply:
        """Record that a node's machine is gone for good, and what lived on it with it.

        Refused are ``TAKEN`` and ``LATE``: whoever judges a host must not have stood still since.

        Args:
            node: the node.
            error: why.
            holder: who must have the lease of its watch; not checked if empty.
            until: until when the judgement is good, by Redis' clock; not checked if None.
        """
        limit = "" if until is None else until
        return self._act("abandon", node, holder, limit, dumps(dict(error)))

    def sweep(self, backlogged: Iterable[str] = ()) -> Reply:
        """Look after all alarms that rang; ``detail`` is how many.

        When that is the limit there may be more: sweep again.

        Args:
            backlogged: queues in which messages wait for a worker; steps whose message is
                probably among them are not submitted once more.
        """
        return self._act("sweep", self.timing.lease, self.timing.max_lost, *backlogged)

    def go_on(self) -> Reply:
        """Do the next part of work that a script left over."""
        return self._act("go_on")

    def watch(self, node: int, holder: str) -> WatchGrant:
        """Take or renew the lease to follow a node's journal.

        Args:
            node: the node.
            holder: the worker and a nonce of this watch, so that an earlier one is another holder.
        """
        status, *rest = self._ask("watch", node, holder, self.timing.lease)
        return WatchGrant(status, rest[0], int(rest[1])) if rest else WatchGrant(status)

    def unwatch(self, node: int, holder: str) -> str:
        """Give up the lease on a node's journal, so that another takes it at once; the status."""
        return str(self._ask("unwatch", node, holder)[0])

    def watched(self, node: int, holder: str, journal: str, offset: int, since: int = 0) -> str:
        """Record how far a node's journal has been followed.

        Args:
            node: the node.
            holder: who follows it, as ``watch`` was told.
            journal: id of the journal.
            offset: how far it is known now, in bytes.
            since: how far it was known before, 0 for not at all.

        Returns:
            The status; ``TAKEN`` if another follows it by now; ``BEHIND`` if Redis does not know it
            up to ``since``, because it came back with older records: then it must be followed
            again from where ``watch`` says.
        """
        return str(self._ask("watched", node, holder, journal, offset, since)[0])

    def expire(self) -> tuple[str, bool]:
        """Delete the next part of a released run; the status, and whether there is more."""
        status, more = self._ask("expire", self.timing.limit)
        return status, more == 1

    # -- calling -------------------------------------------------------------------------

    def _limits(self) -> tuple[Argument, ...]:
        return self.timing.grace, self.timing.horizon, self.timing.limit

    def _ask(self, name: str, *args: Argument) -> list[Any]:
        return parse(evaluate(self.redis, name, self.keys.prefix, *args))

    def _ask_each(self, name: str, calls: Sequence[Sequence[Argument]]) -> list[list[Any]]:
        if len(calls) == 1:
            return [self._ask(name, *calls[0])]
        answers = evaluate_all(self.redis, [Call(name, self.keys.prefix, args) for args in calls])
        return [parse(answer) for answer in answers]

    def _act(self, name: str, *args: Argument) -> Reply:
        return reply_of(self._ask(name, *self._limits(), *args))


def claim_each(
    stores: Sequence[tuple[RunStore, Sequence[str]]], nonce: str, worker: str, machine: str
) -> list[tuple[Reply, list[Claim | NotDue | None]]]:
    """Take steps of several runs in one round trip; see :meth:`RunStore.claim`."""
    calls = [store.claim_call(steps, nonce, worker, machine) for store, steps in stores]
    answers = map(parse, evaluate_all(stores[0][0].redis, calls))
    return [claimed(steps, answer) for (_, steps), answer in zip(stores, answers, strict=True)]


def commit_each(
    stores: Sequence[tuple[RunStore, Sequence[Outcome]]],
) -> list[tuple[Reply, list[str]]]:
    """Record outcomes of several runs in one round trip; see :meth:`RunStore.commit`."""
    calls = [store.commit_call(outcomes) for store, outcomes in stores]
    answers = map(parse, evaluate_all(stores[0][0].redis, calls))
    return [committed(items, answer) for (_, items), answer in zip(stores, answers, strict=True)]


def _chunks(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
