"""The leases of one worker process: what it executes, renewed by one heartbeat.

Only what a thread really executes is renewed: a claim joins the list when it is granted and
leaves it in the ``finally`` of whoever executes it.
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
from ...controller.engine.store.calls import Grant
from ...controller.engine.store.timing import Timing

log = logging.getLogger("nepiq.leases")

_T = TypeVar("_T")

SLOW_HOOK = 0.5
"""Seconds after which a hook counts as slow for the steps that wait behind it in its batch."""


class Lease:
    """This process' hold on one claimed step."""

    __slots__ = ("__dict__", "_until", "run", "step", "token")

    def __init__(self, run: Run, step: str, token: int, until: float) -> None:
        self.run = run
        self.step = step
        self.token = token
        self._until = until

    @cached_property
    def cancel(self) -> threading.Event:
        """Set when the step should stop, because it was asked to or its lease was lost."""
        return threading.Event()

    @property
    def cancelled(self) -> bool:
        """True if the step should stop."""
        return "cancel" in self.__dict__ and self.cancel.is_set()

    @property
    def valid(self) -> bool:
        """False once the lease may have been taken back, by our own monotonic clock."""
        return time.monotonic() < self._until

    def extend(self, until: float) -> None:
        """It was renewed."""
        self._until = until


class LeaseKeeper(threading.Thread):
    """Renews the leases of everything that this worker executes, and tells that it is alive.

    Args:
        worker: the worker's name.
        timing: how often, and for how long.
        beat: tells the others that this worker lives; called at each round.
        renewed: told how renewals ended.
    """

    def __init__(
        self,
        worker: str,
        timing: Timing,
        beat: Callable[[], None],
        renewed: Callable[[list[str]], None],
    ) -> None:
        super().__init__(name="nepiq-leases", daemon=True)
        self._worker = worker
        self._timing = timing
        self._beat = beat
        self._renewed = renewed
        self._leases: dict[tuple[str, str, int], Lease] = {}
        self._alarms: dict[int, tuple[float, Callable[[], float | None]]] = {}
        self._next_alarm = 0
        self._changed = threading.Condition()
        self._ended = False

    @contextmanager
    def holding(self, run: Run, grants: Iterable[Grant], asked: float) -> Iterator[list[Lease]]:
        """Keep the leases of granted steps for as long as the block runs.

        Args:
            run: the run of all of them.
            grants: just granted.
            asked: when they were asked for, by our monotonic clock: we may have stood still since.
        """
        until = asked + self._timing.lease
        leases = [Lease(run, grant.step, grant.token, until) for grant in grants]
        with self._changed:
            for lease in leases:
                self._leases[run.run_id, lease.step, lease.token] = lease
        try:
            yield leases
        finally:
            self.drop(leases)

    def held(self) -> list[Lease]:
        """What this worker executes now."""
        with self._changed:
            return list(self._leases.values())

    def count(self) -> int:
        """How many steps this worker executes now."""
        return len(self._leases)

    def drop(self, leases: Iterable[Lease]) -> None:
        """Stop renewing leases; those not held any more are passed over."""
        with self._changed:
            for lease in leases:
                self._leases.pop((lease.run.run_id, lease.step, lease.token), None)

    @contextmanager
    def alarm(self, seconds: float, action: Callable[[], float | None]) -> Iterator[None]:
        """Call ``action`` in this thread if the block still runs after ``seconds``.

        It returns the seconds until it wants to be called again, or None.
        """
        with self._changed:
            self._next_alarm += 1
            key = self._next_alarm
            self._alarms[key] = (time.monotonic() + seconds, action)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._alarms.pop(key, None)

    def run(self) -> None:
        """Renew and tell, until :meth:`end`."""
        next_round = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_round:
                next_round = now + self._timing.renew
                self._round()
            with self._changed:
                if self._ended:
                    return
                rung = [key for key, (at, _) in self._alarms.items() if at <= time.monotonic()]
                if not rung:
                    at = min([next_round, *(at for at, _ in self._alarms.values())])
                    self._changed.wait(max(0.0, at - time.monotonic()))
            for key in rung:
                self._ring(key)

    def end(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _ring(self, key: int) -> None:
        with self._changed:
            if key not in self._alarms:
                return
            action = self._alarms[key][1]
            self._alarms[key] = (math.inf, action)
        after = _guarded(action)
        with self._changed:
            if after is not None and key in self._alarms:
                self._alarms[key] = (time.monotonic() + after, action)

    def _round(self) -> None:
        _guarded(self._beat)
        with self._changed:
            leases = list(self._leases.values())
        by_run: dict[str, list[Lease]] = defaultdict(list)
        for lease in leases:
            by_run[lease.run.run_id].append(lease)
        for held in by_run.values():
            _guarded(partial(self._renew, held))

    def _renew(self, held: list[Lease]) -> None:
        began = time.monotonic()
        pairs = [(lease.step, lease.token) for lease in held]
        answers = held[0].run.store.renew(self._worker, pairs)
        self._renewed(answers)
        for lease, answer in zip(held, answers, strict=True):
            if answer == "ok":
                lease.extend(began + self._timing.lease)
            else:
                lease.cancel.set()
                if answer == "lost":
                    lease.extend(0.0)


def _guarded(action: Callable[[], _T]) -> _T | None:
    """Keep the thread alive: Redis may be away for a while, which the leases outlive or not."""
    try:
        return action()
    except (RedisError, OSError) as error:
        log.warning("cannot reach Redis: %s", error, extra={"action": "lease_round_failed"})
    except Exception:
        log.exception("unexpected error in the lease keeper", extra={"action": "lease_error"})
    return None
