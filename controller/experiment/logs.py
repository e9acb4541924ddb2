"""Output lines of applications, read while they run or afterwards."""

from __future__ import annotations

import codecs
import queue
import re
import sys
import threading
from collections.abc import Container, Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

from ..engine import threads
from ..engine.redis_errors import contact
from ..engine.transfer import client
from ..engine.transfer.outputs import declared
from ..errors import AnswerError, FileMissing, HostError, NotAllowed
from .waiting import FINISHED, Follower

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

STREAMS = ("stdout", "stderr")

RETRIES = 5
"""Consecutive retries of a host from which no byte arrives."""

_LONGEST = 1 << 20
# The head of a frame contains the name of a file.
_LONGEST_HEAD = 8192
_HEAD = re.compile(rb"data ([!-~]+) ([0-9]{1,18}) ([0-9]{1,18})")
_PAUSE = 0.5


class LogLine(NamedTuple):
    """A line printed by an application.

    Attributes:
        label: the label of the application.
        stream: ``stdout`` or ``stderr``.
        line: the line without its end, decoded as UTF-8 (undecodable bytes replaced).
    """

    label: str
    stream: str
    line: str


def logs(run: Run, guids: Iterable[int] | None, *, follow: bool) -> Iterator[LogLine]:
    """Yield the lines that applications have printed, and with ``follow`` also new ones.

    Args:
        run: the run.
        guids: the applications; all by default.
        follow: continue until all applications have ended.

    Raises:
        HostError: a host cannot be reached.
    """
    selection = None if guids is None else set(guids)
    with contact():
        records = [
            record
            for record in run.records(None if selection is None else sorted(selection))
            if _streams(record) and (selection is not None or record.host != record.guid)
        ]
    if follow:
        yield from Following(run, records).lines()
    else:
        for record in records:
            for name in _streams(record):
                yield from _Source(run, record, name).rest()


def can_follow(record: ResourceRecord, name: str) -> bool:
    """Return True if an output of a resource can be read while it is written."""
    return name in _streams(record) and "READY" in record.milestones


def _streams(record: ResourceRecord) -> list[str]:
    """Return the streams that a resource has."""
    if record.host is None or record.is_host:
        return []
    traces = declared(record.rtype)
    return [name for name in STREAMS if not traces or name in traces]


#: Queue of messages to a follower: bytes of a file with their offset, the guid of a resource that
#: has an event, an error, or None for the end.
_Messages = queue.Queue["tuple[str, int, bytes] | int | Exception | None"]


class _Source:
    """One output stream of one start of an application, split into lines.

    Attributes:
        offset: number of bytes received.
    """

    def __init__(self, run: Run, record: ResourceRecord, name: str) -> None:
        self.offset = 0
        self._run, self._record, self._name = run, record, name
        self._trace = declared(record.rtype).get(name, name)
        self._partial = b""

    @property
    def file(self) -> str:
        """The file in the form used by the host's follower."""
        return f"{self._record.guid}/{self._record.occ}/{self._trace}"

    def add(self, offset: int, data: bytes) -> Iterator[LogLine]:
        """Yield the lines completed by the bytes at ``offset``; ignore bytes already received."""
        data = data[max(0, self.offset - offset) :]
        self.offset += len(data)
        *complete, self._partial = (self._partial + data).split(b"\n")
        for line in complete:
            yield self._line(line)
        if len(self._partial) > _LONGEST:
            yield from self._flush()

    def rest(self) -> Iterator[LogLine]:
        """Yield the remaining lines; the last one may lack its line end."""
        try:
            for block in self._read():
                yield from self.add(self.offset, block)
        except FileMissing:
            pass  # it printed nothing, or its files have been removed
        yield from self._flush()

    def _read(self) -> Iterator[bytes]:
        run, record = self._run, self._record
        with contact():
            output = run.output(record.guid, self._name, record.occ)
            if output is not None:
                yield output[self.offset :]
                return
            # By start number: the present run directory may be that of a later start.
            path = f"../{record.occ}/{self._trace}"
            yield from client.fetch(run, record.guid, path, offset=self.offset)

    def _flush(self) -> Iterator[LogLine]:
        if self._partial:
            line, self._partial = self._partial, b""
            yield self._line(line)

    def _line(self, line: bytes) -> LogLine:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        return LogLine(self._record.label, self._name, text)


class _Pieces(_Source):
    """The same, in pieces as they come, which need not be whole lines."""

    def __init__(self, run: Run, record: ResourceRecord, name: str) -> None:
        super().__init__(run, record, name)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, offset: int, data: bytes) -> Iterator[LogLine]:
        """Yield the text of the bytes at ``offset``; ignore bytes already received."""
        data = data[max(0, self.offset - offset) :]
        self.offset += len(data)
        text = self._decoder.decode(data)
        if text:
            yield LogLine(self._record.label, self._name, text)

    def _flush(self) -> Iterator[LogLine]:
        text = self._decoder.decode(b"", final=True)
        if text:
            yield LogLine(self._record.label, self._name, text)


class _Feed(threading.Thread):
    """The thread that follows the streams of one node despite lost workers and connections.

    Args:
        run: the run.
        node: the guid of the node.
        offsets: number of bytes already received of each file.
        messages: receives (file, offset, bytes), and an error if the thread gives up.
    """

    def __init__(self, run: Run, node: int, offsets: dict[str, int], messages: _Messages) -> None:
        super().__init__(name=f"nepiq-feed-{node}", daemon=True)
        self._run, self._node, self._offsets, self._messages = run, node, offsets, messages
        self._over = threading.Event()
        self._follow: client.Follow | None = None
        self._failures = 0

    def close(self) -> None:
        """Stop following."""
        self._over.set()
        if self._follow is not None:
            self._follow.close()

    def run(self) -> None:
        """Follow until :meth:`close`."""
        try:
            while not self._over.is_set():
                try:
                    self._follow_once()
                except HostError:
                    # A node that is not deployed yet has nothing to follow.
                    ready = "READY" in self._run.record(self._node).milestones
                    self._failures += ready
                    if self._failures > RETRIES:
                        raise
                self._over.wait(_PAUSE)
        except Exception as error:  # noqa: BLE001 - raised again for the reader of the lines
            self._messages.put(error)

    def _follow_once(self) -> None:
        frames = Frames(self._offsets)
        with contact():
            self._follow = client.Follow(self._run, self._node, list(self._offsets.items()))
            if self._over.is_set():
                return
            for block in self._follow:
                for file, offset, data in frames.cut(block):
                    self._failures = 0
                    self._offsets[file] = offset + len(data)
                    self._messages.put((file, offset, data))


class Frames:
    """The parser of frames from a host's follower; ``supervisor.sh`` defines their format.

    Args:
        files: the requested files; frames of other files are errors.
    """

    def __init__(self, files: Container[str]) -> None:
        self._files = files
        self._head = b""
        self._file, self._offset, self._remaining = "", 0, 0

    def cut(self, block: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Yield file, offset and bytes of the data in the next block.

        Raises:
            AnswerError: the block is not part of a valid frame.
        """
        while block:
            if self._remaining:
                data, block = block[: self._remaining], block[self._remaining :]
                yield self._file, self._offset, data
                self._offset += len(data)
                self._remaining -= len(data)
                continue
            head, end, block = block.partition(b"\n")
            self._head += head
            if len(self._head) > _LONGEST_HEAD:
                raise _invalid(self._head)
            if end:
                self._begin()

    def _begin(self) -> None:
        """Parse the complete head of a frame."""
        head, self._head = self._head, b""
        if head == b"beat" or head.startswith(b"no "):  # a refusal, after which it ends
            return
        match = _HEAD.fullmatch(head)
        file = match[1].decode("ascii") if match else ""
        if match is None or file not in self._files:
            raise _invalid(head)
        self._file, self._offset, self._remaining = file, int(match[2]), int(match[3])


def _invalid(head: bytes) -> AnswerError:
    return AnswerError(f"the host's frame of outputs is not understood: {head[:80]!r}")


class Following:
    """The merged output streams of several applications.

    Args:
        run: the run.
        records: the applications.
        piece: the only stream to follow, in pieces instead of lines; empty for lines of all.
        offset: the first byte of it to read, of the present start of the application.
    """

    def __init__(
        self, run: Run, records: Sequence[ResourceRecord], *, piece: str = "", offset: int = 0
    ) -> None:
        self._run = run
        self._piece, self._offset = piece, offset
        self._messages: _Messages = queue.Queue(8)
        self._records = {record.guid: record for record in records}
        self._sources: dict[str, _Source] = {}
        self._running: set[int] = set()
        self._feeds: dict[int, _Feed] = {}
        self._over = threading.Event()

    def lines(self) -> Iterator[LogLine]:
        """Yield the lines until all applications have ended."""
        events = threading.Thread(target=self._watch, name="nepiq-log-events", daemon=True)
        try:
            for record in self._records.values():
                yield from self._update(record)
            threads.start(events)
            while self._running:
                message = self._messages.get()
                if message is None:
                    return
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, int):
                    yield from self._update(self._record(message))
                else:
                    file, offset, data = message
                    if file in self._sources:
                        yield from self._sources[file].add(offset, data)
        finally:
            self._close()

    def stop(self) -> None:
        """End the iteration over :meth:`lines`, which another thread carries out."""
        self._close()
        self._messages.put(None)

    def _update(self, record: ResourceRecord) -> Iterator[LogLine]:
        """Handle the start, end or restart of an application; yield the lines that this ends."""
        guid = record.guid
        new = self._new(record)
        earlier = self._of(guid)
        if {source.file for source in new} != earlier.keys():
            for source in new:
                source.offset, self._offset = self._offset, 0
            for source in earlier.values():
                yield from source.rest()
                del self._sources[source.file]
            self._sources |= {source.file: source for source in new}
        if record.state in FINISHED.states:
            self._running.discard(guid)
            for source in self._of(guid).values():
                yield from source.rest()
        elif guid not in self._running or earlier.keys() != self._of(guid).keys():
            self._running.add(guid)
            self._feed(record.host or 0)

    def _new(self, record: ResourceRecord) -> Sequence[_Source]:
        """Return the streams of the present start of an application."""
        if self._piece:
            return [_Pieces(self._run, record, self._piece)]
        return [_Source(self._run, record, name) for name in _streams(record)]

    def _of(self, guid: int) -> dict[str, _Source]:
        prefix = f"{guid}/"
        return {file: source for file, source in self._sources.items() if file.startswith(prefix)}

    def _feed(self, node: int) -> None:
        """Start to follow the running applications of a node, in place of an earlier thread."""
        if node in self._feeds:
            self._feeds[node].close()
        guids = {guid for guid in self._running if self._records[guid].host == node}
        offsets = {file: source.offset for guid in guids for file, source in self._of(guid).items()}
        feed = self._feeds[node] = _Feed(self._run, node, offsets, self._messages)
        threads.start(feed)

    def _record(self, guid: int) -> ResourceRecord:
        with contact():
            return self._run.record(guid)

    def _watch(self) -> None:
        """Put the guid of each application that has a new event into the queue."""
        try:
            follower = Follower(self._run, sorted(self._records))
            snapshots = 0
            changed: Set[int] = set()
            while not self._over.is_set():
                if follower.snapshots != snapshots:
                    snapshots, changed = follower.snapshots, self._records.keys()
                for guid in changed & self._records.keys():
                    self._messages.put(guid)
                changed = {event.guid for event in follower.follow(_PAUSE)}
                if follower.phase == "GONE":
                    raise NotAllowed("the records of the run have expired")
        except Exception as error:  # noqa: BLE001 - raised again for the reader of the lines
            self._messages.put(error)

    def _close(self) -> None:
        self._over.set()
        for feed in self._feeds.values():
            feed.close()
        # The queue has no reader any more: let threads that wait for space continue and end.
        with self._messages.mutex:
            self._messages.maxsize = sys.maxsize
            self._messages.not_full.notify_all()
