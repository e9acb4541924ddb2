"""A client's handle on a run: requests steps, waits for them, detects missing workers."""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..engine import threads
from ..engine.redis_errors import contact
from ..errors import ExperimentFailed, NepiqError, NotAllowed, RedisUnreachable
from . import waiting
from .endings import require_reached

if TYPE_CHECKING:
    from ..engine import Run
    from .connect import Access
    from .waiting import Goal

log = logging.getLogger("nepiq.experiment")


class Link:
    """A run, and the connections to it.

    Args:
        access: the connections to Redis and the local services.
        run: the run.

    Attributes:
        access, run: as given.
    """

    def __init__(self, access: Access, run: Run) -> None:
        self.access = access
        self.run = run
        self._hasty = threading.local()
        self._closed = threading.Event()
        self._absent: set[str] = set()
        self._attending = False
        self._releases: set[str] = set()  # requested by this client

    def close(self) -> None:
        """Close the connections to Redis and the local services; the run goes on."""
        self._closed.set()
        self.access.close()

    def stay_seen(self, release_after: float | None) -> None:
        """Send heartbeats of this client to the run, if it is released without them."""
        if release_after is None:
            return

        def touch() -> None:
            # At once: most of the time may have passed when another client attaches.
            while True:
                with contextlib.suppress(NepiqError), contact():
                    self.run.touch()
                if self._closed.wait(max(0.1, release_after / 3)):
                    return

        threads.start(threading.Thread(target=touch, name="nepiq-client", daemon=True))

    def attend(self, release_after: float) -> None:
        """Have the run released after so many seconds without a client; this one is there."""
        if self._attending:
            return
        self._attending = True
        with contact():
            self.run.touch(release_after)
        self.stay_seen(release_after)

    def stop_attending(self) -> None:
        """Take :meth:`attend` back: the run goes on without a client."""
        if self._attending:
            with contact():
                self.run.touch(math.inf)

    # -- acting -------------------------------------------------------------------------------

    @property
    def patient(self) -> bool:
        """True if calls of this thread return only when the requested step has ended."""
        return not getattr(self._hasty, "on", False)

    @contextlib.contextmanager
    def hasty(self) -> Iterator[None]:
        """Within this, calls of this thread return once the request is recorded."""
        self._hasty.on = True
        try:
            yield
        finally:
            self._hasty.on = False

    def act(self, guid: int, label: str, action: str, args: Sequence[Any] = ()) -> None:
        """Request an action of one resource; return when it is done, raise what it raised."""
        try:
            step = self.request(guid, action, args)
        except NotAllowed as error:
            raise NotAllowed(f"cannot {action}: {error.message}", where=label) from None
        if self.patient:
            waiting.wait_step(self.run, step, idle=self.check_workers)

    def request(self, guid: int, action: str, args: Sequence[Any] = ()) -> str:
        """Request an action of one resource; return the step without waiting for it."""
        with contact():
            return self.run.request(guid, action, args)

    def release(self, guids: Sequence[int] | None, timeout: float | None) -> None:
        """Release resources, all of the run for None, and wait for it.

        Raises:
            WaitTimeout: it takes longer; it goes on nevertheless.
        """
        order = secrets.token_hex(6)
        self._releases.add(order)
        with contact():
            self.run.release(guids, order)
            # A partial release takes along those that live on what is released.
            chosen = self.run.store.guids() if guids is None else guids
        if self.patient:
            self.wait(chosen, waiting.RELEASED, timeout)

    # -- looking ------------------------------------------------------------------------------

    def failed(self) -> ExperimentFailed | None:
        """Return the failure of a critical resource that ended the experiment, or None."""
        with contact():
            cause = self.run.snapshot([]).cause
        if cause is None:
            return None
        error = cause.get("error") or {}
        message = str(error.get("message") or "a critical resource failed")
        hint = str(error.get("hint") or "")
        where = str(error.get("where") or cause.get("label") or "")
        return ExperimentFailed(message, where=where, hint="" if hint in message else hint)

    def explain(self, guid: int) -> str:
        """Return a sentence that says what a resource waits for."""
        from ..reports.why import why

        with contact():
            return why(self.run, guid)

    # -- waiting ------------------------------------------------------------------------------

    def wait(self, guids: Iterable[int], goal: Goal, timeout: float | None) -> bool:
        """Wait until resources fulfil a goal; return False if the experiment failed.

        Raises:
            ExperimentReleased: another client released one of them before.
        """
        wanted = sorted(guids)
        done = waiting.wait(
            self.run,
            wanted,
            goal,
            timeout=timeout,
            idle=partial(self.check_workers, patient=goal.despite_failure),
            explain=self.explain,
        )
        if done and wanted and not goal.despite_failure:
            with contact():
                require_reached(self.run, wanted, goal.states, self._releases, goal.name)
        return done

    def check_workers(self, pending: Sequence[int], *, patient: bool = False) -> None:
        """Check that workers serve the resources that are waited for; called every 10 s or so.

        A queue whose workers have disappeared is logged once; they may come back.

        Args:
            pending: the resources that are waited for.
            patient: also wait for workers that have never been there.

        Raises:
            NoWorker: no worker serves the queue of one of them, nor has since the run began.
            EmbeddedError: the local worker does not start, or the local services were stopped.
            NotAllowed: another thread has closed the experiment.
        """
        if self._closed.is_set():
            self.access.backend.close()
            raise NotAllowed(
                "the experiment was closed while it was waited for",
                where=f"run {self.run.run_id}",
                hint="the run goes on: attach() to it, and wait there",
            )
        failure = self.access.failure()
        if failure is not None:
            raise failure
        try:
            asked, absent = self._absent_workers(pending)
            served = self._served_queues() if absent and not patient else absent.keys()
        except RedisUnreachable:
            return
        for queue, error in absent.items():
            if queue not in served:
                raise error
            if queue not in self._absent:
                self._absent.add(queue)
                log.warning("%s", error)
        # Other threads wait for resources of other queues.
        self._absent -= asked - absent.keys()

    def _absent_workers(self, pending: Sequence[int]) -> tuple[set[str], dict[str, NepiqError]]:
        """Return the queues of resources, and the errors of those that no worker serves."""
        with contact():
            # Resources with the same queue and host reach the same worker.
            sample = {(record.queue, record.host): record for record in self.run.records(pending)}
            absent: dict[str, NepiqError] = {}
            for record in sample.values():
                error = self.access.missing_worker(self.run, self.run.queue_of(record.guid))
                if error is not None:
                    absent[record.queue] = error
        return {queue for queue, _ in sample}, absent

    def _served_queues(self) -> Collection[str]:
        """Return the queues from which a step of this run has been claimed."""
        with contact():
            return {record.queue for record in self.run.records() if record.token}
