"""Attempts of a transfer: a worker is asked by a task, and after its loss another one resumes."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ... import errors
from ...errors.text import quoted
from .flow_control import DATA, FAILURE, INFO, Heartbeat, Receiver, Sender, TransferKeys

if TYPE_CHECKING:
    from redis import Redis

    from ..run import Run

TRIES = 3
"""Attempts in a row that may end without a byte of progress."""

_LONGEST_PATH = 4096  # bytes; PATH_MAX of Linux


def new_id() -> str:
    """Return an id for a transfer."""
    return secrets.token_hex(8)


def check_path(path: str) -> None:
    """Refuse what no host takes for the path of a file.

    Raises:
        InvalidValue: it is too long, or has a character that a path cannot have.
    """
    try:
        usable = len(path.encode()) < _LONGEST_PATH and "\0" not in path
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise errors.InvalidValue(
            f"{quoted(path[:60])} cannot be a path",
            hint=f"less than {_LONGEST_PATH} bytes of text, no NUL character",
        )


def remote_error(details: Mapping[str, Any]) -> errors.NepiqError:
    """Return the error of the other side, from its details."""
    kind = getattr(errors, str(details.get("type")), errors.HostError)
    known = isinstance(kind, type) and issubclass(kind, errors.NepiqError)
    simple = known and kind.__init__ is errors.NepiqError.__init__
    return (kind if simple else errors.HostError)(
        str(details.get("message")),
        where=str(details.get("where", "")),
        hint=str(details.get("hint", "")),
    )


@dataclass(frozen=True)
class Route:
    """The way to the workers that can take part in a transfer.

    Attributes:
        owner: id of the run, or of what else the keys of the transfer belong to.
        queue: the queue of the workers.
        redis: client of the state.
        call: sends a task: its name, the queue, its arguments, and a description of them.
    """

    owner: str
    queue: str
    redis: Redis
    call: Callable[[str, str, Sequence[Any], str], None]

    @classmethod
    def to(cls, run: Run, guid: int) -> Route:
        """Return the way to the workers that reach the host of a resource."""
        return cls(run.run_id, run.queue_of(guid), run.store.redis, run.call)


class Attempts:
    """The attempts of one transfer: each has keys of its own, so that no stale message gets in.

    Args:
        route: the way to the workers.
        position: returns how far the transfer is.

    Attributes:
        transfer: the id of the transfer.
    """

    def __init__(self, route: Route, position: Callable[[], int]) -> None:
        self.transfer = new_id()
        self._route = route
        self._position = position
        self._number = self._failures = 0

    def request(self, task: str, args: Sequence[Any], description: str) -> None:
        """Send the task that has a worker take part."""
        self._route.call(f"nepiq.{task}", self._route.queue, args, f"{task} {description}")

    @contextmanager
    def next(self, limit: int | None = None) -> Iterator[tuple[str, Sender, Receiver]]:
        """Begin the next attempt: its name, and this side's ends; later ones resume it.

        Args:
            limit: attempts in a row that may end without progress; ``TRIES`` by default.

        Raises:
            TransferSilent: no worker takes part, or no longer.
        """
        self._number += 1
        name = f"{self.transfer}.{self._number}"
        keys = TransferKeys(self._route.owner, name)
        redis = self._route.redis
        hint = f"is a worker running that serves {self._route.queue}? nepiq doctor tells"
        start = self._position()
        try:
            with Heartbeat(redis, keys.client, keys.worker, name="the worker", hint=hint) as beat:
                yield name, Sender(redis, keys, beat), Receiver(redis, keys, beat)
        except errors.TransferSilent:
            self._failures = 1 if self._position() > start else self._failures + 1
            if self._failures >= (limit or TRIES):
                raise
        finally:
            redis.delete(keys.blocks, keys.answers)


class Download(ABC):
    """Bytes from a host, as they arrive over all attempts.

    Args:
        run: the run.
        guid: the resource.
        path: relative to the run directory of the resource, or absolute.
        offset: the first byte.

    Attributes:
        path: as given.
        offset: place of the next byte.
    """

    task: ClassVar[str]

    def __init__(self, run: Run, guid: int, path: str, offset: int = 0) -> None:
        check_path(path)
        self._run, self._guid = run, guid
        self.path = path
        self.offset = offset

    def receive(self) -> Generator[bytes, None, None]:
        """Yield the bytes in blocks."""
        run, guid = self._run, self._guid
        attempts = Attempts(Route.to(run, guid), lambda: self.offset)
        while True:
            with attempts.next() as (name, _, receiver):
                args = [run.run_id, guid, self.path, name, *self.arguments()]
                attempts.request(self.task, args, f"{self.path} of resource {guid}")
                for kind, payload in receiver.messages():
                    if kind == DATA:
                        self.offset += len(payload)
                        self.count(payload)
                        yield payload
                        continue
                    content = json.loads(payload)
                    if kind == FAILURE:
                        raise remote_error(content)
                    if kind == INFO:
                        self.begin(content)
                    else:
                        self.end(content["sha256"])
                        return

    @abstractmethod
    def arguments(self) -> list[Any]:
        """Return the last arguments of the task: where it begins, and so on."""

    @abstractmethod
    def count(self, block: bytes) -> None:
        """Hash a block."""

    @abstractmethod
    def begin(self, info: Mapping[str, Any]) -> None:
        """Compare what the host says before it sends with what it said in earlier attempts."""

    @abstractmethod
    def end(self, sha256: str) -> None:
        """Compare the checksum of the host with that of the bytes that arrived."""
