"""Contents in Redis, on their way from clients to hosts (docs/engine.md, "Contents").

A content lies in one hash, in pieces. While it is deposited the hash has another name, which
expires soon after its client has gone; a content that can be seen is therefore whole.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import redis as redis_py
from redis import Redis

from ..errors import HostError, InvalidValue, TransferSilent
from .redis_errors import contact
from .store import keys

#: Bytes of a piece; only the last one is shorter.
PIECE = 1 << 20

#: Seconds after its last use that a content stays.
RETENTION = 3600

_UNFINISHED = 60  # seconds without a further piece
_TOGETHER = 4  # pieces in one round trip


class Readable(Protocol):
    """The bytes of a content at its client."""

    size: int

    def read(self, count: int) -> bytes:
        """Return the next bytes, at least one."""


class ContentStore:
    """The contents in Redis.

    Args:
        redis: client of the state.
        largest: greatest number of bytes of one content.
        most: greatest number of bytes of all contents.
        retention: seconds after its last use that a content stays.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        largest: int = 1 << 30,
        most: int = 4 << 30,
        retention: int = RETENTION,
    ) -> None:
        self._redis: Any = redis
        self._largest, self._most, self._retention = largest, most, retention

    def has(self, sha256: str) -> bool:
        """Return True if the content is there, which then stays as after a use."""
        return bool(self._redis.expire(keys.content(sha256), self._retention))

    def deposit(
        self,
        sha256: str,
        name: str,
        opened: Callable[[], AbstractContextManager[Readable]],
        progress: Callable[[int], None] = lambda count: None,
    ) -> bool:
        """Store a content unless it is there.

        Args:
            sha256: its name.
            name: its path, for errors.
            opened: opens its bytes.
            progress: called with the number of bytes stored so far.

        Returns:
            True if it was not there.

        Raises:
            InvalidValue: there are too many bytes.
            RedisUnreachable: Redis is full, or does not answer.
        """
        with contact():
            if self.has(sha256):
                return False
            part = f"{sha256}:{secrets.token_hex(6)}"
            with opened() as source:
                self._admit(part, source.size, name)
                try:
                    self._write(part, source, progress)
                    self._finish(part, sha256, source.size)
                except BaseException:
                    # Also for an interrupt: nothing of it stays.
                    self._remove(part)
                    raise
        return True

    def _admit(self, part: str, size: int, name: str) -> None:
        check_size(size, name, self._largest)
        used = self.used()
        if used + size > self._most:
            raise InvalidValue(
                f"{name} has {_amount(size)}, but Redis holds {_amount(used)} of contents "
                f"already and may hold {_amount(self._most)}",
                hint="free them with nepiq forget --contents, or wait: each goes "
                f"{self._retention // 60} min after its last use. NEPIQ_CONTENTS_LIMIT is in MB",
            )
        self._redis.hset(keys.CONTENTS, part, size)

    def _write(self, part: str, source: Readable, progress: Callable[[int], None]) -> None:
        key, number, done = keys.content(part), 0, 0
        while done < source.size:
            pipe = self._redis.pipeline(transaction=False)
            for _ in range(_TOGETHER):
                if done == source.size:
                    break
                data = source.read(min(PIECE, source.size - done))
                pipe.hset(key, number, data)
                number, done = number + 1, done + len(data)
            pipe.expire(key, _UNFINISHED)
            pipe.execute()
            progress(done)
        if not number:  # an empty file
            self._redis.hset(key, 0, b"")

    def _finish(self, part: str, sha256: str, size: int) -> None:
        pipe = self._redis.pipeline(transaction=True)
        pipe.rename(keys.content(part), keys.content(sha256))
        pipe.expire(keys.content(sha256), self._retention)
        pipe.hdel(keys.CONTENTS, part)
        pipe.hset(keys.CONTENTS, sha256, size)
        pipe.execute()

    def _remove(self, name: str) -> None:
        self._redis.unlink(keys.content(name))
        self._redis.hdel(keys.CONTENTS, name)

    def used(self) -> int:
        """Return the bytes of all contents, those under way included."""
        return sum(self.sizes().values())

    def sizes(self) -> dict[str, int]:
        """Return the size of each content; forget those that have expired."""
        known = {name.decode(): int(size) for name, size in self._all().items()}
        pipe = self._redis.pipeline(transaction=False)
        for name in known:
            pipe.exists(keys.content(name))
        there = dict(zip(known, pipe.execute(), strict=True)) if known else {}
        gone = [name for name, found in there.items() if not found]
        if gone:
            self._redis.hdel(keys.CONTENTS, *gone)
        return {name: size for name, size in known.items() if there[name]}

    def _all(self) -> dict[bytes, bytes]:
        return dict(self._redis.hgetall(keys.CONTENTS))

    def forget(self) -> int:
        """Remove all contents; return their bytes. Later deployments deposit them again."""
        with contact():
            total = self.used()
            names = [name.decode() for name in self._all()]
            for name in names:
                self._remove(name)
        return total

    def pieces(self, sha256: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a content from an offset on, one piece at a time.

        Raises:
            HostError: it is not there any more.
            TransferSilent: Redis does not answer now.
        """
        key = keys.content(sha256)
        number, skip = divmod(offset, PIECE)
        while True:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hget(key, number)
            pipe.expire(key, self._retention)
            try:
                data, there = pipe.execute()
            except (redis_py.ConnectionError, redis_py.TimeoutError) as error:
                raise TransferSilent("Redis does not answer") from error
            if not there:
                raise HostError(
                    f"Redis has the content {sha256[:12]} no more",
                    hint=f"deploy it again: contents go {self._retention // 60} min after their "
                    "last use",
                )
            if data is None:
                return
            if data[skip:]:
                yield data[skip:]
            number, skip = number + 1, 0


def check_size(size: int, name: str, most: int) -> None:
    """Raise an error if a content is too large.

    Raises:
        InvalidValue: it is.
    """
    if size > most:
        raise InvalidValue(
            f"{name} has {_amount(size)}, one content at most {_amount(most)}",
            hint="set NEPIQ_CONTENT_LIMIT, in MB; or serve it by HTTP, and give its URL",
        )


def _amount(count: int) -> str:
    return f"{count / 1e6:.3g} MB"
