"""What applications print, line by line, while they run or afterwards."""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

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
"""How often a host is asked again in a row, without a byte from it."""

_LONGEST = 1 << 20
# The head of a frame has the name of a file in it.
_LONGEST_HEAD = 8192
_HEAD = re.compile(rb"data ([!-~]+) ([0-9]{1,18}) ([0-9]{1,18})")
_PAUSE = 0.5


class LogLine(NamedTuple):
    """A line that an application printed.

    Attributes:
        label: the application.
        stream: ``stdout`` or ``stderr``.
        line: the line without its end, decoded as UTF-8 (undecodable bytes replaced).
    """

    label: str
    stream: str
    line: str


def logs(run: Run, guids: Iterable[int] | None, *, follow: bool) -> Iterator[LogLine]:
    """Yield what applications have printed, and with ``follow`` what they print from now on.

    Args:
        run: the run.
        guids: the applications; all by default.
        follow: go on until all of them have ended.

    Raises:
        HostError: a host cannot be reached.
    """
    chosen = None if guids is None else set(guids)
    with contact():
        records = [
            record
            for record in run.records(None if chosen is None else sorted(chosen))
            if _streams(record) and (chosen is not None or record.host != record.guid)
        ]
    if follow:
        yield from _Following(run, records).lines()
    else:
        for record in records:
            for name in _streams(record):
                yield from _Source(run, record, name).rest()


def _streams(record: ResourceRecord) -> list[str]:
    """Those of the two streams that a resource has."""
    if record.host is None or record.is_host:
        return []
    traces = declared(record.rtype)
    return [name for name in STREAMS if not traces or name in traces]


#: What the threads of a follower hear: bytes of a file and their place, a resource to which
#: something happened, an error.
_Heard = queue.Queue["tuple[str, int, bytes] | int | Exception"]


class _Source:
    """One stream of one start of one application, cut into lines.

    Attributes:
        at: how many of its bytes have come.
    """

    def __init__(self, run: Run, record: ResourceRecord, name: str) -> None:
        self.at = 0
        self._run, self._record, self._name = run, record, name
        self._trace = declared(record.rtype).get(name, name)
        self._partial = b""

    @property
    def file(self) -> str:
        """Its file, as the host's follower names it."""
        return f"{self._record.guid}/{self._record.occ}/{self._trace}"

    def take(self, at: int, data: bytes) -> Iterator[LogLine]:
        """The lines that bytes from the place ``at`` complete; what came before is passed over."""
        data = data[max(0, self.at - at) :]
        self.at += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            yield self._line(line)
        if len(self._partial) > _LONGEST:
            yield from self._last()

    def rest(self) -> Iterator[LogLine]:
        """The lines that have not come, the last one also without its end."""
        try:
            for block in self._read():
                yield from self.take(self.at, block)
        except FileMissing:
            pass  # it printed nothing, or its files have been removed
        yield from self._last()

    def _read(self) -> Iterator[bytes]:
        run, record = self._run, self._record
        with contact():
            kept = run.output(record.guid, self._name, record.occ)
            if kept is not None:
                yield kept[self.at :]
                return
            # Its directory beside that of the present start, which may be a later one.
            path = f"../{record.occ}/{self._trace}"
            yield from client.fetch(run, record.guid, path, offset=self.at)

    def _last(self) -> Iterator[LogLine]:
        if self._partial:
            line, self._partial = self._partial, b""
            yield self._line(line)

    def _line(self, line: bytes) -> LogLine:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        return LogLine(self._record.label, self._name, text)


class _Feed(threading.Thread):
    """Follows the streams of one node, through lost workers and connections.

    Args:
        run: the run.
        node: the node.
        known: how much is known of each file.
        heard: where (file, place, bytes) go; and in the end an error, if it comes to that.
    """

    def __init__(self, run: Run, node: int, known: dict[str, int], heard: _Heard) -> None:
        super().__init__(name=f"nepiq-feed-{node}", daemon=True)
        self._run, self._node, self._known, self._heard = run, node, known, heard
        self._over = threading.Event()
        self._follow: client.Follow | None = None
        self._vain = 0

    def close(self) -> None:
        """End it."""
        self._over.set()
        if self._follow is not None:
            self._follow.close()

    def run(self) -> None:
        """Follow until :meth:`close`."""
        try:
            while not self._over.is_set():
                try:
                    self._once()
                except HostError:
                    # A node that is not deployed yet has nothing to follow.
                    ready = "READY" in self._run.record(self._node).milestones
                    self._vain += ready
                    if self._vain > RETRIES:
                        raise
                self._over.wait(_PAUSE)
        except Exception as error:  # noqa: BLE001 - whoever reads the lines is to get it
            self._heard.put(error)

    def _once(self) -> None:
        frames = Frames(self._known)
        with contact():
            self._follow = client.Follow(self._run, self._node, list(self._known.items()))
            if self._over.is_set():
                return
            for block in self._follow:
                for file, at, data in frames.cut(block):
                    self._vain = 0
                    self._known[file] = at + len(data)
                    self._heard.put((file, at, data))


class Frames:
    """Cuts what a host's follower prints; the form is written in ``supervisor.sh``.

    Args:
        files: those that were asked for: a host speaks of nothing else.
    """

    def __init__(self, files: Container[str]) -> None:
        self._files = files
        self._head = b""
        self._file, self._at, self._left = "", 0, 0

    def cut(self, block: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Yield file, place and bytes of what is in the next block.

        Raises:
            AnswerError: it is something else.
        """
        while block:
            if self._left:
                data, block = block[: self._left], block[self._left :]
                yield self._file, self._at, data
                self._at += len(data)
                self._left -= len(data)
                continue
            head, end, block = block.partition(b"\n")
            self._head += head
            if len(self._head) > _LONGEST_HEAD:
                raise _not_understood(self._head)
            if end:
                self._begin()

    def _begin(self) -> None:
        """Take the head of a frame, which is complete."""
        head, self._head = self._head, b""
        if head == b"beat" or head.startswith(b"no "):  # it says no, and ends
            return
        found = _HEAD.fullmatch(head)
        file = found[1].decode("ascii") if found else ""
        if found is None or file not in self._files:
            raise _not_understood(head)
        self._file, self._at, self._left = file, int(found[2]), int(found[3])


def _not_understood(head: bytes) -> AnswerError:
    return AnswerError(f"what the host sends of its outputs is not understood: {head[:80]!r}")


class _Following:
    """The streams of several applications, merged as they come."""

    def __init__(self, run: Run, records: Sequence[ResourceRecord]) -> None:
        self._run = run
        self._heard: _Heard = queue.Queue(8)
        self._records = {record.guid: record for record in records}
        self._sources: dict[str, _Source] = {}
        self._running: set[int] = set()
        self._feeds: dict[int, _Feed] = {}
        self._over = threading.Event()

    def lines(self) -> Iterator[LogLine]:
        """Yield the lines until all have ended."""
        events = threading.Thread(target=self._watch, name="nepiq-log-events", daemon=True)
        try:
            for record in self._records.values():
                yield from self._meet(record)
            events.start()
            while self._running:
                heard = self._heard.get()
                if isinstance(heard, Exception):
                    raise heard
                if isinstance(heard, int):
                    yield from self._meet(self._fresh(heard))
                else:
                    file, at, data = heard
                    if file in self._sources:
                        yield from self._sources[file].take(at, data)
        finally:
            self._close()

    def _meet(self, record: ResourceRecord) -> Iterator[LogLine]:
        """Take note of where an application is: it has begun, or ended, or begun anew."""
        guid = record.guid
        new = [_Source(self._run, record, name) for name in _streams(record)]
        earlier = self._of(guid)
        if {source.file for source in new} != earlier.keys():
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

    def _of(self, guid: int) -> dict[str, _Source]:
        return {f: s for f, s in self._sources.items() if f.startswith(f"{guid}/")}

    def _feed(self, node: int) -> None:
        """Follow what is to be followed on a node from now on."""
        if node in self._feeds:
            self._feeds[node].close()
        here = {guid for guid in self._running if self._records[guid].host == node}
        known = {file: source.at for guid in here for file, source in self._of(guid).items()}
        feed = self._feeds[node] = _Feed(self._run, node, known, self._heard)
        feed.start()

    def _fresh(self, guid: int) -> ResourceRecord:
        with contact():
            return self._run.record(guid)

    def _watch(self) -> None:
        """Say of which applications something has happened."""
        try:
            follower = Follower(self._run, sorted(self._records))
            for guid in self._records:
                self._heard.put(guid)
            while not self._over.is_set():
                events = follower.follow(_PAUSE)
                for guid in {event.guid for event in events} & self._records.keys():
                    self._heard.put(guid)
                if follower.phase == "GONE":
                    raise NotAllowed("the records of the run have expired")
        except Exception as error:  # noqa: BLE001 - whoever reads the lines is to get it
            self._heard.put(error)

    def _close(self) -> None:
        self._over.set()
        for feed in self._feeds.values():
            feed.close()
        # Nobody takes any more: whoever waits for room goes on, and sees that it is over.
        with self._heard.mutex:
            self._heard.maxsize = sys.maxsize
            self._heard.not_full.notify_all()
