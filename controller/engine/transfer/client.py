"""Files between hosts and a client that share no disk: the client's end.

The bytes pass through streams in Redis (:mod:`.flow_control`) from or to a worker that reaches
the host. If the worker is lost, another one resumes (:mod:`.attempts`). The bytes that arrive are
compared, by SHA-256, with those that the other end has sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import errors
from .attempts import Attempts, Download, Route, check_path, remote_error
from .flow_control import BLOCK, CLOSE, DATA, END, FAILURE, Receiver, Sender

if TYPE_CHECKING:
    from ..run import Run
    from .sources import Opened, Source


@dataclass(frozen=True)
class FileFacts:
    """The facts of a file on a host.

    Attributes:
        size: its length in bytes.
        mtime: when it was last changed, seconds since the epoch by the host's clock.
        inode: its number there; another number is another file.
    """

    size: int
    mtime: int
    inode: int


def facts(run: Run, guid: int, path: str) -> FileFacts:
    """Return the facts of a file on a host, without reading it.

    Raises:
        FileMissing: there is no such file.
    """
    received: list[FileFacts] = []
    for _ in fetch(run, guid, path, length=0, on_facts=received.append):
        pass
    return received[0]


def fetch(
    run: Run,
    guid: int,
    path: str,
    *,
    offset: int = 0,
    length: int | None = None,
    before: Any = None,
    on_facts: Callable[[FileFacts], None] = lambda facts: None,
) -> Iterator[bytes]:
    """Yield a file of a resource's host in blocks.

    Args:
        run: the run.
        guid: the resource.
        path: relative to the resource's run directory, or absolute.
        offset: first byte.
        length: how many bytes; those that are there at the beginning if None.
        before: a SHA-256 object that has been given all bytes before ``offset``, if these are
            to be compared too.
        on_facts: called with the facts of the file, before the first byte.

    Raises:
        FileMissing: there is no such file.
        TransferSilent: no worker of the site sends it.
        HostError: it was changed while it was read.
    """
    yield from _FileDownload(run, guid, path, offset, length, before, on_facts).receive()


class _FileDownload(Download):
    """A file, or a part of one."""

    task = "fetch"

    def __init__(
        self,
        run: Run,
        guid: int,
        path: str,
        offset: int,
        length: int | None,
        before: Any,
        on_facts: Callable[[FileFacts], None],
    ) -> None:
        super().__init__(run, guid, path, offset)
        self._on_facts = on_facts
        self._hashed_from = offset if before is None else 0
        self._digest = hashlib.sha256() if before is None else before
        self._end = None if length is None else offset + length
        self._facts: FileFacts | None = None

    def arguments(self) -> list[Any]:
        left = None if self._end is None else self._end - self.offset
        return [self.offset, left, self._hashed_from]

    def count(self, block: bytes) -> None:
        self._digest.update(block)

    def begin(self, info: Mapping[str, Any]) -> None:
        now, before = FileFacts(**info), self._facts
        if before is None:
            self._on_facts(now)
        elif before.inode != now.inode or before.size > now.size:
            raise errors.HostError(
                f"{self.path} was replaced while it was read", hint="fetch it again"
            )
        self._facts = now
        if self._end is None and now.size:  # a file without a size ends where it ends
            self._end = max(self.offset, now.size)

    def end(self, sha256: str) -> None:
        if sha256 and sha256 != self._digest.hexdigest():
            raise errors.HostError(
                f"{self.path} arrived other than it was sent",
                hint="it was changed while it was read; fetch it again",
            )


class Follow:
    """The bytes that files of a node get, from a worker that follows them on the host.

    Args:
        run: the run.
        node: the node.
        files: each ``<guid>/<occasion>/<name>``, and how much of it is known.
    """

    def __init__(self, run: Run, node: int, files: Sequence[tuple[str, int]]) -> None:
        self._run, self._node, self._files = run, node, files
        self._receiver: Receiver | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield what the host prints, as it comes, until :meth:`close`.

        Raises:
            TransferSilent: no worker of the site follows them, or no longer.
            HostError: the host cannot be reached, or no longer.
        """
        attempts = Attempts(Route.to(self._run, self._node), lambda: 0)
        with attempts.next(limit=1) as (name, _, receiver):
            self._receiver = receiver
            args = [self._run.run_id, self._node, list(self._files), name]
            attempts.request("follow", args, f"the outputs on node {self._node}")
            if self._closed:
                return
            for kind, payload in receiver.messages():
                if kind == FAILURE:
                    raise remote_error(json.loads(payload))
                yield payload

    def close(self) -> None:
        """End it; may be called from another thread."""
        self._closed = True
        if self._receiver is not None:
            self._receiver.wake()


def upload(
    run: Run,
    guids: Sequence[int],
    source: Source,
    path: str,
    *,
    on_sent: Callable[[int], None] = lambda count: None,
) -> dict[int, errors.NepiqError]:
    """Send a file or tree once to the hosts of resources that one queue leads to.

    Args:
        run: the run.
        guids: the resources.
        source: the file or tree.
        path: where to, relative to each resource's run directory, or absolute.
        on_sent: called with how many bytes have been sent.

    Returns:
        The error of each resource that did not get it, by guid.

    Raises:
        TransferSilent: no worker of the site takes it.
        HostError: it was changed while it was read.
    """
    check_path(path)
    with contextlib.closing(source.open()) as opened:
        reader = _Reader(opened)
        attempts = Attempts(Route.to(run, guids[0]), lambda: reader.sent)
        while True:
            with attempts.next() as (name, sender, _):
                form = [path, opened.mode, opened.size, attempts.transfer, name]
                args = [run.run_id, list(guids), *form]
                attempts.request("place", args, f"{path} of resource {guids[0]}")
                return _send(sender, reader, on_sent)


def _send(
    sender: Sender, reader: _Reader, on_sent: Callable[[int], None]
) -> dict[int, errors.NepiqError]:
    """Send what the hosts do not have yet; return the error of each resource that failed."""
    try:
        for block in reader.blocks(int(sender.answer("at"))):
            if sender.answered("done"):
                break
            sender.send(DATA, block)
            on_sent(reader.sent)
        else:
            reader.check()
            sender.send_json(END, {"sha256": reader.digest.hexdigest()})
    except errors.HostError as error:
        if not isinstance(error, errors.TransferSilent):
            sender.fail(error)
            sender.answer("done")  # the keys go at once, and the worker may not have read it
        raise
    failed: Mapping[str, Any] = sender.answer("done")
    sender.send(CLOSE, b"")
    return {int(guid): remote_error(details) for guid, details in failed.items()}


class _Reader:
    """The bytes of a source, read from several places and hashed once.

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
        """Yield its bytes from ``offset`` on, as many as it had at first."""
        opened = self._opened
        # What an earlier attempt has brought there was hashed when it was read.
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
