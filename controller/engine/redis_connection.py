"""Connections to Redis: forms of its URL, a pool for threads, and hints for one that fails."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import redis
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

from .. import errors
from ..settings import URL_HINT, check_url, redacted_url


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


class _Packer(HiredisRespSerializer):
    """Commands in the form of Redis; a large last argument is sent as it is, without a copy."""

    _LARGE = 1 << 16
    _EMPTY = b"$0\r\n\r\n"

    def pack(self, *args: Any) -> list[bytes]:
        """Return the parts of a command."""
        large = args[-1]
        packed: list[bytes]
        if not isinstance(large, bytes) or len(large) < self._LARGE:
            packed = super().pack(*args)
            return packed
        packed = super().pack(*args[:-1], b"")  # type: ignore[arg-type]
        head = b"".join(packed).removesuffix(self._EMPTY)
        return [head + b"$%d\r\n" % len(large), large, b"\r\n"]


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


def client_of(url: str, **options: Any) -> Redis:
    """Return a client that is not connected yet.

    Args:
        url: of the Redis.
        options: of its connections, as redis-py names them.

    Raises:
        InvalidValue: the URL is not valid.
    """
    check_url("Redis URL", url)
    try:
        pool = _Pool.from_url(client_url(url), **options)
        client = redis.Redis.from_pool(pool)
        # redis-py rejects unknown options only when it creates a connection.
        pool.make_connection()
        pool.reset()
    except (ValueError, TypeError):
        # No cause: its text and traceback may contain parts of the URL.
        raise errors.InvalidValue(
            f"Redis URL {redacted_url(url)!r} has options that redis-py does not support",
            hint=URL_HINT,
        ) from None
    return client


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
    client = client_of(
        url,
        # More than there are threads: redis-py refuses the 101st connection by default.
        max_connections=_CONNECTIONS,
        socket_timeout=30.0,
        socket_connect_timeout=min(timeout, 5.0),
        health_check_interval=25,
        # Files pass in messages of 1 MB, and each call of the system costs a thread its turn.
        socket_read_size=1 << 18,
        command_packer=_Packer(),
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), tries),
    )
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
                        f"Redis at {redacted_url(url)} does not answer: {error}",
                        hint=hint or _no_reply_hint(error, url),
                    ) from error
                time.sleep(0.1)
    except redis.ResponseError as error:
        raise errors.RedisUnreachable(
            f"Redis at {redacted_url(url)} refuses access: {error}",
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
