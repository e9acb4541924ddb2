"""Bytes between hosts and a client that share no disk, as the client sees it.

A worker that reaches the host is asked by a task, and bytes pass through a window in Redis
(:mod:`.window`). If the worker falls silent, another is asked to go on where it stopped. What
arrives is compared, by SHA-256, with what the other end says that it sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import errors
from ...errors.text import quoted
from .flow_control import BLOCK, DATA, END, FAILURE, INFO, THANKS, Pulse, Receiver, Sender, Ways
from .sources import Opened, Source

if TYPE_CHECKING:
    from ..run import Run

TRIES = 3
"""How often a worker is asked in a row without a byte coming or going."""

Said = Callable[[int], None]


@dataclass(frozen=True)
class FileFacts:
    """What a host says of a file.

    Attributes:
        size: its length in bytes.
        mtime: when it was last changed, seconds since the epoch by the host's clock.
        inode: its number there; another one means another file.
    """

    size: int
    mtime: int
    inode: int


Told = Callable[[FileFacts], None]


_LONGEST_PATH = 4096  # bytes; PATH_MAX of Linux


def new_id() -> str:
    """An id for a transfer."""
    return secrets.token_hex(8)


class Tries:
    """The tries of one transfer: each has keys of its own, so that no stale message gets in."""

    def __init__(self, run: Run, name: str, queue: str) -> None:
        self._run, self._name, self._queue = run, name, queue
        self._number = self._vain = 0

    @contextmanager
    def next(self) -> Iterator[tuple[Ways, Pulse, str]]:
        """The keys, pulse and name of the next try."""
        self._number += 1
        name = f"{self._name}.{self._number}"
        ways = Ways(self._run.run_id, name)
        redis = self._run.store.redis
        hint = f"is a worker running that serves {self._queue}? nepiq doctor tells"
        pulse = Pulse(redis, ways.client, ways.worker, name="the worker", hint=hint)
        try:
            with pulse:
                yield ways, pulse, name
        finally:
            redis.delete(ways.blocks, ways.answers)

    def vain(self, *, moved: bool) -> bool:
        """Count a try that ended in silence; True if that has been enough."""
        self._vain = 1 if moved else self._vain + 1
        return self._vain >= TRIES


def check_path(path: str) -> None:
    """Refuse what no host takes for the path of a file.

    Raises:
        InvalidValue: it is too long, or holds what a path cannot.
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


def facts(run: Run, guid: int, path: str) -> FileFacts:
    """What the host says of a file, without reading it.

    Raises:
        FileMissing: there is no such file.
    """
    found: list[FileFacts] = []
    for _ in fetch(run, guid, path, length=0, told=found.append):
        pass
    return found[0]


def fetch(
    run: Run,
    guid: int,
    path: str,
    *,
    offset: int = 0,
    length: int | None = None,
    before: Any = None,
    told: Told = lambda facts: None,
) -> Iterator[bytes]:
    """Yield a file of a resource's host in blocks.

    Args:
        run: the run.
        guid: whose file.
        path: relative to the resource's run directory, or absolute.
        offset: first byte.
        length: how many; those that are there at the beginning if None.
        before: a SHA-256 object that has been given all bytes before ``offset``, if these are
            to be compared too.
        told: called with what the host says of the file, before the first byte.

    Raises:
        FileMissing: there is no such file.
        TransferSilent: no worker of the site sends it.
        HostError: it was changed while it was read.
    """
    check_path(path)
    queue = run.queue_of(guid)
    tries = Tries(run, new_id(), queue)
    taking = _Taking(path, offset, length, before, told)
    while True:
        at = taking.offset
        try:
            with tries.next() as (ways, pulse, name):
                args = [run.run_id, guid, path, name, taking.offset, taking.left, taking.since]
                run.call("nepiq.fetch", queue, args, f"fetch {path} of resource {guid}")
                for kind, payload in Receiver(run.store.redis, ways, pulse).messages():
                    if kind == DATA:
                        taking.count(payload)
                        yield payload
                    elif taking.over(kind, json.loads(payload)):
                        return
        except errors.TransferSilent:
            if tries.vain(moved=taking.offset > at):
                raise


class _Taking:
    """What has come of a file, over all tries.

    Attributes:
        offset: place of the next byte.
        since: place from which the digest counts.
    """

    def __init__(self, path: str, offset: int, length: int | None, before: Any, told: Told) -> None:
        self.offset = offset
        self.since = offset if before is None else 0
        self._path, self._told = path, told
        self._digest = hashlib.sha256() if before is None else before
        self._end = None if length is None else offset + length
        self._facts: FileFacts | None = None

    @property
    def left(self) -> int | None:
        """How many bytes are to come, once that is known."""
        return None if self._end is None else self._end - self.offset

    def count(self, block: bytes) -> None:
        """Take note of a block."""
        self._digest.update(block)
        self.offset += len(block)

    def over(self, kind: bytes, told: Mapping[str, Any]) -> bool:
        """Take what is told of the file; True once it is all there."""
        if kind == FAILURE:
            raise told_again(told)
        if kind == INFO:
            self._meet(FileFacts(**told))
        elif told["sha256"] and told["sha256"] != self._digest.hexdigest():
            raise errors.HostError(
                f"{self._path} arrived other than it was sent",
                hint="it was changed while it was read; fetch it again",
            )
        return kind == END

    def _meet(self, found: FileFacts) -> None:
        known = self._facts
        if known is None:
            self._told(found)
        elif known.inode != found.inode or known.size > found.size:
            raise errors.HostError(
                f"{self._path} was replaced while it was read", hint="fetch it again"
            )
        self._facts = found
        if self._end is None and found.size:  # a file without a size ends where it ends
            self._end = max(self.offset, found.size)


class Follow:
    """What files of a node get, from a worker that follows them on the host.

    Args:
        run: the run.
        node: the node.
        files: each ``<guid>/<occasion>/<name>``, and how much of it is known.
    """

    def __init__(self, run: Run, node: int, files: Sequence[tuple[str, int]]) -> None:
        self._run, self._node, self._files = run, node, files
        self._receiver: Receiver | None = None
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield what the host prints, as it comes, until :meth:`close`.

        Raises:
            TransferSilent: no worker of the site follows them, or no longer.
            HostError: the host cannot be reached, or no longer.
        """
        run, queue = self._run, self._run.queue_of(self._node)
        with Tries(run, new_id(), queue).next() as (ways, pulse, name):
            self._receiver = receiver = Receiver(run.store.redis, ways, pulse)
            args = [run.run_id, self._node, list(self._files), name]
            run.call("nepiq.follow", queue, args, f"follow the outputs on node {self._node}")
            if self._over:
                return
            for kind, payload in receiver.messages():
                if kind == FAILURE:
                    raise told_again(json.loads(payload))
                yield payload

    def close(self) -> None:
        """End it; may be called from another thread."""
        self._over = True
        if self._receiver is not None:
            self._receiver.wake()


def upload(
    run: Run,
    guids: Sequence[int],
    source: Source,
    path: str,
    *,
    said: Said = lambda count: None,
) -> dict[int, errors.NepiqError]:
    """Bring a file or tree to the hosts of resources that one queue leads to, sent once for all.

    Args:
        run: the run.
        guids: the resources.
        source: what to send.
        path: where to, relative to each resource's run directory, or absolute.
        said: called with how many bytes have been sent.

    Returns:
        What went wrong, by guid; nothing for those that have it.

    Raises:
        TransferSilent: no worker of the site takes it.
        HostError: it was changed while it was read.
    """
    check_path(path)
    queue = run.queue_of(guids[0])
    transfer = new_id()
    tries = Tries(run, transfer, queue)
    with contextlib.closing(source.open()) as opened:
        reading = _Reading(opened)
        while True:
            at = reading.sent
            try:
                with tries.next() as (ways, pulse, name):
                    form = [path, opened.mode, opened.size, transfer, name]
                    args = [run.run_id, list(guids), *form]
                    run.call("nepiq.place", queue, args, f"place {path} of resource {guids[0]}")
                    return _sent(Sender(run.store.redis, ways, pulse), reading, said)
            except errors.TransferSilent:
                if tries.vain(moved=reading.sent > at):
                    raise


def _sent(sender: Sender, reading: _Reading, said: Said) -> dict[int, errors.NepiqError]:
    """Carry out one try."""
    try:
        for block in reading.blocks(int(sender.answer("at"))):
            if sender.said("done"):
                break
            sender.send(DATA, block)
            said(reading.sent)
        else:
            reading.check()
            sender.tell(END, {"sha256": reading.digest.hexdigest()})
    except errors.HostError as error:
        if not isinstance(error, errors.TransferSilent):
            sender.fail(error)
            sender.answer("done")  # or the worker might find nothing any more
        raise
    failed: Mapping[str, Any] = sender.answer("done")
    sender.send(THANKS, b"")
    return {int(guid): told_again(told) for guid, told in failed.items()}


class _Reading:
    """What is sent, read from several places and hashed once.

    Attributes:
        sent: how far it has been read.
        digest: SHA-256 of all that has been read.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.sent = 0
        self.digest = hashlib.sha256()
        self._hashed = 0

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Its bytes from ``offset`` on, as many as it had at first."""
        opened = self._opened
        # What another try has brought there was hashed when that read it.
        self.sent = min(offset, self._hashed)
        opened.seek(self.sent)
        while self.sent < opened.size:
            block = opened.read(min(BLOCK, opened.size - self.sent))
            if not block:
                opened.changed()
            start, self.sent = self.sent, self.sent + len(block)
            if self.sent > self._hashed:
                self.digest.update(memoryview(block)[self._hashed - start :])
                self._hashed = self.sent
            if self.sent > offset:
                yield block[max(0, offset - start) :]

    def check(self) -> None:
        """Raise if it has been changed since it was opened.

        Raises:
            HostError: it has.
        """
        self._opened.check()


def told_again(details: Mapping[str, Any]) -> errors.NepiqError:
    """An error of the other side, made again from what was told of it."""
    kind = getattr(errors, str(details.get("type")), errors.HostError)
    known = isinstance(kind, type) and issubclass(kind, errors.NepiqError)
    simple = known and kind.__init__ is errors.NepiqError.__init__
    return (kind if simple else errors.HostError)(
        str(details.get("message")),
        where=str(details.get("where", "")),
        hint=str(details.get("hint", "")),
    )
