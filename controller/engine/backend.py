"""Backend of a process: the Redis that holds runs, and the broker."""

from __future__ import annotations

import difflib
import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from redis import Redis

from .. import errors
from ..errors.text import quoted
from ..settings import Settings, redacted_url
from . import redis_loss
from .contents import ContentStore
from .membership import WorkerInfo, workers
from .messaging.affinity import Affinity
from .messaging.publisher import Publisher
from .protocol import agree
from .redis_connection import connect
from .run import Run
from .store import keys
from .store.reads import run_records
from .store.store import RunStore
from .store.timing import Timing

if TYPE_CHECKING:
    # Imported late: most experiments have neither.
    from .campaigns import CampaignStore
    from .pools import PoolStore


@dataclass(frozen=True)
class RunInfo:
    """Summary of a run.

    Attributes:
        run_id: its id.
        exp_id: the user's name for the experiment.
        phase: RUNNING, FAILED, RELEASING or RELEASED.
        created: time of its creation, in seconds since the epoch.
        live: number of resources that are not released.
        cause: the failure that ended RUNNING; None if there was none.
    """

    run_id: str
    exp_id: str
    phase: str
    created: float
    live: int
    cause: dict[str, Any] | None = None


class Backend:
    """Clients of the state and the broker; each connects on first use.

    Args:
        settings: with the URLs, which must be set (local services set them first).
        timing: intervals of the engine.
        tries: number of retries of a Redis command; see :func:`connect`.
    """

    def __init__(self, settings: Settings, *, timing: Timing | None = None, tries: int = 8) -> None:
        self.settings = settings
        self._tries = tries
        self.timing = timing or Timing.from_environment()

    @functools.cached_property
    def redis(self) -> Redis:
        """The client of the state.

        Raises:
            RedisUnreachable: it does not answer within ``settings.connect_timeout``.
        """
        return connect(self.settings.state_url, self.settings.connect_timeout, self._tries)

    @functools.cached_property
    def broker(self) -> Redis:
        """The client of the broker's Redis, which is that of the state if their URLs are the same.

        Raises:
            RedisUnreachable: it does not answer within ``settings.connect_timeout``.
        """
        if self.settings.broker_url == self.settings.state_url:
            return self.redis
        return connect(self.settings.broker_url, self.settings.connect_timeout, self._tries)

    @functools.cached_property
    def publisher(self) -> Publisher:
        """The publisher, which submits steps through the broker."""
        return Publisher(lambda: self.broker, self.affinity)

    @functools.cached_property
    def contents(self) -> ContentStore:
        """The contents on their way to hosts."""
        limits = (self.settings.content_limit, self.settings.contents_limit)
        largest, most = (round(limit * 1e6) for limit in limits)
        return ContentStore(self.redis, largest=largest, most=most)

    @functools.cached_property
    def affinity(self) -> Affinity:
        """The preferred workers of hosts."""
        return Affinity(self.workers)

    @functools.cached_property
    def pools(self) -> PoolStore:
        """The pools of hosts."""
        from .pools import PoolStore

        return PoolStore(self.redis)

    def create_run(self, exp_id: str, release_after: float | None = None) -> Run:
        """Create a run, whose id is the present time in UTC (20 digits).

        Args:
            exp_id: the user's name for the experiment.
            release_after: seconds without a client after which the run is released.

        Raises:
            ProtocolMismatch: the installation uses another version of the engine's protocol.
            RedisUnreachable: Redis does not answer, or that of the broker.
        """
        self.agree()
        self.broker.ping()  # before anything is on record
        moment = datetime.now(timezone.utc)
        while True:
            run_id = moment.strftime("%Y%m%d%H%M%S%f")
            run = self.exact_run(run_id)
            if run.create(exp_id, release_after):
                self.redis.zadd(keys.RUNS, {run_id: time.time()})
                return run
            moment += timedelta(microseconds=1)

    def run(self, run_id: str) -> Run:
        """Return an existing run.

        Args:
            run_id: its id, a unique beginning or end of it, the name of an experiment (its
                latest run), or ``last``.

        Raises:
            ProtocolMismatch: the installation uses another version of the engine's protocol.
            UnknownRun: there is no such run; the hint lists similar ones.
        """
        self.agree()
        run = self.exact_run(run_id)
        if run.exists():
            return run
        infos = self.runs()
        match = _matching(run_id, infos)
        if match is None:
            names = [info.run_id for info in infos] + sorted({info.exp_id for info in infos})
            similar = difflib.get_close_matches(run_id, names, n=3) or names[:5]
            raise errors.UnknownRun(
                f"no run {quoted(run_id)} in {redacted_url(self.settings.state_url)}",
                hint="known: " + ", ".join(similar) if similar else "there are no runs yet",
            )
        run = self.exact_run(match)
        run.require()
        return run

    def exact_run(self, run_id: str) -> Run:
        """Return the run with this exact id, which need not exist."""
        store = RunStore(self.redis, run_id, self.timing)
        return Run(store, lambda: self.publisher, self.settings)

    def campaign(self, name: str) -> CampaignStore:
        """Return the campaign of this name, which need not exist."""
        from .campaigns import CampaignStore

        broker = self.settings.broker_name
        return CampaignStore(self.redis, name, broker, lambda: self.publisher, self.timing)

    def campaigns(self) -> list[str]:
        """Return the names of all campaigns, the latest first."""
        return [raw.decode() for raw in _list(self.redis.zrevrange(keys.CAMPAIGNS, 0, -1))]

    def busy_campaigns(self) -> list[str]:
        """Return the names of the campaigns that have runs to begin or under way."""
        found = _any(self.redis.smembers(keys.campaigns(self.settings.broker_name)))
        return sorted(raw.decode() for raw in found)

    def agree(self, worker: str = "", info: Mapping[str, Any] | None = None) -> None:
        """Check that the processes that share this state use the same protocol version.

        Args:
            worker: name of the worker that joins, which counts as alive from now on.
            info: the worker's record.

        Raises:
            ProtocolMismatch: they use another version.
        """
        agree(self.redis, self.settings.broker_name, worker, info)

    def runs(self, count: int | None = None, *, before: str = "") -> list[RunInfo]:
        """Return the runs that Redis holds, the latest first.

        Args:
            count: how many to look at; all by default.
            before: only those created before this run.
        """
        rank = _any(self.redis.zrevrank(keys.RUNS, before)) if before else None
        first = 0 if rank is None else rank + 1
        last = -1 if count is None else first + count - 1
        raw_ids = _list(self.redis.zrevrange(keys.RUNS, first, last))
        return self.runs_of([raw.decode() for raw in raw_ids])

    def runs_of(self, run_ids: Sequence[str]) -> list[RunInfo]:
        """Return those of the named runs that Redis holds, in their order."""
        return [
            RunInfo(run_id, meta.exp_id, meta.phase, meta.created, meta.live, meta.cause)
            for run_id, meta in zip(run_ids, run_records(self.redis, run_ids), strict=True)
            if meta is not None and meta.phase != "EXPIRED"
        ]

    def forget(self, run_id: str) -> Run:
        """Delete the records of a released run now, before their retention ends.

        Args:
            run_id: as for :meth:`run`.

        Raises:
            NotAllowed: it is not released.
        """
        run = self.run(run_id)
        while True:
            status, more = run.store.expire()
            if status == "CLOSED":
                raise errors.NotAllowed(
                    f"run {run.run_id} is not released",
                    hint=f"nepiq release {run.run_id}",
                )
            if status == "GONE" or not more:
                break
        pipe = self.redis.pipeline(transaction=False)
        pipe.zrem(keys.ENDED, run.run_id)
        pipe.zrem(keys.RUNS, run.run_id)
        pipe.srem(keys.active(self.settings.broker_name), run.run_id)
        pipe.execute()
        return run

    def outlived(self) -> int:
        """Return the number of runs kept for at least a minute beyond their retention."""
        limit = self._now() - self.settings.retention - 60.0
        return int(_any(self.redis.zcount(keys.ENDED, "-inf", limit)))

    def _now(self) -> float:
        seconds, micros = _any(self.redis.time())
        return float(seconds) + float(micros) / 1e6

    def left(self) -> list[redis_loss.HostRemains]:
        """Return the hosts on which lost runs may have left something, by run and host."""
        remains = redis_loss.remains(self.redis)
        existing = {item.run_id for item in remains if self.exact_run(item.run_id).exists()}
        return [item for item in remains if item.run_id not in existing]

    def nothing_left(self, run_id: str, host: str) -> None:
        """Record that nothing of a run remains on a host, so that :meth:`left` omits it."""
        redis_loss.remove(self.redis, run_id, host)

    def workers(self) -> list[WorkerInfo]:
        """Return the registered workers, by name."""
        return workers(self.redis)

    def close(self) -> None:
        """Close the clients that were opened."""
        for client in ("redis", "broker"):
            if client in self.__dict__:
                getattr(self, client).close()


def _matching(name: str, infos: Iterable[RunInfo]) -> str | None:
    ordered = list(infos)
    if name == "last":
        return ordered[0].run_id if ordered else None
    of_experiment = [info.run_id for info in ordered if info.exp_id == name]
    if of_experiment:
        return of_experiment[0]
    matches = [i.run_id for i in ordered if i.run_id.startswith(name) or i.run_id.endswith(name)]
    return matches[0] if len(matches) == 1 else None


def _any(value: Any) -> Any:
    return value


def _list(value: Any) -> list[Any]:
    return list(value)
