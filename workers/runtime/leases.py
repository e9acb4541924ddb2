"""Leases of the steps that one worker process executes, renewed by one thread.

Only steps that a thread really executes are renewed: a claim is added when it is granted, and
removed in the ``finally`` block of the code that executes it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TypeVar

from redis.exceptions import RedisError

from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim
from ...controller.engine.store.timing import Timing

log = logging.getLogger("nepiq.leases")

_T = TypeVar("_T")

SLOW_HOOK = 0.5
"""Seconds after which a hook counts as slow for the steps that wait behind it in its batch."""


class Lease:
    """The lease of one claimed step."""

    __slots__ = ("__dict__", "_until", "run", "step", "token")

    def __init__(self, run: Run, step: str, token: int, until: float) -> None:
        self.run = run
        self.step = step
        self.token = token
        self._until = until

    @cached_property
    def cancel(self) -> threading.Event:
        """The event that is set when the step should stop: it was cancelled, or its lease lost."""
        return threading.Event()

    @property
    def cancelled(self) -> bool:
        """True if the step should stop."""
        return "cancel" in self.__dict__ and self.cancel.is_set()

    @property
    def valid(self) -> bool:
        """False once the lease may have expired, by this process' monotonic clock."""
        return time.monotonic() < self._until

    def extend(self, until: float) -> None:
        """Set the monotonic time at which the lease expires."""
        self._until = until


class LeaseRenewer(threading.Thread):
    """The thread that renews the leases of this worker's steps and sends its heartbeat.

    Args:
        worker: the worker's name.
        timing: interval and duration of leases.
        heartbeat: sends the worker's heartbeat; called in each round.
        renewed: called with the replies to renewals.
    """

    def __init__(
        self,
        worker: str,
        timing: Timing,
        heartbeat: Callable[[], None],
        renewed: Callable[[list[str]], None],
    ) -> None:
        super().__init__(name="nepiq-leases", daemon=True)
        self._worker = worker
        self._timing = timing
        self._heartbeat = heartbeat
        self._renewed = renewed
        self._leases: dict[tuple[str, str, int], Lease] = {}
        self._timers: dict[int, tuple[float, Callable[[], float | None]]] = {}
        self._next_timer = 0
        self._changed = threading.Condition()
        self._ended = False

    @contextmanager
    def holding(
        self, run: Run, claims: Iterable[Claim], requested_at: float
    ) -> Iterator[list[Lease]]:
        """Renew the leases of granted steps while the block runs.

        Args:
            run: the run of the steps.
            claims: the claims, just granted.
            requested_at: monotonic time of the request; the process may have been suspended since.
        """
        until = requested_at + self._timing.lease
        leases = [Lease(run, claim.step, claim.token, until) for claim in claims]
        with self._changed:
            for lease in leases:
                self._leases[run.run_id, lease.step, lease.token] = lease
        try:
            yield leases
        finally:
            self.drop(leases)

    def held(self) -> list[Lease]:
        """Return the leases of the steps that this worker executes."""
        with self._changed:
            return list(self._leases.values())

    def count(self) -> int:
        """Return the number of steps that this worker executes."""
        return len(self._leases)

    def drop(self, leases: Iterable[Lease]) -> None:
        """Stop renewing leases; those not held any more are ignored."""
        with self._changed:
            for lease in leases:
                self._leases.pop((lease.run.run_id, lease.step, lease.token), None)

    @contextmanager
    def timer(self, seconds: float, action: Callable[[], float | None]) -> Iterator[None]:
        """Call ``action`` in the renewer's thread if the block still runs after ``seconds``.

        ``action`` returns the seconds until its next call, or None for no further call.
        """
        with self._changed:
            self._next_timer += 1
            key = self._next_timer
            self._timers[key] = (time.monotonic() + seconds, action)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._timers.pop(key, None)

    def run(self) -> None:
        """Renew leases and send heartbeats until :meth:`end`."""
        next_round = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_round:
                next_round = now + self._timing.renew
                self._round()
            with self._changed:
                if self._ended:
                    return
                due = [key for key, (at, _) in self._timers.items() if at <= time.monotonic()]
                if not due:
                    at = min([next_round, *(at for at, _ in self._timers.values())])
                    self._changed.wait(max(0.0, at - time.monotonic()))
            for key in due:
                self._fire(key)

    def end(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _fire(self, key: int) -> None:
        with self._changed:
            if key not in self._timers:
                return
            action = self._timers[key][1]
            self._timers[key] = (math.inf, action)
        after = _guarded(action)
        with self._changed:
            if after is not None and key in self._timers:
                self._timers[key] = (time.monotonic() + after, action)

    def _round(self) -> None:
        _guarded(self._heartbeat)
        with self._changed:
            leases = list(self._leases.values())
        by_run: dict[str, list[Lease]] = defaultdict(list)
        for lease in leases:
            by_run[lease.run.run_id].append(lease)
        for leases in by_run.values():
            _guarded(partial(self._renew, leases))

    def _renew(self, leases: list[Lease]) -> None:
        began = time.monotonic()
        pairs = [(lease.step, lease.token) for lease in leases]
        answers = leases[0].run.store.renew(self._worker, pairs)
        self._renewed(answers)
        for lease, answer in zip(leases, answers, strict=True):
            if answer == "ok":
                lease.extend(began + self._timing.lease)
            else:
                lease.cancel.set()
                if answer == "lost":
                    lease.extend(0.0)


def _guarded(action: Callable[[], _T]) -> _T | None:
    """Return the result of ``action``; log an error and return None, so that the thread goes on."""
    try:
        return action()
    except (RedisError, OSError) as error:
        log.warning("cannot reach Redis: %s", error, extra={"action": "lease_round_failed"})
    except Exception:
        log.exception("unexpected error in the lease renewer", extra={"action": "lease_error"})
    return None
