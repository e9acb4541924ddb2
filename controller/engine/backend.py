"""The Redis and the broker that a process works with, and the runs in them."""

from __future__ import annotations

import difflib
import functools
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from .. import errors
from ..errors.text import quoted
from ..settings import URL_HINT, Settings, check_url, shown_url
from . import redis_loss
from .membership import WorkerInfo, workers
from .messaging.affinity import Homes
from .protocol import agree
from .run import Run
from .store import keys
from .store.store import RunStore
from .store.timing import Timing

if TYPE_CHECKING:
    from .messaging.publisher import Publisher


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run at a glance.

    Attributes:
        run_id: its id.
        exp_id: the user's name for the experiment.
        phase: RUNNING, FAILED, RELEASING or RELEASED.
        created: when, seconds since the epoch.
        live: resources that are not released.
        cause: the failure that ended RUNNING, if one did.
    """

    run_id: str
    exp_id: str
    phase: str
    created: float
    live: int
    cause: dict[str, Any] | None = None


def client_url(url: str) -> str:
    """The URL in the form of redis-py: Celery writes ``redis+socket://`` for its ``unix://``."""
    return _socket_url("unix", url, "db")


def broker_url(url: str) -> str:
    """The URL in the form of our Celery transport.

    In Celery's own form of a socket's URL, ``redis+socket://``, the part before the plus names
    the transport, which must be ours (see :mod:`.transport`). With a transport that is named,
    kombu takes no notice of ``rediss://`` but of TLS options in the query.
    """
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        url += ("&" if "?" in url else "?") + "ssl_cert_reqs=required"
    return _socket_url("nepiq+socket", url, "virtual_host")


def _socket_url(scheme: str, url: str, database: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("unix", "redis+socket", "nepiq+socket"):
        return url
    query = re.sub(r"\b(db|virtual_host)=", f"{database}=", parts.query)
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


_CONNECTIONS = 10_000


class _Pool(redis.ConnectionPool):
    """Connections that threads share. One that is in use is closed when it has been used.

    redis-py closes it at once, and whoever reads from it then gets errors of any kind.
    """

    _closed = False

    def disconnect(self, inuse_connections: bool = False) -> None:
        """Close connections; those in use too if one says so."""
        self._closed = True
        super().disconnect(inuse_connections)

    def close(self) -> None:
        """Close all of them, those in use when they have been used."""
        self.disconnect()

    def release(self, connection: Any) -> None:
        """Take a connection back."""
        super().release(connection)
        if self._closed:
            super().disconnect(inuse_connections=False)


def connect(url: str, timeout: float = 5.0, tries: int = 8) -> Redis:
    """Connect to the Redis that holds the state of runs.

    Args:
        url: where it is.
        timeout: seconds until the first contact is given up.
        tries: how often a command is tried again later, in up to a second each.

    Raises:
        RedisUnreachable: it does not answer within ``timeout`` seconds, or refuses us.
        InvalidValue: the URL cannot be read.
    """
    check_url("Redis URL", url)
    try:
        pool = _Pool.from_url(
            client_url(url),
            # As many as there are threads: redis-py refuses the 101st by default.
            max_connections=_CONNECTIONS,
            socket_timeout=30.0,
            socket_connect_timeout=min(timeout, 5.0),
            health_check_interval=25,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), tries),
        )
        client = redis.Redis.from_pool(pool)
        # What redis-py does not know, it says only when it makes a connection.
        pool.make_connection()
        pool.reset()
    except (ValueError, TypeError):
        # Their texts have parts of the URL, and so may the traceback.
        raise errors.InvalidValue(
            f"Redis URL {shown_url(url)!r} has options that redis-py does not take", hint=URL_HINT
        ) from None
    # The first contact is given up by time, not by a number of tries.
    probe = redis.Redis.from_url(
        client_url(url),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 0),
    )
    end = time.monotonic() + timeout
    try:
        while True:
            try:
                probe.ping()
                return client
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                advice = _advice(error, url)
                if advice or time.monotonic() + 0.2 > end:
                    raise errors.RedisUnreachable(
                        f"Redis at {shown_url(url)} does not answer: {error}",
                        hint=advice or _silence(error, url),
                    ) from error
                time.sleep(0.1)
    except redis.ResponseError as error:
        raise errors.RedisUnreachable(
            f"Redis at {shown_url(url)} refuses us: {error}",
            hint=_LOGIN,
        ) from error
    finally:
        probe.close()


_LOGIN = "user and password belong into the URL: redis://user:password@host:6379/0"


def _advice(error: Exception, url: str) -> str:
    """What to do about an error that time does not mend; empty for others."""
    if isinstance(error, redis.AuthenticationError):
        return _LOGIN
    told = str(error)
    if isinstance(error, FileNotFoundError):
        return "correct NEPIQ_REDIS_CA, NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY"
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return "NEPIQ_REDIS_CA must name the CA that signed Redis' certificate, for this host name"
    if "CERTIFICATE_REQUIRED" in told or "HANDSHAKE_FAILURE" in told or "UNKNOWN_CA" in told:
        return "Redis wants a certificate that its CA signed: NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY"
    if "WRONG_VERSION_NUMBER" in told or "RECORD_LAYER_FAILURE" in told:
        return "this port does not speak TLS: write redis:// if that is meant"
    return ""


def _silence(error: Exception, url: str) -> str:
    """What to do about a Redis that does not answer in time."""
    told = str(error)
    ended = "closed by server" in told or "reset by peer" in told
    if ended and url.startswith("redis://"):
        return "if this port speaks TLS, write rediss://"
    return (
        "start it, or correct NEPIQ_STATE_URL and NEPIQ_BROKER_URL; "
        "with neither set, nepiq uses a private one"
    )


class Stack:
    """The broker and the state that this process uses. Connects when first used.

    Args:
        settings: where they are; must name them (the embedded stack fills them in first).
        timing: intervals of the engine.
        tries: how often a command to Redis is tried again; see :func:`connect`.
    """

    def __init__(self, settings: Settings, *, timing: Timing | None = None, tries: int = 8) -> None:
        self.settings = settings
        self._tries = tries
        self.timing = timing or Timing.from_environment()

    @functools.cached_property
    def redis(self) -> Redis:
        """Client of the state.

        Raises:
            RedisUnreachable: it does not answer within ``settings.connect_timeout``.
        """
        return connect(self.settings.state_url, self.settings.connect_timeout, self._tries)

    @functools.cached_property
    def broker(self) -> Redis:
        """Client of the broker's Redis, to see how long its queues are."""
        return connect(self.settings.broker_url, self.settings.connect_timeout)

    @functools.cached_property
    def publisher(self) -> Publisher:
        """What submits steps through the broker."""
        # Only who submits pays for the import.
        from .messaging.publisher import Publisher

        return Publisher(broker_url(self.settings.broker_url), self.homes)

    @functools.cached_property
    def homes(self) -> Homes:
        """Which worker the steps on a host go to."""
        return Homes(self.workers)

    def create_run(self, exp_id: str, release_after: float | None = None) -> Run:
        """Begin a run under an id that is the present time in UTC, 20 digits.

        Args:
            exp_id: the user's name for the experiment.
            release_after: release the run when no client has been seen for so many seconds.
        """
        self.agree()
        moment = datetime.now(timezone.utc)
        while True:
            run_id = moment.strftime("%Y%m%d%H%M%S%f")
            run = self.exact_run(run_id)
            if run.create(exp_id, release_after):
                self.redis.zadd(keys.RUNS, {run_id: time.time()})
                return run
            moment += timedelta(microseconds=1)

    def run(self, run_id: str) -> Run:
        """An existing run.

        Args:
            run_id: its id, the end or beginning of one that is unique, the name of an
                experiment (its latest run), or ``last``.

        Raises:
            ProtocolMismatch: the engine's protocol is another version than ours.
            UnknownRun: there is none; near misses are in the hint.
        """
        self.agree()
        found = self.exact_run(run_id)
        if found.exists():
            return found
        infos = self.runs()
        match = _matching(run_id, infos)
        if match is None:
            known = [info.run_id for info in infos] + sorted({info.exp_id for info in infos})
            near = difflib.get_close_matches(run_id, known, n=3) or known[:5]
            raise errors.UnknownRun(
                f"no run {quoted(run_id)} in {shown_url(self.settings.state_url)}",
                hint="known: " + ", ".join(near) if near else "there are no runs yet",
            )
        found = self.exact_run(match)
        found.require()
        return found

    def exact_run(self, run_id: str) -> Run:
        """A run by its exact id, whether or not it exists."""
        store = RunStore(self.redis, run_id, self.timing)
        return Run(store, lambda: self.publisher, self.settings)

    def agree(self, worker: str = "", told: Mapping[str, Any] | None = None) -> None:
        """Return if those who share this state speak the same protocol as this process.

        Args:
            worker: the worker that joins, as which this process counts as alive from now on.
            told: what it says of itself.

        Raises:
            ProtocolMismatch: they do not.
        """
        agree(self.redis, self.settings.broker_name, worker, told)

    def runs(self) -> list[RunInfo]:
        """All runs that this Redis still holds, the latest first."""
        ids = [raw.decode() for raw in _list(self.redis.zrevrange(keys.RUNS, 0, -1))]
        infos = []
        for run_id in ids:
            meta = RunStore(self.redis, run_id, self.timing).meta()
            if meta is None or meta.phase == "EXPIRED":
                continue
            infos.append(
                RunInfo(run_id, meta.exp_id, meta.phase, meta.created, meta.live, meta.cause)
            )
        return infos

    def forget(self, run_id: str) -> Run:
        """Drop the records of a released run at once, rather than when its time is over.

        Args:
            run_id: as for :meth:`run`.

        Raises:
            NotAllowed: it is not released.
        """
        found = self.run(run_id)
        while True:
            status, more = found.store.expire()
            if status == "CLOSED":
                raise errors.NotAllowed(
                    f"run {found.run_id} is not released",
                    hint=f"nepiq release {found.run_id}",
                )
            if status == "GONE" or not more:
                break
        pipe = self.redis.pipeline(transaction=False)
        pipe.zrem(keys.ENDED, found.run_id)
        pipe.zrem(keys.RUNS, found.run_id)
        pipe.srem(keys.active(self.settings.broker_name), found.run_id)
        pipe.execute()
        return found

    def outlived(self) -> int:
        """How many released runs are kept for longer than they shall be, by a minute and more."""
        limit = self._now() - self.settings.retention - 60.0
        return int(_any(self.redis.zcount(keys.ENDED, "-inf", limit)))

    def _now(self) -> float:
        seconds, micros = _any(self.redis.time())
        return float(seconds) + float(micros) / 1e6

    def left(self) -> list[redis_loss.Left]:
        """What runs whose data Redis has lost may have left on hosts, by run and host."""
        found = redis_loss.left(self.redis)
        known = {item.run_id for item in found if self.exact_run(item.run_id).exists()}
        return [item for item in found if item.run_id not in known]

    def nothing_left(self, run_id: str, host: str) -> None:
        """Nothing of a run is left on a host: :meth:`left` need not name it any more."""
        redis_loss.strike(self.redis, run_id, host)

    def workers(self) -> list[WorkerInfo]:
        """The workers that gave a sign of life within the last day, by name."""
        return workers(self.redis)

    def close(self) -> None:
        """Close what was opened."""
        if "publisher" in self.__dict__:
            self.publisher.close()
        for client in ("redis", "broker"):
            if client in self.__dict__:
                getattr(self, client).close()


def _matching(name: str, infos: Iterable[RunInfo]) -> str | None:
    ordered = list(infos)
    if name == "last":
        return ordered[0].run_id if ordered else None
    named = [info.run_id for info in ordered if info.exp_id == name]
    if named:
        return named[0]
    parts = [i.run_id for i in ordered if i.run_id.startswith(name) or i.run_id.endswith(name)]
    return parts[0] if len(parts) == 1 else None


def _any(value: Any) -> Any:
    return value


def _list(value: Any) -> list[Any]:
    return list(value)
