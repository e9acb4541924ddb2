"""What goes on in a whole installation, as Redis knows it: runs, workers, queues.

The work of a look is bounded by what is active: a few commands for each active run, and the events
since the last look. What has ended costs nothing.
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
from ..settings import Settings, shown_url
from . import events
from .backend import client_url
from .membership import WorkerInfo, workers
from .messaging import queues
from .redis_errors import refusal
from .store import keys
from .store.store import RunStore

_STATES = frozenset(State.__members__)
_EVENTS = 2000
_ALARMS = 20
_SECONDS = 2.0


@dataclass(frozen=True)
class ActiveRun:
    """A run that has work.

    Attributes:
        run_id: its id.
        exp_id: the user's name for the experiment.
        phase: RUNNING, FAILED, RELEASING, or RELEASED while work is left over.
        created: when, seconds since the epoch.
        states: how many resources are in which state.
        alarms: steps that are under way or due at a known moment.
        overdue: seconds since the first alarm rang that nobody has heard yet; 0 if there is none.
        late: the step of that alarm; empty if there is none.
        todo: entries of work that a script left over.
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


@dataclass(frozen=True)
class RedisFacts:
    """What is known of the Redis that holds the state.

    Attributes:
        memory: bytes in use.
        limit: bytes it may use; 0 for any number.
        clients: connections.
        aof: whether it writes what happens to a file.
        healthy: whether its last writes to that file went well.
    """

    memory: int
    limit: int
    clients: int
    aof: bool
    healthy: bool

    @property
    def full(self) -> bool:
        """True if it is about to refuse what needs memory."""
        return 0 < 0.95 * self.limit < self.memory


@dataclass(frozen=True)
class Overview:
    """An installation at one moment.

    Attributes:
        at: when, by Redis' clock, seconds since the epoch.
        runs: the active runs, oldest first.
        released: how many runs have ended and are still on record.
        workers: those that have not said farewell, by name.
        queues: how many messages wait in which queue.
        redis: the Redis of the state.
    """

    at: float
    runs: Sequence[ActiveRun]
    released: int
    workers: Sequence[WorkerInfo]
    queues: Mapping[str, int]
    redis: RedisFacts

    def alive(self) -> dict[str, int]:
        """How many live workers reach each site; 0 where those known have gone."""
        counted: Counter[str] = Counter()
        for worker in self.workers:
            for site in set(map(queues.site_of, worker.queues)) - {""}:
                counted[site] += worker.alive
        return dict(counted)


@dataclass
class _Census:
    """The states of a run's resources, kept up to date by its events."""

    last: str = ""
    moment: float = 0.0
    states: dict[int, str] = field(default_factory=dict)

    def apply(self, found: Iterable[events.Event]) -> None:
        """Take events into account."""
        for event in found:
            self.last = event.id
            if event.guid and event.what in _STATES:
                self.states[event.guid] = event.what

    def counted(self, total: int) -> dict[str, int]:
        """How many are in which state; what has had no event yet is NEW."""
        counted = Counter(state for state in self.states.values() if state != "NEW")
        counted["NEW"] = max(0, total - counted.total())
        return {name: count for name, count in counted.items() if count}


class Observer:
    """Looks at an installation again and again.

    Args:
        settings: where Redis is; must name it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Any = _client(settings.state_url)
        self._broker = _client(settings.broker_url)
        self._known: dict[str, _Census] = {}
        self._queues: set[str] = {queues.COMMON}

    def look(self) -> Overview:
        """What goes on now.

        Raises:
            RedisUnreachable: Redis does not answer within two seconds.
        """
        try:
            return self._look()
        except (redis_py.RedisError, OSError) as error:
            hint = refusal(error)
            raise RedisUnreachable(
                f"Redis at {shown_url(self._settings.state_url)} "
                f"{'refuses us' if hint else 'does not answer'}: {error}",
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
        found = workers(self._redis)
        served = {queue for worker in found for queue in worker.queues}
        self._queues.update(map(queues.shared, served))
        runs = self._runs(sorted(raw.decode() for raw in active), now)
        depths = self._depths(served)
        return Overview(now, runs, released, found, depths, facts_of(info))

    def _depths(self, served: Iterable[str]) -> dict[str, int]:
        """Messages in each queue, those for one of its workers included."""
        names = sorted(self._queues.union(served))
        found = dict.fromkeys(map(queues.shared, names), 0)
        for name, depth in zip(names, queues.depths(self._broker, names), strict=True):
            found[queues.shared(name)] += depth
        # Machines come and go; a site is remembered, since a missing one shall be seen.
        self._queues -= {name for name in found if queues.is_of_machine(name) and not found[name]}
        return found

    def _runs(self, ids: Sequence[str], now: float) -> list[ActiveRun]:
        self._known = {run: self._known[run] for run in ids if run in self._known}
        pipe = self._redis.pipeline(transaction=False)
        for run in ids:
            of = keys.RunKeys(run).of
            pipe.get(of("meta"))
            pipe.llen(of("rms"))
            pipe.zcard(of("alarm"))
            pipe.zrange(of("alarm"), 0, _ALARMS - 1, withscores=True)
            pipe.llen(of("todo"))
        answers = iter(pipe.execute())
        told = {run: [next(answers) for _ in range(5)] for run in ids}
        alive = {run: answer for run, answer in told.items() if answer[0]}
        self._learn_queues((run, [step for step, _ in alive[run][3]]) for run in alive)
        found = [self._run(run, answer, now) for run, answer in alive.items()]
        # One that has just ended is on the list for a moment longer.
        return [run for run in found if run.phase != "RELEASED" or run.todo]

    def _run(self, run: str, answer: Sequence[Any], now: float) -> ActiveRun:
        text, total, alarms, rang, todo = answer
        meta = json.loads(text)
        self._queues.update(
            queues.of_machine(machine) for key, machine in meta.items() if key.startswith("bind.")
        )
        overdue = max(0.0, now - rang[0][1]) if rang else 0.0
        return ActiveRun(
            run,
            meta["exp_id"],
            meta["phase"],
            float(meta["created"]),
            self._census(run, float(meta["last"])).counted(total),
            alarms,
            overdue,
            rang[0][0].decode() if overdue else "",
            todo,
        )

    def _census(self, run: str, moment: float) -> _Census:
        census = self._known.get(run)
        # Redis may have come back with older records.
        if census is None or moment < census.moment:
            snapshot = RunStore(self._redis, run).snapshot()
            census = self._known[run] = _Census(snapshot.last_id, moment, dict(snapshot.states))
        while True:
            found = events.read(self._redis, run, census.last, count=_EVENTS)
            census.apply(found)
            if len(found) < _EVENTS:
                census.moment = moment
                return census

    def _learn_queues(self, alarmed: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        """Note where steps go that are to be carried out, also if no worker serves that."""
        pipe = self._redis.pipeline(transaction=False)
        for run, steps in alarmed:
            if steps:
                guids = sorted({step.partition(b".")[0] for step in steps})
                pipe.hmget(keys.RunKeys(run).of("rm"), guids)
        for texts in pipe.execute():
            self._queues.update(json.loads(text)["queue"] for text in texts if text)


def _client(url: str) -> Redis:
    """A client that gives up soon: who asks again and again must not wait."""
    return redis_py.Redis.from_url(
        client_url(url),
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def facts_of(info: Mapping[str, Any]) -> RedisFacts:
    """What matters to us of what Redis says of itself (INFO)."""
    states = ("aof_last_write_status", "aof_last_bgrewrite_status")
    return RedisFacts(
        memory=int(info["used_memory"]),
        limit=int(info.get("maxmemory", 0)),
        clients=int(info["connected_clients"]),
        aof=bool(info.get("aof_enabled")),
        healthy=all(info.get(name, "ok") == "ok" for name in states),
    )
