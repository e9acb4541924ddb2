"""Operations on one run, for clients and workers: the store's scripts and their due steps.

Each method runs one script and then *settles* its reply: it submits the steps that became due
and drains the run's to-do list. A process that dies in between loses nothing: the steps are in the
run's set of due times and the rest is on the list, and the sweeper resumes both.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import errors
from ..model.spec import Gate, ResourceSpec
from ..settings import Settings
from . import events, membership, redis_memory, refusals
from .messaging import queues
from .store import keys
from .store.calls import Claim, DueStep, ExitReport, NotDue, Outcome, Reply
from .store.forms import dumps
from .store.records import ResourceRecord, RunRecord, Snapshot, StepRecord
from .store.store import RunStore

if TYPE_CHECKING:
    from .messaging.publisher import Publisher


LOOK = 1.0
"""Seconds without an event after which the existence of the run is checked."""


class Run:
    """A run in Redis.

    Args:
        store: the run's records.
        publisher: returns the publisher; called only if there is something to submit.
        settings: name of the broker and time limits.
    """

    def __init__(
        self, store: RunStore, publisher: Callable[[], Publisher], settings: Settings
    ) -> None:
        self.store = store
        self.settings = settings
        self._publisher = publisher
        self._exp_id = ""
        self._phase = ""  # the last one read; empty before the first

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.store.run_id

    @property
    def exp_id(self) -> str:
        """The user's name for the experiment."""
        if not self._exp_id:
            self._exp_id = self._meta().exp_id
        return self._exp_id

    def learn(self, exp_id: str) -> None:
        """Note the name of the experiment, which the caller knows."""
        self._exp_id = exp_id

    # -- describing -------------------------------------------------------------------------

    def create(self, exp_id: str, release_after: float | None = None) -> bool:
        """Write the run's record; return False if another run has the id."""
        status, _ = self.store.create(secrets.token_hex(6), exp_id, release_after)
        self._exp_id = exp_id
        self._phase = "RUNNING" if status == "OK" else ""
        return status == "OK"

    def reserve(self, count: int, at: int, nonce: str) -> int:
        """Reserve ``count`` guids from ``at`` on, or later if taken; return the first."""
        status, first = self.store.reserve(count, nonce, at)
        self._accept(*status.split(":", 1))
        return first

    def upload(self, specs: Sequence[ResourceSpec], nonce: str) -> None:
        """Write the specs of resources, under the nonce of the caller's reservation."""
        if specs:
            status = self.store.upload(nonce, specs)
            self._accept(*status.split(":", 1))

    # -- acting -----------------------------------------------------------------------------

    def deploy(
        self, guids: Iterable[int], group: int | str | None = "new", deployment: str = ""
    ) -> int | None:
        """Schedule the steps of resources.

        Args:
            guids: the resources; those already deployed are skipped.
            group: the group they join; ``"new"`` for a new one; None for no barrier.
            deployment: an id that makes repeating the call harmless; generated if empty.

        Returns:
            The group's id, or None.
        """
        self._activate()
        reply = self.store.deploy(deployment or secrets.token_hex(6), group, list(guids))
        self._accept(reply.status, reply.detail)
        self.settle(reply)
        return int(reply.detail) if reply.detail else None

    def condition(
        self, guid: int, action: str, target: int, milestone: str, offset: float = 0.0
    ) -> None:
        """Add a condition to a resource that has been uploaded.

        Raises:
            TooLate: its step has been claimed or is done.
        """
        reply = self.store.condition(guid, Gate(action, target, milestone, offset))
        self._accept(reply.status, reply.detail)
        self.settle(reply)

    def request(self, guid: int, action: str, args: Sequence[Any] = (), key: str = "") -> str:
        """Request an action of a resource now; return the step's id.

        Raises:
            NotAllowed: the resource's state does not allow it.
        """
        self._activate()
        reply = self.store.request(key or secrets.token_hex(6), guid, action, list(args))
        self._accept(reply.status, reply.detail)
        self.settle(reply)
        return reply.detail

    def release(self, guids: Iterable[int] | None = None, key: str = "") -> None:
        """Begin to release resources and those on them; None releases the whole run."""
        self._activate()
        guid_list = None if guids is None else list(guids)
        reply = self.store.release(key or secrets.token_hex(6), guid_list)
        self._accept(reply.status, reply.detail)
        self.settle(reply)

    def touch(self, release_after: float | None = None) -> str:
        """Record that a client is active; return the phase.

        Args:
            release_after: seconds without a client after which the run is released from now on,
                ``inf`` for never; None for no change.
        """
        status, phase = self.store.touch(release_after)
        self._accept(status)
        return phase

    # -- workers -------------------------------------------------------------------------------

    def claim(
        self, steps: Sequence[str], nonce: str, worker: str, machine: str
    ) -> list[Claim | NotDue | None]:
        """Claim steps; return a reply for each."""
        reply, answers = self.store.claim(steps, nonce, worker, machine)
        self.settle(reply)
        return answers

    def progress(
        self, step: str, token: int, state: str, age: float, attrs: Mapping[str, Any]
    ) -> bool:
        """Record a milestone within a step; return False if the claim was lost."""
        reply = self.store.progress(step, token, state, age, attrs)
        self.settle(reply)
        return reply.status == "OK"

    def commit(self, outcomes: Sequence[Outcome]) -> list[str]:
        """End claimed steps; return the status of each, ``STALE`` if its claim was lost."""
        reply, statuses = self.store.commit(outcomes)
        self.settle(reply)
        return statuses

    def again(
        self,
        step: str,
        token: int,
        delay: float,
        kind: str,
        note: Any = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> bool:
        """Requeue a claimed step, due in ``delay`` seconds; return False if the claim was lost."""
        reply = self.store.again(
            step, token, delay, kind, "" if note is None else dumps(note), attrs
        )
        self.settle(reply)
        return reply.status == "OK"

    def wake(self, step_id: str) -> None:
        """Let a step that waits for something outside of the run be due now."""
        self.settle(self.store.wake(step_id))

    def exited(self, watch: tuple[int, str], reports: Sequence[ExitReport]) -> list[str]:
        """Record the exits of supervised processes, as a node's journal has them; return statuses.

        ``watch`` is the node and the holder of its watch lease; see :meth:`RunStore.exited`.
        """
        replies = self.store.exited(reports, watch)
        for reply in replies:
            self.settle(reply)
        return [reply.status for reply in replies]

    def abandon(
        self, node: int, error: Mapping[str, Any], *, holder: str = "", until: float | None = None
    ) -> str:
        """Record that the machine of a host is lost for good; return the status.

        It is refused if ``holder`` does not hold the watch lease, or after ``until``; see
        :meth:`RunStore.abandon`.
        """
        reply = self.store.abandon(node, error, holder, until)
        self.settle(reply)
        return reply.status

    def sweep(self, backlogged: Iterable[str] = ()) -> Reply:
        """Resume unfinished work; called by one worker at a time.

        Args:
            backlogged: queues with waiting messages.
        """
        reply = self.store.sweep(backlogged)
        # Steps that were sent before and not claimed go to any worker of the site; those that are
        # due later are sent for the first time, so their preferred worker still gets them.
        due = [
            item if item.delay > 0 else item._replace(queue=queues.shared(item.queue))
            for item in reply.due
        ]
        reply = reply._replace(due=due)
        self.settle(reply)
        return reply

    def settle(self, reply: Reply) -> None:
        """Submit the steps that a script made due, and drain the run's to-do list."""
        while True:
            if reply.due:
                self._publisher().submit(self.run_id, reply.due)
            if reply.ended:
                self._retire()
            if reply.campaign:
                self._publisher().advance(reply.campaign)
            if not reply.more:
                return
            reply = self.store.go_on()

    def announce(self, items: Sequence[Sequence[Any]]) -> None:
        """Submit steps with I/O that became due: ``[step, queue, label, attempt]`` each."""
        due = [
            DueStep(str(step), 0.0, str(queue), False, str(label), int(attempt))
            for step, queue, label, attempt in items
        ]
        self._publisher().submit(self.run_id, due)

    def _activate(self) -> None:
        # Before the script: if this process dies after it, the sweeper must find the run.
        active = keys.active(self.settings.broker_name)
        redis_memory.execute(self.store.redis, [("SADD", active, self.run_id)])

    def _retire(self) -> None:
        active = keys.active(self.settings.broker_name)
        ended = ("ZADD", keys.ENDED, "NX", time.time(), self.run_id)
        redis_memory.execute(self.store.redis, [("SREM", active, self.run_id), ended])

    # -- reading ------------------------------------------------------------------------------

    def _meta(self) -> RunRecord:
        meta = self.store.meta()
        if meta is None:
            raise self._unknown()
        self._phase = meta.phase
        return meta

    def exists(self) -> bool:
        """Return whether Redis has the run."""
        meta = self.store.meta()
        if meta is not None:
            self._phase = meta.phase
        return meta is not None

    def require(self) -> None:
        """Check that Redis has the run.

        Raises:
            RunLost: Redis had it, and it was not released.
            UnknownRun: Redis does not have it.
        """
        self._meta()

    def _unknown(self) -> errors.UnknownRun:
        return refusals.unknown_run(self.run_id, self._phase)

    def snapshot(self, guids: Sequence[int] | None = None) -> Snapshot:
        """Return last event id, phase and states, read together so that no event is missed."""
        snapshot = self.store.snapshot(guids)
        if snapshot.phase == "GONE":
            raise self._unknown()
        self._phase = snapshot.phase
        return snapshot

    def last_event(self) -> events.Event | None:
        """Return the latest event, or None."""
        return events.last(self.store.redis, self.run_id)

    def events(self, after: str = events.START, block: float = 0.0) -> list[events.Event]:
        """Return the events after ``after``; wait up to ``block`` seconds for one.

        Raises:
            RunLost: Redis does not have the run any more. A blocked read does not return when its
                key is deleted, so the run is checked every :data:`LOOK` seconds.
        """
        end = time.monotonic() + block
        while True:
            remaining = max(0.0, end - time.monotonic())
            new = events.read(self.store.redis, self.run_id, after, block=min(remaining, LOOK))
            if new:
                if new[-1].what == "RELEASED" and not new[-1].guid:
                    self._phase = "RELEASED"
                return new
            if remaining < LOOK:
                return new
            self._meta()

    def record(self, guid: int) -> ResourceRecord:
        """Return the record of one resource.

        Raises:
            UnknownResource: the run has no such resource.
        """
        record = self.store.record(guid)
        if record is None:
            self._meta()
            raise errors.UnknownResource(guid, self.store.guids())
        return record

    def records(self, guids: Sequence[int] | None = None) -> list[ResourceRecord]:
        """Return the records of several resources; all by default."""
        records = self.store.records(guids)
        if not records and (guids is None or guids):
            self._meta()
        return records

    def step(self, step_id: str) -> StepRecord | None:
        """Return the record of a step, or None."""
        step = self.store.step(step_id)
        if step is None:
            self._meta()
        return step

    def output(self, guid: int, name: str, occasion: int) -> bytes | None:
        """Return a small output that was recorded with the exit of that start, or None."""
        return self.store.output(guid, name, occasion)

    def call(self, task: str, queue: str, args: Sequence[Any], shown: str) -> None:
        """Send a task that is not a step, for this run; ``shown`` describes it to people."""
        self._publisher().call(task, queue, list(args), shown=f"{shown}, run {self.run_id}")

    def queue_of(self, guid: int) -> str:
        """Return the queue of the workers that reach the resource's host."""
        record = self.record(guid)
        host = self.record(record.host) if record.host else record
        machine = self._meta().bindings.get(host.site)
        if host.local and machine:
            return queues.of_machine(machine)
        return record.queue

    def require_workers(self, queues: Iterable[str], seconds: float | None = None) -> None:
        """Wait until each queue is served by a live worker.

        Raises:
            NoWorker: one is not served within ``seconds`` (default: ``settings.worker_timeout``).
        """
        limit = self.settings.worker_timeout if seconds is None else seconds
        membership.require(self.store.redis, queues, limit)

    def _accept(self, status: str, detail: str = "") -> None:
        """Raise the error for a script's status, unless it is OK."""
        if status == "GONE":
            raise self._unknown()
        if status != "OK":
            raise refusals.error(self.run_id, status, detail, self.store.guids)
