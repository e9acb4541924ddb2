"""Backend of a process: the Redis that holds runs, and the broker."""

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
from .contents import ContentStore
from .membership import WorkerInfo, workers
from .messaging.affinity import Affinity
from .pools import PoolStore
from .protocol import agree
from .run import Run
from .store import keys
from .store.store import RunStore
from .store.timing import Timing

if TYPE_CHECKING:
    from .messaging.publisher import Publisher


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


def client_url(url: str) -> str:
    """Return the URL in redis-py's form: ``unix://`` for Celery's ``redis+socket://``."""
    return _socket_url("unix", url, "db")


def broker_url(url: str) -> str:
    """Return the URL in the form of nepiq's Celery transport.

    In Celery's form of a socket's URL, ``redis+socket://``, the part before the plus names the
    transport, which must be nepiq's (see :mod:`.messaging.kombu_transport`). For an explicitly
    named transport kombu ignores the scheme ``rediss://`` but reads TLS options in the query.
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
    """A connection pool that closes connections in use only after their use.

    redis-py closes them at once, and threads that read from them get arbitrary errors.
    """

    _closed = False

    def disconnect(self, inuse_connections: bool = False) -> None:
        """Close connections, by default only the idle ones."""
        self._closed = True
        super().disconnect(inuse_connections)

    def close(self) -> None:
        """Close all connections, those in use after their use."""
        self.disconnect()

    def release(self, connection: Any) -> None:
        """Return a connection to the pool."""
        super().release(connection)
        if self._closed:
            super().disconnect(inuse_connections=False)


def connect(url: str, timeout: float = 5.0, tries: int = 8) -> Redis:
    """Connect to the Redis that holds the state of runs.

    Args:
        url: of the Redis.
        timeout: seconds until the first connection attempt is given up.
        tries: number of retries of later commands, with pauses of up to a second.

    Raises:
        RedisUnreachable: it does not answer within ``timeout`` seconds, or refuses access.
        InvalidValue: the URL is not valid.
    """
    check_url("Redis URL", url)
    try:
        pool = _Pool.from_url(
            client_url(url),
            # More than there are threads: redis-py refuses the 101st connection by default.
            max_connections=_CONNECTIONS,
            socket_timeout=30.0,
            socket_connect_timeout=min(timeout, 5.0),
            health_check_interval=25,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), tries),
        )
        client = redis.Redis.from_pool(pool)
        # redis-py rejects unknown options only when it creates a connection.
        pool.make_connection()
        pool.reset()
    except (ValueError, TypeError):
        # No cause: its text and traceback may contain parts of the URL.
        raise errors.InvalidValue(
            f"Redis URL {shown_url(url)!r} has options that redis-py does not support",
            hint=URL_HINT,
        ) from None
    # The first connection has a time limit instead of a number of retries.
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
                hint = _permanent_error_hint(error, url)
                if hint or time.monotonic() + 0.2 > end:
                    raise errors.RedisUnreachable(
                        f"Redis at {shown_url(url)} does not answer: {error}",
                        hint=hint or _no_reply_hint(error, url),
                    ) from error
                time.sleep(0.1)
    except redis.ResponseError as error:
        raise errors.RedisUnreachable(
            f"Redis at {shown_url(url)} refuses access: {error}",
            hint=_LOGIN,
        ) from error
    finally:
        probe.close()


_LOGIN = "write user and password into the URL: redis://user:password@host:6379/0"


def _permanent_error_hint(error: Exception, url: str) -> str:
    """Return the hint for an error that waiting does not resolve; empty for others."""
    if isinstance(error, redis.AuthenticationError):
        return _LOGIN
    message = str(error)
    if isinstance(error, FileNotFoundError):
        return "correct NEPIQ_REDIS_CA, NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY"
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return "NEPIQ_REDIS_CA must name the CA that signed Redis' certificate, for this host name"
    if any(
        alert in message for alert in ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "UNKNOWN_CA")
    ):
        return "set NEPIQ_REDIS_CERT and NEPIQ_REDIS_KEY: Redis requires a certificate from its CA"
    if "WRONG_VERSION_NUMBER" in message or "RECORD_LAYER_FAILURE" in message:
        return "this port does not speak TLS: write redis:// if that is intended"
    return ""


def _no_reply_hint(error: Exception, url: str) -> str:
    """Return the hint for a Redis that does not answer in time."""
    message = str(error)
    closed = "closed by server" in message or "reset by peer" in message
    if closed and url.startswith("redis://"):
        return "if this port speaks TLS, write rediss://"
    return (
        "start it, or correct NEPIQ_STATE_URL and NEPIQ_BROKER_URL; "
        "with neither set, nepiq uses a private one"
    )


class Stack:
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
        """The client of the broker's Redis, for the lengths of its queues."""
        return connect(self.settings.broker_url, self.settings.connect_timeout)

    @functools.cached_property
    def publisher(self) -> Publisher:
        """The publisher, which submits steps through the broker."""
        # Imported late: processes that submit nothing save the time.
        from .messaging.publisher import Publisher

        return Publisher(broker_url(self.settings.broker_url), self.affinity)

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
        return PoolStore(self.redis)

    def create_run(self, exp_id: str, release_after: float | None = None) -> Run:
        """Create a run, whose id is the present time in UTC (20 digits).

        Args:
            exp_id: the user's name for the experiment.
            release_after: seconds without a client after which the run is released.
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
                f"no run {quoted(run_id)} in {shown_url(self.settings.state_url)}",
                hint="known: " + ", ".join(similar) if similar else "there are no runs yet",
            )
        run = self.exact_run(match)
        run.require()
        return run

    def exact_run(self, run_id: str) -> Run:
        """Return the run with this exact id, which need not exist."""
        store = RunStore(self.redis, run_id, self.timing)
        return Run(store, lambda: self.publisher, self.settings)

    def agree(self, worker: str = "", info: Mapping[str, Any] | None = None) -> None:
        """Check that the processes that share this state use the same protocol version.

        Args:
            worker: name of the worker that joins, which counts as alive from now on.
            info: the worker's record.

        Raises:
            ProtocolMismatch: they use another version.
        """
        agree(self.redis, self.settings.broker_name, worker, info)

    def runs(self) -> list[RunInfo]:
        """Return all runs that Redis holds, the latest first."""
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
        if "publisher" in self.__dict__:
            self.publisher.close()
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
