"""What one worker process holds: its stack, its leases and its sessions to hosts."""

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
from ...controller.engine.backend import Stack
from ...controller.engine.messaging.queues import shared
from ...controller.engine.protocol import PROTOCOL
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ...controller.engine.store.calls import Outcome
from ...controller.errors import ClockError
from ...controller.settings import Settings
from ..hosts.batching import Batcher
from ..sessions.pool import SessionPool
from .leases import LeaseKeeper
from .metrics import Metrics

log = logging.getLogger("nepiq.worker")

#: Steps of one run that are ended in one call of a script.
MOST_COMMITS = 50


class Watcher(Protocol):
    """The exit watcher of a worker, as other parts of the worker use it."""

    @property
    def followed(self) -> int:
        """How many nodes are watched."""
        ...

    def poke(self) -> None:
        """Look at once: a node has just become READY."""


class Remnants(Protocol):
    """The notes of a worker about hosts to clean if Redis loses its runs, as others use them."""

    def begin(self) -> None:
        """Learn which data set Redis holds."""

    def note(self, run_id: str, guid: int, node: Any, way: str) -> None:
        """Note that this worker acts on a host of a run."""

    def look(self) -> None:
        """Check whether Redis still knows the runs."""

    def end(self) -> None:
        """Stop cleaning."""


class Runtime:
    """One worker process.

    Args:
        settings: of this process.
        name: the worker's Celery node name.
        queues: what it serves.
        slots: how many steps it carries out at once.

    Attributes:
        queues: what it serves.
        own_queues: those of them that are meant for this worker alone.
        ahead: seconds by which this machine's clock is ahead of that of Redis.
        paused: the clock is too far away to take steps; ``on_pause`` is told when that changes.
        draining: it is about to end.
        drain_timeout: seconds that its running steps are given then.
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
        self.stack = Stack(settings)
        self.sessions = SessionPool(self.machine, settings.ssh_config)
        self.metrics = Metrics()
        self.keeper = LeaseKeeper(name, self.stack.timing, self.beat, self._renewed)
        # A run remembers what never changes, such as the name of its experiment.
        self._runs = lru_cache(maxsize=256)(self.stack.exact_run)
        self._commits = lru_cache(maxsize=256)(self._commits_of)
        self.watcher: Watcher | None = None
        self.remnants: Remnants | None = None
        self._live: tuple[float, frozenset[str]] = (0.0, frozenset())
        self.ahead = 0.0
        self.paused = False
        self.on_pause: Callable[[bool], None] | None = None
        self.draining = False
        self.drain_timeout = settings.drain_timeout
        self._told = {
            "machine": self.machine,
            "queues": sorted(self.queues),
            "pid": os.getpid(),
            "version": version(),
            "slots": slots,
            "protocol": PROTOCOL,
        }

    @property
    def redis(self) -> Redis:
        """Client of the state."""
        return self.stack.redis

    def run(self, run_id: str) -> Run:
        """A run by its exact id, whether or not it exists; its scripts tell."""
        return self._runs(run_id)

    def commit(self, run: Run, outcome: Outcome) -> str:
        """End a claimed step, together with others that end meanwhile; see :meth:`Run.commit`."""
        return self._commits(run.run_id).send(outcome)

    def _commits_of(self, run_id: str) -> Batcher[Outcome, str]:
        return Batcher(self.run(run_id).commit, MOST_COMMITS)

    def _renewed(self, answers: list[str]) -> None:
        self.metrics.renewed(answers)

    def now(self) -> float:
        """The time by Redis' clock, as well as this worker knows it: seconds since the epoch."""
        return time.time() - self.ahead

    def join(self) -> None:
        """See whether this worker may take part.

        Raises:
            ProtocolMismatch: the others speak another protocol.
            ClockError: this machine's clock is too far from that of Redis.
        """
        self.ahead = redis_clock.ahead_of(self.redis)
        if abs(self.ahead) > self.settings.clock_limit:
            raise ClockError(
                f"the clock of worker machine {self.machine} is {_place(self.ahead)}, more than "
                f"{self.settings.clock_limit:g} s (NEPIQ_CLOCK_LIMIT)",
                hint="start a time service there (chrony, systemd-timesyncd)",
            )
        self.stack.agree(self.name, self._told)
        if abs(self.ahead) > redis_clock.TOLERATED:
            log.warning("the clock of this machine is %s", _place(self.ahead))
        self.redis.hdel(keys.DRAIN, self.name)
        if self.remnants is not None:
            self.remnants.begin()

    def beat(self) -> None:
        """Tell that this worker lives and how it is; hear whether it shall end."""
        self._look_at_clock()
        now = self.now()
        told = {
            **self._told,
            "ahead": round(self.ahead, 3),
            "running": self.keeper.count(),
            "draining": self.draining,
            "paused": self.paused,
        }
        beat: list[redis_memory.Command] = [
            ("HSET", keys.WORKERS, self.name, json.dumps(told)),
            ("ZADD", keys.BEATS, now, self.name),
            ("ZADD", keys.MACHINES, now, self.machine),
            ("HGET", keys.DRAIN, self.name),
        ]
        asked = redis_memory.execute(self.redis, beat)[-1]
        if asked is not None and not self.draining:
            self.draining = True
            self.drain_timeout = float(asked)
            log.info("asked to end", extra={"action": "drain"})
            os.kill(os.getpid(), signal.SIGTERM)

    def _look_at_clock(self) -> None:
        self.ahead = redis_clock.ahead_of(self.redis, 2)
        wrong = abs(self.ahead) > self.settings.clock_limit
        if wrong == self.paused:
            return
        self.paused = wrong
        if wrong:
            log.error("no new steps are taken: the clock is %s", _place(self.ahead))
        else:
            log.info("steps are taken again: the clock is %s", _place(self.ahead))
        if self.on_pause is not None:
            self.on_pause(wrong)

    def farewell(self) -> None:
        """Tell that this worker has ended as it should."""
        membership.forget(self.redis, [self.name])

    def forget_workers(self, seconds: float) -> None:
        """Forget the workers and machines that have given no sign of life for so long."""
        limit = self.now() - seconds
        membership.forget(self.redis, [raw.decode() for raw in self.ranged(keys.BEATS, limit)])
        self.redis.zremrangebyscore(keys.MACHINES, "-inf", limit)

    def live_machines(self) -> frozenset[str]:
        """Machines with a worker that gave a sign of life lately; read once a second."""
        read_at, machines = self._live
        if time.monotonic() - read_at > 1.0:
            seconds = _any(self.redis.time())[0]
            names = _any(self.redis.zrangebyscore(keys.MACHINES, seconds - 15, "+inf"))
            machines = frozenset(name.decode() for name in names)
            self._live = (time.monotonic(), machines)
        return machines

    def members(self, key: str) -> list[bytes]:
        """Members of a set."""
        return list(_any(self.redis.smembers(key)))

    def ranged(self, key: str, highest: float) -> list[bytes]:
        """Members of a sorted set up to a score."""
        return list(_any(self.redis.zrangebyscore(key, "-inf", highest)))

    def close(self) -> None:
        """Close sessions and connections."""
        self.metrics.close()
        if self.remnants is not None:
            self.remnants.end()
        self.sessions.close()
        self.stack.close()


def version() -> str:
    """The installed version of nepiq."""
    try:
        return metadata.version("nepiq")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _place(ahead: float) -> str:
    return f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} that of Redis"


def _any(value: Any) -> Any:
    return value


_current: Runtime | None = None


def current() -> Runtime:
    """This process' runtime, made when the worker started."""
    if _current is None:
        raise RuntimeError("no nepiq worker has started in this process")
    return _current


def install(runtime: Runtime | None) -> None:
    """Make ``runtime`` what :func:`current` gives."""
    global _current  # noqa: PLW0603 - Celery tasks have no other way to their worker
    _current = runtime
