"""The sweeper: takes up what was left undone. Every worker has one; one at a time works."""

from __future__ import annotations

import logging
import threading
import time

from redis.exceptions import RedisError

from ..controller.engine import queues
from ..controller.engine.orchestration import Run
from ..controller.engine.store import keys
from .runtime import Runtime

log = logging.getLogger("nepiq.sweeper")

PERIOD = 1.0
LOCK_MS = 2500
GONE = 86400.0
"""Seconds without a sign of life after which a worker that said no farewell is forgotten."""


class Sweeper(threading.Thread):
    """Looks after all active runs, once a second.

    Rings their alarms, drains their to-do lists, abandons machines that have gone, and deletes
    the records of runs that ended long ago, and of workers that have been gone for a day.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="nepiq-sweeper", daemon=True)
        self._runtime = runtime
        self._ended = threading.Event()
        self._lock_key = keys.sweeper(runtime.settings.broker_name)
        self._missing: dict[str, float] = {}
        self._needed: set[str] = set()

    def run(self) -> None:
        """Sweep until :meth:`end`."""
        while not self._ended.wait(PERIOD):
            try:
                if self._mine():
                    self.sweep()
                else:
                    self._missing.clear()
            except (RedisError, OSError) as error:
                self._missing.clear()
                log.warning("cannot sweep: %s", error, extra={"action": "sweep_failed"})
            except Exception:
                log.exception("unexpected error in the sweeper", extra={"action": "sweep_error"})
        self._let_go()

    def end(self) -> None:
        """Stop the thread."""
        self._ended.set()

    def _mine(self) -> bool:
        redis, name = self._runtime.redis, self._runtime.name.encode()
        if redis.set(self._lock_key, name, nx=True, px=LOCK_MS):
            return True
        if redis.get(self._lock_key) == name:
            redis.pexpire(self._lock_key, LOCK_MS)
            return True
        return False

    def _let_go(self) -> None:
        """Leave the lock to the others, rather than have them wait until it runs out."""
        redis, name = self._runtime.redis, self._runtime.name.encode()
        try:
            if redis.get(self._lock_key) == name:
                redis.delete(self._lock_key)
        except (RedisError, OSError) as error:
            log.warning("cannot give up the lock: %s", error, extra={"action": "sweep_failed"})

    def sweep(self) -> None:
        """One pass over all active runs."""
        runtime = self._runtime
        active = keys.active(runtime.settings.broker_name)
        runs = runtime.members(active)
        backlog = queues.backlogged(runtime.stack.broker, runtime.served()) if runs else []
        self._needed.clear()
        for raw in runs:
            run = self._runtime.run(raw.decode())
            reply = run.sweep(backlog)
            if reply.status == "GONE":
                self._runtime.redis.srem(active, raw)
                continue
            self._abandon_gone_machines(run)
            self._runtime.redis.pexpire(self._lock_key, LOCK_MS)
        # Whom no run needs any more may go and come as it likes.
        self._missing = {m: since for m, since in self._missing.items() if m in self._needed}
        self._expire()
        self._runtime.forget_workers(GONE)

    def _abandon_gone_machines(self, run: Run) -> None:
        meta = run.store.meta()
        for site, machine in meta.bindings.items() if meta else ():
            self._needed.add(machine)
            if machine in self._runtime.live_machines():
                self._missing.pop(machine, None)
                continue
            since = self._missing.setdefault(machine, time.monotonic())
            gone = time.monotonic() - since
            if gone >= self._runtime.settings.machine_gone:
                for record in run.records():
                    if record.is_host and record.local and record.site == site:
                        run.abandon(record.guid, _gone(record.label, machine, gone))

    def _expire(self) -> None:
        redis, retention = self._runtime.redis, self._runtime.settings.retention
        for raw in self._runtime.ranged(keys.ENDED, self._runtime.now() - retention):
            run = self._runtime.run(raw.decode())
            status, more = run.store.expire()
            if status == "GONE" or not more:
                redis.zrem(keys.ENDED, raw)
                redis.zrem(keys.RUNS, raw)


def _gone(label: str, machine: str, seconds: float) -> dict[str, str]:
    return {
        "type": "HostError",
        "message": f"worker machine {machine} has been gone for {seconds:.0f} s",
        "where": label,
        "hint": "start a worker on it before the next run; what ran there may still be running",
    }
