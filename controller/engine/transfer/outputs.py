"""What resources wrote: from the run's records where it is small, from the host where not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ...errors import ClassNotImportable, FileMissing, HostError, TraceNotFound, UnknownType
from ...model import registry
from ...model.traces import Trace, TraceAttr
from . import client, directories, listing

if TYPE_CHECKING:
    from .. import Run
    from ..store.records import ResourceRecord
    from .directories import Gathered
    from .listing import RunFile

_NAMED = 200  # files of a run directory that an error looks at


class Outputs:
    """Reads the traces of a run's resources.

    Attributes:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def names(self, record: ResourceRecord) -> list[str]:
        """The files that a resource's type declares as traces, and what came with its exit."""
        kept = {name for occ, name in self.run.store.outputs(record.guid) if occ == record.occ}
        return list(dict.fromkeys([*declared(record.rtype), *sorted(kept)]))

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
            TraceNotFound: there is no such trace or file; lists what there is.
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
        """The same from the host, whatever the records hold; ``how`` as for ``transfer.fetch``."""
        path = self.path(record, name)
        try:
            yield from client.fetch(
                self.run, record.guid, path, offset=offset, length=length, **how
            )
        except FileMissing as error:
            raise self._gone(record, name) from error

    def gather(
        self, record: ResourceRecord, name: str, told: Callable[[Gathered], None]
    ) -> Generator[bytes, None, None]:
        """Yield a directory of the run directory, or what matches a pattern, as an archive.

        Args:
            record: the resource.
            name: relative to the run directory; ``.`` for all of it.
            told: as for :func:`gathering.gather`.

        Raises:
            TraceNotFound: there is nothing of this name.
        """
        path = "." if name == "." and self.has_files(record) else self.path(record, name)
        try:
            yield from directories.gather(self.run, record.guid, path, told=told)
        except FileMissing as error:
            raise self._gone(record, name) from error

    def files(
        self, record: ResourceRecord, folder: str = "", limit: int = listing.LIMIT
    ) -> list[RunFile]:
        """List what a run directory holds, with all below it, in the order of their names.

        What the supervisor keeps there is left out.

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
            found, more = self._listed(record, path, limit)
        except FileMissing as error:
            if path == ".":
                return []  # made by the first thing that is written to it
            raise self._gone(record, folder) from error
        if more:
            raise HostError(
                f"more than {limit} files",
                where=record.label,
                hint="name a directory in it, or raise the limit",
            )
        return found

    def _listed(self, record: ResourceRecord, path: str, limit: int) -> tuple[list[RunFile], bool]:
        blocks = directories.gather(self.run, record.guid, path, listing=True)
        with contextlib.closing(blocks):
            return listing.parsed(blocks, record.label, path, limit)

    def size(self, record: ResourceRecord, name: str) -> int:
        """Length of a trace in bytes."""
        kept = self.kept(record, name)
        if kept is not None:
            return len(kept)
        try:
            return client.facts(self.run, record.guid, self.path(record, name)).size
        except FileMissing as error:
            raise self._gone(record, name) from error

    def kept(self, record: ResourceRecord, name: str) -> bytes | None:
        """A small trace that came with the exit or shows an attribute; None if it is neither.

        Raises:
            TraceNotFound: the attribute has no value yet.
        """
        shown = _showing(record.rtype).get(name)
        if shown is None:
            return self.run.output(record.guid, name, record.occ)
        value = record.attributes.get(shown)
        if value is None or record.state == "STARTED":  # what is known is of an earlier start
            raise self.missing(record, name)
        return f"{value}\n".encode()

    def place(self, record: ResourceRecord, name: str) -> str:
        """Where a trace is on its host; ``~`` is the home of the user who logs in there."""
        path = self.path(record, name)
        assert record.host is not None  # noqa: S101 - path() has looked
        home = self.run.record(record.host).attributes.get("home") or "~"
        parts = (self.run.run_id, record.host, record.guid, record.occ, path)
        return str(PurePosixPath(home, ".nepiq", *map(str, parts)))

    def trace(
        self, guid: int, name: str, attr: TraceAttr, *, block: int, offset: int, text: bool
    ) -> Any:
        """One property of a trace, as :meth:`ExperimentController.trace` gives it."""
        client.check_path(name)
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
        """The file of a trace, relative to the run directory.

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
        """True if the resource can have a run directory."""
        return record.host is not None and record.state != "NEW"

    def _gone(self, record: ResourceRecord, name: str) -> TraceNotFound:
        """The error for what its host does not have; says what there is, on the host too."""
        try:
            found, _ = self._listed(record, ".", _NAMED)
        except HostError:
            found = []
        return self.missing(record, name, [printable(file.name) for file in found])

    def missing(
        self, record: ResourceRecord, name: str, there: Sequence[str] = ()
    ) -> TraceNotFound:
        """The error for a trace that is not there; says what there is.

        Args:
            record: the resource.
            name: the trace.
            there: the files of the run directory, as far as they are known.
        """
        hint = ""
        known = [*self.names(record), *_showing(record.rtype)]
        if record.host is None:
            hint = "it runs on no host, so it writes no files"
        elif name in _showing(record.rtype):
            hint = f"it is no file, but told when it has ended; the resource is {record.state}"
        elif name in known and not has_started(record):
            hint = f"it is {record.state}: it has not written anything"
        elif name in known and not there:
            hint = "its run directory has been removed, or its host cannot be reached any more"
        others = dict.fromkeys(one for one in (*known, *there) if one != name)
        return TraceNotFound(name, others, where=record.label, hint=hint)


def printable(name: str) -> str:
    """The name of a file as text for a line: what cannot be printed is escaped."""
    return name if name.isprintable() else ascii(name)


def has_started(record: ResourceRecord) -> bool:
    """True if the resource has been STARTED; a release alone counts as every milestone."""
    started = record.milestones.get("STARTED")
    released = record.milestones.get("RELEASED", math.inf)
    return started is not None and started < released


def declared(rtype: str) -> dict[str, str]:
    """The files of the traces that a type declares, by name; none if it is not known here."""
    return {name: trace.file for name, trace in _traces(rtype).items() if not trace.attribute}


def _showing(rtype: str) -> dict[str, str]:
    """The attributes that traces of a type show, by name of the trace."""
    found = _traces(rtype).items()
    return {name: trace.attribute for name, trace in found if trace.attribute}


def _traces(rtype: str) -> Mapping[str, Trace]:
    try:
        return registry.find(rtype).traces
    except (UnknownType, ClassNotImportable):
        return {}
