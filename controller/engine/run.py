"""One run, as clients and workers handle it: the store's scripts, and what they make due.

Each method runs one script and then *settles* its reply: it submits the steps that became due
and drains the run's to-do list. Whoever dies in between loses nothing: the steps are due in the
run's alarms and the rest is on the list, and the sweeper takes both up.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import errors
from ..errors.text import quoted
from ..model.spec import Gate, ResourceSpec
from ..settings import Settings
from . import events, membership, redis_memory
from .messaging import queues
from .store import keys
from .store.calls import Due, Early, Grant, Outcome, Reply
from .store.forms import dumps
from .store.records import ResourceRecord, RunRecord, Snapshot, StepRecord
from .store.store import RunStore

if TYPE_CHECKING:
    from .messaging.publisher import Publisher


LOOK = 1.0
"""Seconds without an event after which it is made sure that the run is still there."""


class Run:
    """A run in Redis.

    Args:
        store: its records.
        publisher: gives what submits steps; asked only when there is something to submit.
        settings: name of the broker, time limits.
    """

    def __init__(
        self, store: RunStore, publisher: Callable[[], Publisher], settings: Settings
    ) -> None:
        self.store = store
        self.settings = settings
        self._publisher = publisher
        self._exp_id = ""
        self._phase = ""  # the last one known, empty as long as nothing is known of the run

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

    # -- describing -------------------------------------------------------------------------

    def create(self, exp_id: str, release_after: float | None = None) -> bool:
        """Write the run's record; False if the id is taken by another run."""
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
        """Write resources under the caller's nonce."""
        if specs:
            status = self.store.upload(nonce, specs)
            self._accept(*status.split(":", 1))

    # -- acting -----------------------------------------------------------------------------

    def deploy(
        self, guids: Iterable[int], group: int | str | None = "new", deployment: str = ""
    ) -> int | None:
        """Arm the steps of resources.

        Args:
            guids: the resources; those deployed already are passed over.
            group: the group they join; ``"new"`` for one of their own; None for no barrier.
            deployment: an id that makes repeating the call harmless; made up if empty.

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
        """Have a resource carry out an action now; return the step's id.

        Raises:
            NotAllowed: its present state does not allow it.
        """
        self._activate()
        reply = self.store.request(key or secrets.token_hex(6), guid, action, list(args))
        self._accept(reply.status, reply.detail)
        self.settle(reply)
        return reply.detail

    def release(self, guids: Iterable[int] | None = None, key: str = "") -> None:
        """Begin to release resources, and those that live on them; None for the whole run."""
        self._activate()
        chosen = None if guids is None else list(guids)
        reply = self.store.release(key or secrets.token_hex(6), chosen)
        self._accept(reply.status, reply.detail)
        self.settle(reply)

    def touch(self) -> str:
        """Tell that a client is there; return the phase."""
        status, phase = self.store.touch()
        self._accept(status)
        return phase

    # -- what workers do ----------------------------------------------------------------------

    def claim(
        self, steps: Sequence[str], nonce: str, worker: str, machine: str
    ) -> list[Grant | Early | None]:
        """Take steps to run."""
        reply, answers = self.store.claim(steps, nonce, worker, machine)
        self.settle(reply)
        return answers

    def progress(
        self, step: str, token: int, state: str, age: float, attrs: Mapping[str, Any]
    ) -> bool:
        """Record a milestone on the way; False if the claim is no longer ours."""
        reply = self.store.progress(step, token, state, age, attrs)
        self.settle(reply)
        return reply.status == "OK"

    def commit(self, outcomes: Sequence[Outcome]) -> list[str]:
        """End claimed steps; per step its status, ``STALE`` where the claim was lost."""
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
        """Put a claimed step back, due in ``delay`` seconds; False if the claim was lost."""
        reply = self.store.again(
            step, token, delay, kind, "" if note is None else dumps(note), attrs
        )
        self.settle(reply)
        return reply.status == "OK"

    def exited(
        self,
        watch: tuple[int, str],
        guid: int,
        occasion: int,
        outcome: str,
        age: float,
        info: Mapping[str, Any] | None,
        attrs: Mapping[str, Any],
        outputs: Mapping[str, bytes],
    ) -> str:
        """Record that a supervised process has ended, as the journal of ``watch``'s node says.

        ``watch`` is that node and the holder of its lease. Returns the status; see
        :meth:`RunStore.exited`.
        """
        reply = self.store.exited(guid, occasion, outcome, age, info, attrs, outputs, watch)
        self.settle(reply)
        return reply.status

    def abandon(
        self, node: int, error: Mapping[str, Any], *, holder: str = "", until: float | None = None
    ) -> str:
        """Record that the machine of a host is gone for good; the status.

        It is refused unless ``holder`` has the lease of its watch, or after ``until``; see
        :meth:`RunStore.abandon`.
        """
        reply = self.store.abandon(node, error, holder, until)
        self.settle(reply)
        return reply.status

    def sweep(self, backlogged: Iterable[str] = ()) -> Reply:
        """Take up what was left undone; called by one worker at a time.

        Args:
            backlogged: queues in which messages wait.
        """
        reply = self.store.sweep(backlogged)
        # What was sent before and not taken is for anybody; what is due later is sent first now.
        anybody = [
            item if item.delay > 0 else item._replace(queue=queues.shared(item.queue))
            for item in reply.due
        ]
        reply = reply._replace(due=anybody)
        self.settle(reply)
        return reply

    def settle(self, reply: Reply) -> None:
        """Submit what a script made due and drain the run's to-do list."""
        while True:
            if reply.due:
                self._publisher().submit(self.run_id, reply.due)
            if reply.ended:
                self._retire()
            if not reply.more:
                return
            reply = self.store.go_on()

    def announce(self, items: Sequence[Sequence[Any]]) -> None:
        """Submit steps with I/O whose moment has come: ``[step, queue, label, attempt]`` each."""
        due = [
            Due(str(step), 0.0, str(queue), False, str(label), *map(int, attempt))
            for step, queue, label, *attempt in items
        ]
        self._publisher().submit(self.run_id, due)

    def _activate(self) -> None:
        # Before the script: whoever dies after it must leave a run that the sweeper knows.
        active = keys.active(self.settings.broker_name)
        redis_memory.execute(self.store.redis, [("SADD", active, self.run_id)])

    def _retire(self) -> None:
        active = keys.active(self.settings.broker_name)
        ended = ("ZADD", keys.ENDED, "NX", time.time(), self.run_id)
        redis_memory.execute(self.store.redis, [("SREM", active, self.run_id), ended])

    # -- looking ------------------------------------------------------------------------------

    def _meta(self) -> RunRecord:
        meta = self.store.meta()
        if meta is None:
            raise self._unknown()
        self._phase = meta.phase
        return meta

    def exists(self) -> bool:
        """True if Redis has the run."""
        meta = self.store.meta()
        if meta is not None:
            self._phase = meta.phase
        return meta is not None

    def require(self) -> None:
        """Return if Redis has the run.

        Raises:
            RunLost: it does not any more, though the run was not released.
            UnknownRun: it does not.
        """
        self._meta()

    def _unknown(self) -> errors.UnknownRun:
        if not self._phase:
            return errors.UnknownRun(
                f"no run {quoted(self.run_id)}", hint="nepiq ls lists the runs"
            )
        if self._phase in ("RELEASED", "EXPIRED"):
            return errors.UnknownRun(
                f"run {self.run_id} was released, and its records are deleted by now"
            )
        return errors.RunLost(
            f"run {self.run_id} is not in Redis any more: Redis was emptied, or came back without "
            "its data",
            hint="workers end what it left on hosts; nepiq doctor tells where they cannot",
        )

    def snapshot(self, guids: Sequence[int] | None = None) -> Snapshot:
        """Last event id, phase and states, so that nothing between them and the events is lost."""
        snapshot = self.store.snapshot(guids)
        if snapshot.phase == "GONE":
            raise self._unknown()
        self._phase = snapshot.phase
        return snapshot

    def last_event(self) -> events.Event | None:
        """The latest event, if there is one."""
        return events.last(self.store.redis, self.run_id)

    def events(self, after: str = events.START, block: float = 0.0) -> list[events.Event]:
        """The events after ``after``; waits ``block`` seconds for one.

        Raises:
            RunLost: the run is not there any more: Redis says nothing to who waits for a key that
                is deleted, so it is asked.
        """
        end = time.monotonic() + block
        while True:
            left = max(0.0, end - time.monotonic())
            found = events.read(self.store.redis, self.run_id, after, block=min(left, LOOK))
            if found:
                if found[-1].what == "RELEASED" and not found[-1].guid:
                    self._phase = "RELEASED"
                return found
            if left < LOOK:
                return found
            self._meta()

    def record(self, guid: int) -> ResourceRecord:
        """Everything known of one resource.

        Raises:
            UnknownResource: the run has no such resource.
        """
        found = self.store.record(guid)
        if found is None:
            self._meta()
            raise errors.UnknownResource(guid, self.store.guids())
        return found

    def records(self, guids: Sequence[int] | None = None) -> list[ResourceRecord]:
        """Everything known of several resources; all by default."""
        found = self.store.records(guids)
        if not found and (guids is None or guids):
            self._meta()
        return found

    def step(self, step_id: str) -> StepRecord | None:
        """What is known of a step."""
        found = self.store.step(step_id)
        if found is None:
            self._meta()
        return found

    def output(self, guid: int, name: str, occasion: int) -> bytes | None:
        """A small output that came with the exit of that occasion, or None."""
        return self.store.output(guid, name, occasion)

    def call(self, task: str, queue: str, args: Sequence[Any], shown: str) -> None:
        """Send a task that is not a step, about this run; ``shown`` says to people what it does."""
        self._publisher().call(task, queue, list(args), shown=f"{shown}, run {self.run_id}")

    def queue_of(self, guid: int) -> str:
        """The queue that leads to a worker which reaches the resource's host."""
        record = self.record(guid)
        host = self.record(record.host) if record.host else record
        machine = self._meta().bindings.get(host.site)
        if host.local and machine:
            return queues.of_machine(machine)
        return record.queue

    def require_workers(self, queues: Iterable[str], seconds: float | None = None) -> None:
        """Return when each queue is served by a live worker.

        Raises:
            NoWorker: one is not within ``seconds`` (``settings.worker_timeout`` by default).
        """
        limit = self.settings.worker_timeout if seconds is None else seconds
        membership.require(self.store.redis, queues, limit)

    def _accept(self, status: str, detail: str = "") -> None:
        """Raise the error that a script's refusal stands for."""
        if status == "OK":
            return
        where = f"run {self.run_id}"
        if status == "GONE":
            raise self._unknown()
        if status == "TOOLATE":
            raise errors.TooLate(
                f"the step is {detail} already, so a condition on it comes too late", where=where
            )
        if status == "CLOSED":
            raise errors.ExperimentFailed(
                f"the run is {detail or 'over'}, so nothing new is deployed or started",
                where=where,
                hint=f"nepiq status {self.run_id} tells why",
            )
        if status == "ILLEGAL":
            raise errors.NotAllowed(f"not possible in state {detail}", where=where)
        if status == "UNKNOWN":
            raise errors.UnknownResource(detail, self.store.guids(), where=where)
        if status == "CLASH":
            raise errors.InvalidValue(
                f"guid {detail} was registered by another client",
                where=where,
                hint="let nepiq choose the guids",
            )
        raise errors.NepiqError(f"unexpected answer {status} {detail}", where=where)
