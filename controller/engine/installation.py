"""Status of a whole installation, read from Redis: active runs, workers, queues.

A reading costs a few commands for each active run, and the events since the last reading. Ended
runs cost nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis as redis_py
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..errors import RedisUnreachable
from ..model.lifecycle import State
from ..settings import Settings, redacted_url
from . import events
from .membership import WorkerInfo, workers
from .messaging import queues
from .redis_connection import client_of
from .redis_errors import refusal
from .store import keys
from .store.store import RunStore

_STATES = frozenset(State.__members__)
_EVENTS = 2000
_SCHEDULED = 20
_TIMEOUT = 2.0


@dataclass(frozen=True)
class ActiveRun:
    """A run with unfinished work.

    Attributes:
        run_id: its id.
        exp_id: the user's name for the experiment.
        phase: RUNNING, FAILED, RELEASING, or RELEASED while its to-do list is not empty.
        created: time of its creation, in seconds since the epoch.
        states: number of resources in each state.
        alarms: number of steps that are executing or have a due time.
        overdue: age in seconds of the oldest due step that no worker has claimed; 0 without one.
        late: the id of that step; empty if there is none.
        todo: number of entries in the run's to-do list.
        last: id of the last event that the states contain.
    """

    run_id: str
    exp_id: str
    phase: str
    created: float
    states: Mapping[str, int]
    alarms: int
    overdue: float
    late: str
    todo: int
    last: str


@dataclass(frozen=True)
class RedisFacts:
    """Facts about the Redis that holds the state.

    Attributes:
        memory: bytes in use.
        limit: bytes that it may use; 0 for no limit.
        clients: number of connections.
        aof: True if it has an append-only file.
        healthy: True if its last writes to that file succeeded.
    """

    memory: int
    limit: int
    clients: int
    aof: bool
    healthy: bool

    @property
    def full(self) -> bool:
        """True if it may soon refuse commands that need memory."""
        return 0 < 0.95 * self.limit < self.memory


@dataclass(frozen=True)
class Overview:
    """The status of an installation at one moment.

    Attributes:
        at: the moment by Redis' clock, in seconds since the epoch.
        runs: the active runs, oldest first.
        released: number of ended runs whose records remain.
        workers: the registered workers, by name.
        queues: number of waiting messages in each queue.
        redis: facts about the Redis of the state.
    """

    at: float
    runs: Sequence[ActiveRun]
    released: int
    workers: Sequence[WorkerInfo]
    queues: Mapping[str, int]
    redis: RedisFacts

    def alive(self) -> dict[str, int]:
        """Return the number of live workers of each site; 0 if all registered ones have gone."""
        counted: Counter[str] = Counter()
        for worker in self.workers:
            for site in set(map(queues.site_of, worker.queues)) - {""}:
                counted[site] += worker.alive
        return dict(counted)


@dataclass
class _Census:
    """States of a run's resources, updated from its events."""

    last: str = ""
    moment: float = 0.0
    states: dict[int, str] = field(default_factory=dict)

    def apply(self, new: Iterable[events.Event]) -> None:
        """Update the states from events."""
        for event in new:
            self.last = event.id
            if event.guid and event.what in _STATES:
                self.states[event.guid] = event.what

    def counted(self, total: int) -> dict[str, int]:
        """Return the number of resources in each state; those without an event are NEW."""
        counted = Counter(state for state in self.states.values() if state != "NEW")
        counted["NEW"] = max(0, total - counted.total())
        return {name: count for name, count in counted.items() if count}


class Observer:
    """A reader of an installation's status, for repeated use.

    Args:
        settings: with the URLs of Redis, which must be set.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Any = _client(settings.state_url)
        self._broker = _client(settings.broker_url)
        self._censuses: dict[str, _Census] = {}
        self._queues: set[str] = {queues.COMMON}

    def look(self) -> Overview:
        """Return the present status.

        Raises:
            RedisUnreachable: Redis does not answer within two seconds.
        """
        try:
            return self._look()
        except (redis_py.RedisError, OSError) as error:
            hint = refusal(error)
            raise RedisUnreachable(
                f"Redis at {redacted_url(self._settings.state_url)} "
                f"{'refuses access' if hint else 'does not answer'}: {error}",
                hint=hint or "start it, or correct NEPIQ_STATE_URL and NEPIQ_BROKER_URL",
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._broker.close()

    def _look(self) -> Overview:
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.smembers(keys.active(self._settings.broker_name))
        pipe.zcard(keys.ENDED)
        pipe.info()
        (seconds, micros), active, released, info = pipe.execute()
        now = seconds + micros / 1e6
        registered = workers(self._redis)
        served = {queue for worker in registered for queue in worker.queues}
        self._queues.update(map(queues.shared, served))
        runs = self._runs(sorted(raw.decode() for raw in active), now)
        depths = self._depths(served)
        return Overview(now, runs, released, registered, depths, facts_of(info))

    def _depths(self, served: Iterable[str]) -> dict[str, int]:
        """Return the number of messages in each queue, including the queues of single workers."""
        names = sorted(self._queues.union(served))
        total = dict.fromkeys(map(queues.shared, names), 0)
        for name, depth in zip(names, queues.depths(self._broker, names), strict=True):
            total[queues.shared(name)] += depth
        # Queues of machines are dropped when empty; those of sites are kept, so that a site
        # without workers remains visible.
        self._queues -= {name for name in total if queues.is_of_machine(name) and not total[name]}
        return total

    def _runs(self, ids: Sequence[str], now: float) -> list[ActiveRun]:
        self._censuses = {run: self._censuses[run] for run in ids if run in self._censuses}
        pipe = self._redis.pipeline(transaction=False)
        for run in ids:
            of = keys.RunKeys(run).of
            pipe.get(of("meta"))
            pipe.llen(of("rms"))
            pipe.zcard(of("alarm"))
            pipe.zrange(of("alarm"), 0, _SCHEDULED - 1, withscores=True)
            pipe.llen(of("todo"))
        values = iter(pipe.execute())
        replies = {run: [next(values) for _ in range(5)] for run in ids}
        existing = {run: reply for run, reply in replies.items() if reply[0]}
        self._add_queues((run, [step for step, _ in existing[run][3]]) for run in existing)
        runs = [self._run(run, reply, now) for run, reply in existing.items()]
        # A run that has just ended is in the set of active runs for a moment longer.
        return [run for run in runs if run.phase != "RELEASED" or run.todo]

    def _run(self, run: str, reply: Sequence[Any], now: float) -> ActiveRun:
        text, total, scheduled, earliest, todo = reply
        meta = json.loads(text)
        self._queues.update(
            queues.of_machine(machine) for key, machine in meta.items() if key.startswith("bind.")
        )
        overdue = max(0.0, now - earliest[0][1]) if earliest else 0.0
        census = self._census(run, float(meta["last"]))
        return ActiveRun(
            run,
            meta["exp_id"],
            meta["phase"],
            float(meta["created"]),
            census.counted(total),
            scheduled,
            overdue,
            earliest[0][0].decode() if overdue else "",
            todo,
            census.last,
        )

    def _census(self, run: str, moment: float) -> _Census:
        census = self._censuses.get(run)
        # Redis may have been restored with older records.
        if census is None or moment < census.moment:
            snapshot = RunStore(self._redis, run).snapshot()
            census = self._censuses[run] = _Census(snapshot.last_id, moment, dict(snapshot.states))
        while True:
            new = events.read(self._redis, run, census.last, count=_EVENTS)
            census.apply(new)
            if len(new) < _EVENTS:
                census.moment = moment
                return census

    def _add_queues(self, scheduled: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        """Add the queues of scheduled steps, which may have no worker."""
        pipe = self._redis.pipeline(transaction=False)
        for run, steps in scheduled:
            if steps:
                guids = sorted({step.partition(b".")[0] for step in steps})
                pipe.hmget(keys.RunKeys(run).of("rm"), guids)
        for texts in pipe.execute():
            self._queues.update(json.loads(text)["queue"] for text in texts if text)


def _client(url: str) -> Redis:
    """Return a client with short timeouts, since a monitor must not block."""
    return client_of(
        url,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )


def facts_of(info: Mapping[str, Any]) -> RedisFacts:
    """Return the facts in the reply to Redis' INFO command."""
    states = ("aof_last_write_status", "aof_last_bgrewrite_status")
    return RedisFacts(
        memory=int(info["used_memory"]),
        limit=int(info.get("maxmemory", 0)),
        clients=int(info["connected_clients"]),
        aof=bool(info.get("aof_enabled")),
        healthy=all(info.get(name, "ok") == "ok" for name in states),
    )
