"""State of one worker process: its backend, its leases and its sessions to hosts."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any, Protocol

from redis import Redis

from ...controller.engine import membership, redis_clock, redis_memory
from ...controller.engine.backend import Backend
from ...controller.engine.messaging.queues import shared
from ...controller.engine.protocol import PROTOCOL
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ...controller.engine.store.calls import Outcome
from ...controller.errors import ClockError
from ...controller.settings import Settings
from ..hosts.batching import Batcher
from ..sessions.pool import SessionPool
from .leases import LeaseRenewer
from .metrics import Metrics

log = logging.getLogger("nepiq.worker")

#: Steps of one run that one call of the commit script may end.
MOST_COMMITS = 50


class Watcher(Protocol):
    """The exit watcher of a worker, as other parts of the worker use it."""

    @property
    def followed(self) -> int:
        """The number of nodes whose journals are followed."""
        ...

    def poke(self) -> None:
        """Look for nodes now, since one has just become READY."""


class Remnants(Protocol):
    """The cleanup of hosts after a loss of Redis' data, as other parts of the worker use it."""

    def begin(self) -> None:
        """Read which data set Redis holds."""

    def note(self, run_id: str, guid: int, node: Any, route: str) -> None:
        """Record that this worker acts on a host of a run."""

    def look(self) -> None:
        """Check whether Redis still holds the recorded runs."""

    def end(self) -> None:
        """Stop cleaning."""


class Runtime:
    """One worker process.

    Args:
        settings: of this process.
        name: the worker's Celery node name.
        queues: names of the queues that it consumes.
        slots: number of steps that it carries out in parallel.

    Attributes:
        queues: names of the queues that it consumes.
        own_queues: those of them that only this worker consumes.
        ahead: seconds by which this machine's clock is ahead of that of Redis.
        paused: True while the clock is too far off to take steps; a change calls ``on_pause``.
        draining: True once the worker is about to end.
        drain_timeout: seconds that running steps have to finish when it drains.
        campaigns: definitions of campaigns by name, with the version that was read.
        watcher, remnants: set by the worker's boot step; None in a process without them.
    """

    def __init__(
        self, settings: Settings, name: str, queues: Sequence[str], slots: int = 0
    ) -> None:
        self.settings = settings
        self.name = name
        self.machine = settings.machine
        self.slots = slots
        self.queues = frozenset(queues)
        self.own_queues = [queue for queue in queues if shared(queue) != queue]
        self.backend = Backend(settings)
        self.sessions = SessionPool(self.machine, settings.ssh_config)
        self.metrics = Metrics()
        self.lease_renewer = LeaseRenewer(name, self.backend.timing, self.heartbeat, self._renewed)
        # A run caches what never changes, such as the name of its experiment.
        self._runs = lru_cache(maxsize=256)(self.backend.exact_run)
        self._commits = lru_cache(maxsize=256)(self._commits_of)
        self.campaigns: dict[str, tuple[Any, Any]] = {}
        self.watcher: Watcher | None = None
        self.remnants: Remnants | None = None
        self._live: tuple[float, frozenset[str]] = (0.0, frozenset())
        self.ahead = 0.0
        self.paused = False
        self.on_pause: Callable[[bool], None] | None = None
        self.draining = False
        self.drain_timeout = settings.drain_timeout
        self._info = {
            "machine": self.machine,
            "queues": sorted(self.queues),
            "pid": os.getpid(),
            "version": version(),
            "slots": slots,
            "protocol": PROTOCOL,
        }

    @property
    def redis(self) -> Redis:
        """The client of the state."""
        return self.backend.redis

    def run(self, run_id: str) -> Run:
        """Return the run with this exact id, which need not exist; its scripts report that."""
        return self._runs(run_id)

    def commit(self, run: Run, outcome: Outcome) -> str:
        """Commit a claimed step, batched with concurrent ones; see :meth:`Run.commit`."""
        return self._commits(run.run_id).send(outcome)

    def _commits_of(self, run_id: str) -> Batcher[Outcome, str]:
        return Batcher(self.run(run_id).commit, MOST_COMMITS)

    def _renewed(self, answers: list[str]) -> None:
        self.metrics.renewed(answers)

    def now(self) -> float:
        """Return this worker's estimate of the time by Redis' clock, in seconds since the epoch."""
        return time.time() - self.ahead

    def join(self) -> None:
        """Register this worker after checking its clock and its protocol.

        Raises:
            ProtocolMismatch: the installation uses another protocol version.
            ClockError: this machine's clock is too far from that of Redis.
        """
        self.ahead = redis_clock.ahead_of(self.redis)
        if abs(self.ahead) > self.settings.clock_limit:
            raise ClockError(
                f"the clock of worker machine {self.machine} is {_offset(self.ahead)}, more than "
                f"{self.settings.clock_limit:g} s (NEPIQ_CLOCK_LIMIT)",
                hint="start a time service there (chrony, systemd-timesyncd)",
            )
        self.backend.agree(self.name, self._info)
        if abs(self.ahead) > redis_clock.TOLERATED:
            log.warning("the clock of this machine is %s", _offset(self.ahead))
        self.redis.hdel(keys.DRAIN, self.name)
        if self.remnants is not None:
            self.remnants.begin()

    def heartbeat(self) -> None:
        """Send a heartbeat with this worker's load; begin to drain if that was requested."""
        self._check_clock()
        now = self.now()
        info = {
            **self._info,
            "ahead": round(self.ahead, 3),
            "running": self.lease_renewer.count(),
            "draining": self.draining,
            "paused": self.paused,
        }
        commands: list[redis_memory.Command] = [
            ("HSET", keys.WORKERS, self.name, json.dumps(info)),
            ("ZADD", keys.BEATS, now, self.name),
            ("ZADD", keys.MACHINES, now, self.machine),
            ("HGET", keys.DRAIN, self.name),
        ]
        drain_timeout = redis_memory.execute(self.redis, commands)[-1]
        if drain_timeout is not None and not self.draining:
            self.draining = True
            self.drain_timeout = float(drain_timeout)
            log.info("drain requested", extra={"action": "drain"})
            os.kill(os.getpid(), signal.SIGTERM)

    def _check_clock(self) -> None:
        self.ahead = redis_clock.ahead_of(self.redis, 2)
        wrong = abs(self.ahead) > self.settings.clock_limit
        if wrong == self.paused:
            return
        self.paused = wrong
        if wrong:
            log.error("not taking new steps: the clock is %s", _offset(self.ahead))
        else:
            log.info("taking steps again: the clock is %s", _offset(self.ahead))
        if self.on_pause is not None:
            self.on_pause(wrong)

    def unregister(self) -> None:
        """Remove this worker from the records, since it ends in order."""
        membership.forget(self.redis, [self.name])

    def forget_workers(self, seconds: float) -> None:
        """Remove the records of workers and machines without a heartbeat for ``seconds``."""
        limit = self.now() - seconds
        membership.forget(self.redis, [raw.decode() for raw in self.ranged(keys.BEATS, limit)])
        self.redis.zremrangebyscore(keys.MACHINES, "-inf", limit)

    def live_machines(self) -> frozenset[str]:
        """Return the machines with a recent heartbeat of a worker; cached for a second."""
        read_at, machines = self._live
        if time.monotonic() - read_at > 1.0:
            seconds = _any(self.redis.time())[0]
            names = _any(self.redis.zrangebyscore(keys.MACHINES, seconds - 15, "+inf"))
            machines = frozenset(name.decode() for name in names)
            self._live = (time.monotonic(), machines)
        return machines

    def members(self, key: str) -> list[bytes]:
        """Return the members of a set."""
        return list(_any(self.redis.smembers(key)))

    def ranged(self, key: str, highest: float) -> list[bytes]:
        """Return the members of a sorted set up to a score."""
        return list(_any(self.redis.zrangebyscore(key, "-inf", highest)))

    def close(self) -> None:
        """Close sessions and connections."""
        self.metrics.close()
        if self.remnants is not None:
            self.remnants.end()
        self.sessions.close()
        self.backend.close()


def version() -> str:
    """Return the installed version of nepiq."""
    try:
        return metadata.version("nepiq")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _offset(ahead: float) -> str:
    return f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} that of Redis"


def _any(value: Any) -> Any:
    return value


_current: Runtime | None = None


def current() -> Runtime:
    """Return this process' runtime, created when the worker started.

    Raises:
        RuntimeError: no worker has started.
    """
    if _current is None:
        raise RuntimeError("no nepiq worker has started in this process")
    return _current


def install(runtime: Runtime | None) -> None:
    """Set the runtime that :func:`current` returns."""
    global _current  # noqa: PLW0603 - Celery tasks have no other way to their worker
    _current = runtime
