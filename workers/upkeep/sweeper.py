"""The sweeper, which resumes unfinished work. Every worker has one; only one is active."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from ...controller.engine import redis_memory
from ...controller.engine.membership import WorkerInfo
from ...controller.engine.messaging import queues
from ...controller.engine.pools import PoolStore
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ..execution.pools import wake
from ..runtime.context import Runtime
from ..sessions import running_time

log = logging.getLogger("nepiq.sweeper")

PERIOD = 1.0
LOCK_MS = 2500
#: Seconds without service after which a worker's messages go to other workers, and seconds for
#: which the queues of a worker are checked after it has gone.
UNSERVED, REMEMBERED = 2.0, 60.0
JUDGED = 5.0
"""Seconds for which the verdict that a machine has gone is valid."""
GONE = 86400.0
"""Seconds without a heartbeat after which the records of a worker are removed."""


class Sweeper(threading.Thread):
    """The thread that sweeps all active runs once a second.

    It dispatches their due steps, drains their to-do lists, abandons machines that have gone, and
    deletes the records of runs that ended long ago and of workers that have been gone for a day.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="nepiq-sweeper", daemon=True)
        self._runtime = runtime
        self._ended = threading.Event()
        self._lock_key = keys.sweeper(runtime.settings.broker_name)
        self._missing: dict[str, float] = {}  # since when, in running time
        self._orphans = _Orphans(runtime)
        self._needed: set[str] = set()
        self._pools = PoolStore(runtime.redis)
        # Runs that had requests in the last pass: those that are over, and that start nothing.
        self._idle: tuple[list[str], list[str]] = [], []

    def run(self) -> None:
        """Sweep until :meth:`end`."""
        while not self._ended.wait(PERIOD):
            try:
                if self._runtime.remnants is not None:
                    self._runtime.remnants.look()
                if self._hold_lock():
                    self.sweep()
                else:
                    self._missing.clear()
            except (RedisError, OSError) as error:
                self._missing.clear()
                log.warning("cannot sweep: %s", error, extra={"action": "sweep_failed"})
            except Exception:
                log.exception("unexpected error in the sweeper", extra={"action": "sweep_error"})
        self._release_lock()

    def end(self) -> None:
        """Stop the thread."""
        self._ended.set()

    def _hold_lock(self) -> bool:
        redis, name = self._runtime.redis, self._runtime.name.encode()
        if redis_memory.execute(redis, [("SET", self._lock_key, name, "NX", "PX", LOCK_MS)])[0]:
            return True
        if redis.get(self._lock_key) == name:
            redis.pexpire(self._lock_key, LOCK_MS)
            return True
        return False

    def _release_lock(self) -> None:
        """Release the lock now, so that other workers need not wait until it expires."""
        redis, name = self._runtime.redis, self._runtime.name.encode()
        try:
            if redis.get(self._lock_key) == name:
                redis.delete(self._lock_key)
        except (RedisError, OSError) as error:
            log.warning("cannot release the lock: %s", error, extra={"action": "sweep_failed"})

    def sweep(self) -> None:
        """Sweep all active runs once."""
        runtime = self._runtime
        workers = runtime.backend.workers()
        self._orphans.hand_over(workers)
        active = keys.active(runtime.settings.broker_name)
        runs = runtime.members(active)
        served = {queue for worker in workers if not worker.draining for queue in worker.queues}
        backlog = queues.backlogged(runtime.backend.broker, served) if runs else []
        self._needed.clear()
        for raw in runs:
            run = self._runtime.run(raw.decode())
            reply = run.sweep(backlog)
            if reply.status == "GONE":
                self._runtime.redis.srem(active, raw)
                continue
            self._abandon_gone_machines(run)
            self._runtime.redis.pexpire(self._lock_key, LOCK_MS)
        # Machines that no active run needs are not tracked.
        self._missing = {m: since for m, since in self._missing.items() if m in self._needed}
        self._free_hosts()
        for raw in runtime.members(keys.campaigns(runtime.settings.broker_name)):
            runtime.backend.campaign(raw.decode()).sweep()
        self._expire()
        self._runtime.forget_workers(GONE)

    def _free_hosts(self) -> None:
        """Give back hosts that runs do not need any more, and wake the steps that get these.

        A run that is released gives its hosts back itself. This is for one whose releases failed,
        for one that has FAILED while it waited, and for requests of late attempts.
        """
        holders, wakes = self._pools.sweep(*self._idle)
        wake(self._runtime, wakes)
        with self._runtime.redis.pipeline(transaction=False) as pipe:
            for run_id in holders:
                pipe.get(keys.RunKeys(run_id).of("meta"))
            metas = pipe.execute()
        phases = {
            run_id: "EXPIRED" if meta is None else str(json.loads(meta)["phase"])
            for run_id, meta in zip(holders, metas, strict=True)
        }
        over = [run_id for run_id, phase in phases.items() if phase in ("RELEASED", "EXPIRED")]
        halted = [run_id for run_id, phase in phases.items() if phase in ("FAILED", "RELEASING")]
        self._idle = over, halted

    def _abandon_gone_machines(self, run: Run) -> None:
        meta = run.store.meta()
        good_until = self._runtime.now() + JUDGED
        for site, machine in meta.bindings.items() if meta else ():
            self._needed.add(machine)
            if machine in self._runtime.live_machines():
                self._missing.pop(machine, None)
                continue
            since = self._missing.setdefault(machine, running_time.now())
            gone = running_time.now() - since
            if gone >= self._runtime.settings.machine_gone:
                for record in run.records():
                    if record.is_host and record.local and record.site == site:
                        error = _gone(record.label, machine, gone)
                        run.abandon(record.guid, error, until=good_until)

    def _expire(self) -> None:
        redis, retention = self._runtime.redis, self._runtime.settings.retention
        for raw in self._runtime.ranged(keys.ENDED, self._runtime.now() - retention):
            run = self._runtime.run(raw.decode())
            status, more = run.store.expire()
            if status == "GONE" or not more:
                redis.zrem(keys.ENDED, raw)
                redis.zrem(keys.RUNS, raw)


class _Orphans:
    """Messages for workers that do not serve any more.

    Args:
        runtime: this worker's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._served: dict[str, float] = {}  # queue of one worker: when it last served

    def hand_over(self, workers: Sequence[WorkerInfo]) -> None:
        """Move the messages to queues that all workers of a site consume.

        Args:
            workers: all recorded workers.
        """
        now = time.monotonic()
        for worker in workers:
            for queue in worker.queues:
                if queue != queues.shared(queue):
                    seen = now if worker.serving else -math.inf
                    self._served[queue] = max(seen, self._served.get(queue, seen))
        orphaned = [queue for queue, seen in self._served.items() if now - seen > UNSERVED]
        moved = queues.hand_over(self._runtime.backend.broker, orphaned) if orphaned else 0
        if moved:
            log.info("handed over %d messages of workers that have gone", moved)
        # Publishers that still have an old list of workers may send to one that has gone.
        recorded = {queue for worker in workers for queue in worker.queues}
        self._served = {
            queue: seen
            for queue, seen in self._served.items()
            if queue in recorded or now - seen < REMEMBERED
        }


def _gone(label: str, machine: str, seconds: float) -> dict[str, str]:
    return {
        "type": "WorkerGone",
        "message": f"worker machine {machine} has been gone for {seconds:.0f} s",
        "where": label,
        "hint": "start a worker on it before the next run; what ran there may still be running",
    }
