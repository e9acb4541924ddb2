"""Outputs of resources: small ones from the run's records, others from the host."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import ClassNotImportable, FileMissing, HostError, TraceNotFound, UnknownType
from ...model import registry
from ...model.traces import Trace, TraceAttr
from . import attempts, client, directories, listing

if TYPE_CHECKING:
    from .. import Run
    from ..store.records import ResourceRecord
    from .directories import Gathered
    from .listing import RunFile

_NAMED = 200  # files of a run directory that an error looks at


class Reader(Protocol):
    """Reads files of hosts: as :mod:`.client` and :mod:`.directories`, or in another way."""

    def fetch(
        self,
        run: Run,
        guid: int,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        before: Any = None,
        on_facts: Callable[[client.FileFacts], None] = ...,
    ) -> Iterator[bytes]:
        """Yield a file in blocks; see :func:`.client.fetch`."""

    def gather(
        self,
        run: Run,
        guid: int,
        path: str,
        *,
        listing: bool = False,
        on_facts: Callable[[Gathered], None] = ...,
    ) -> Generator[bytes, None, None]:
        """Yield a directory, or what matches a pattern; see :func:`.directories.gather`."""


class ThroughRedis:
    """The reader for clients: the bytes come from a worker, through Redis."""

    fetch = staticmethod(client.fetch)
    gather = staticmethod(directories.gather)


class Outputs:
    """Reads the traces of a run's resources.

    Args:
        run: the run.
        reader: reads files of its hosts.

    Attributes:
        run: the run.
    """

    def __init__(self, run: Run, reader: Reader = ThroughRedis) -> None:
        self.run = run
        self._reader = reader

    def names(self, record: ResourceRecord) -> list[str]:
        """Return the names of the traces that it writes, and of outputs that came with the exit."""
        kept = {name for occ, name in self.run.store.outputs(record.guid) if occ == record.occ}
        written = [
            name
            for name, trace in _traces(record.rtype).items()
            if not trace.attribute
            and (not trace.needs or any(record.attributes.get(one) for one in trace.needs))
        ]
        return list(dict.fromkeys([*written, *sorted(kept)]))

    def read(
        self, record: ResourceRecord, name: str, *, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Yield a trace, or a file of the run directory, in blocks; flat in memory.

        Args:
            record: the resource.
            name: a trace, or a path relative to the run directory.
            offset: first byte.
            length: how many bytes; all that follow by default.

        Raises:
            TraceNotFound: there is no such trace or file; the error lists those that exist.
        """
        kept = self.kept(record, name)
        if kept is not None:
            yield kept[offset : None if length is None else offset + length]
            return
        yield from self.blocks(record, name, offset=offset, length=length)

    def blocks(
        self,
        record: ResourceRecord,
        name: str,
        *,
        offset: int = 0,
        length: int | None = None,
        **how: Any,
    ) -> Iterator[bytes]:
        """Yield the file of the host; ``how`` as for :func:`.client.fetch`."""
        path = self.path(record, name)
        try:
            yield from self._reader.fetch(
                self.run, record.guid, path, offset=offset, length=length, **how
            )
        except FileMissing as error:
            raise self._gone(record, name) from error

    def gather(
        self, record: ResourceRecord, name: str, on_facts: Callable[[Gathered], None]
    ) -> Generator[bytes, None, None]:
        """Yield a directory of the run directory, or what matches a pattern, as an archive.

        Args:
            record: the resource.
            name: relative to the run directory; ``.`` for all of it.
            on_facts: as for :func:`.directories.gather`.

        Raises:
            TraceNotFound: nothing has this name.
        """
        path = "." if name == "." and self.has_files(record) else self.path(record, name)
        try:
            yield from self._reader.gather(self.run, record.guid, path, on_facts=on_facts)
        except FileMissing as error:
            raise self._gone(record, name) from error

    def files(
        self, record: ResourceRecord, folder: str = "", limit: int = listing.LIMIT
    ) -> list[RunFile]:
        """List the files of a run directory and below it, in the order of their names.

        The files of the supervisor are left out.

        Args:
            record: the resource.
            folder: a directory in it; all of it if empty.
            limit: how many files at most.

        Raises:
            TraceNotFound: there is no such directory.
            HostError: there are more than ``limit``, or the host cannot be reached.
        """
        folder = str(PurePosixPath(folder))
        if not self.has_files(record):
            raise self.missing(record, folder)
        path = "." if folder == "." else self.path(record, folder)
        try:
            files, more = self._listed(record, path, limit)
        except FileMissing as error:
            if path == ".":
                return []  # the first file that is written creates it
            raise self._gone(record, folder) from error
        if more:
            raise HostError(
                f"more than {limit} files",
                where=record.label,
                hint="name a directory in it, or raise the limit",
            )
        return files

    def _listed(self, record: ResourceRecord, path: str, limit: int) -> tuple[list[RunFile], bool]:
        blocks = self._reader.gather(self.run, record.guid, path, listing=True)
        with contextlib.closing(blocks):
            return listing.parsed(blocks, record.label, path, limit)

    def size(self, record: ResourceRecord, name: str) -> int:
        """Return the length of a trace in bytes."""
        kept = self.kept(record, name)
        if kept is not None:
            return len(kept)
        try:
            return client.facts(self.run, record.guid, self.path(record, name)).size
        except FileMissing as error:
            raise self._gone(record, name) from error

    def kept(self, record: ResourceRecord, name: str) -> bytes | None:
        """Return a small trace that came with the exit or shows an attribute; None for others.

        Raises:
            TraceNotFound: the attribute has no value yet.
        """
        shown = _showing(record.rtype).get(name)
        if shown is None:
            return self.run.output(record.guid, name, record.occ)
        value = record.attributes.get(shown)
        if value is None or record.state == "STARTED":  # the value is of an earlier start
            raise self.missing(record, name)
        return f"{value}\n".encode()

    def place(self, record: ResourceRecord, name: str) -> str:
        """Return the path of a trace on its host; ``~`` is the home of the login user."""
        path = self.path(record, name)
        assert record.host is not None  # noqa: S101 - path() has checked it
        home = self.run.record(record.host).attributes.get("home") or "~"
        parts = (self.run.run_id, record.host, record.guid, record.occ, path)
        return str(PurePosixPath(home, ".nepiq", *map(str, parts)))

    def trace(
        self, guid: int, name: str, attr: TraceAttr, *, block: int, offset: int, text: bool
    ) -> Any:
        """Return one property of a trace; see :meth:`ExperimentController.trace`."""
        attempts.check_path(name)
        record = self.run.record(guid)
        if attr is TraceAttr.PATH:
            return self.place(record, name)
        if attr is TraceAttr.SIZE:
            return self.size(record, name)
        if attr is TraceAttr.STREAM:
            data = b"".join(self.read(record, name, offset=offset * block, length=block))
        else:
            data = b"".join(self.read(record, name))
        return data.decode("utf-8", "replace") if text else data

    def path(self, record: ResourceRecord, name: str) -> str:
        """Return the path of a trace relative to the run directory.

        Raises:
            TraceNotFound: there is none, or none yet.
        """
        if name in _showing(record.rtype):
            raise self.missing(record, name)
        path = PurePosixPath(declared(record.rtype).get(name, name))
        outside = path.is_absolute() or ".." in path.parts or not path.parts
        if outside or not self.has_files(record):
            raise self.missing(record, name)
        return str(path)

    def has_files(self, record: ResourceRecord) -> bool:
        """Return True if the resource can have a run directory."""
        return record.host is not None and record.state != "NEW"

    def _gone(self, record: ResourceRecord, name: str) -> TraceNotFound:
        """Return the error for a missing file; it lists what exists, also on the host."""
        try:
            files, _ = self._listed(record, ".", _NAMED)
        except HostError:
            files = []
        return self.missing(record, name, [printable(file.name) for file in files])

    def missing(
        self, record: ResourceRecord, name: str, existing: Sequence[str] = ()
    ) -> TraceNotFound:
        """Return the error for a missing trace; it lists what exists.

        Args:
            record: the resource.
            name: the trace.
            existing: the names of the files in the run directory, as far as they are known.
        """
        hint = ""
        known = [*self.names(record), *_showing(record.rtype)]
        if record.host is None:
            hint = "it runs on no host, so it writes no files"
        elif name in _showing(record.rtype):
            hint = f"it is no file, but told when it has ended; the resource is {record.state}"
        elif name in known and not has_started(record):
            hint = f"it is {record.state}: it has not written anything"
        elif name in known and not existing:
            hint = "its run directory has been removed, or its host cannot be reached any more"
        others = dict.fromkeys(one for one in (*known, *existing) if one != name)
        return TraceNotFound(name, others, where=record.label, hint=hint)


def printable(name: str) -> str:
    """Return the name of a file for a line of text, with escapes for control characters."""
    return name if name.isprintable() else ascii(name)


def has_started(record: ResourceRecord) -> bool:
    """Return True if the resource was STARTED; a release counts as every milestone."""
    started = record.milestones.get("STARTED")
    released = record.milestones.get("RELEASED", math.inf)
    return started is not None and started < released


def declared(rtype: str) -> dict[str, str]:
    """Return the files of the traces that a type declares, by name; none of an unknown type."""
    return {name: trace.file for name, trace in _traces(rtype).items() if not trace.attribute}


def _showing(rtype: str) -> dict[str, str]:
    """Return the attributes that traces of a type show, by name of the trace."""
    return {name: trace.attribute for name, trace in _traces(rtype).items() if trace.attribute}


def _traces(rtype: str) -> Mapping[str, Trace]:
    try:
        return registry.find(rtype).traces
    except (UnknownType, ClassNotImportable):
        return {}
