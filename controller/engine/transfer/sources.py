"""Sources of uploads: a file of this machine, or several as one archive.

An archive is never written to a disk. Its headers are made and its files are read on request. Its
bytes are always the same, so that any part of it can be read again.
"""
# ruff: noqa: PTH115, PTH117, PTH208 - names and targets stay as they are, and lists are long

from __future__ import annotations

import errno
import glob
import os
import stat
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol

from ...errors import FileMissing, HostError, InvalidValue
from .regular_files import kind_of, open_to_read

_BLOCK = 1 << 18


class Opened(Protocol):
    """An open source.

    Attributes:
        size: how many bytes it has.
        mode: its permissions; None for an archive, which the host unpacks.
    """

    size: int
    mode: int | None

    def seek(self, place: int) -> None:
        """Continue with this byte."""

    def read(self, count: int) -> bytes:
        """Return the next bytes; fewer at the end."""

    def check(self) -> None:
        """Raise if it has been changed since it was opened.

        Raises:
            HostError: it has.
        """

    def changed(self) -> NoReturn:
        """Raise the error that it has been changed."""

    def close(self) -> None:
        """Free it."""


class Source(Protocol):
    """A file or archive to send, which each transfer opens for itself."""

    def open(self) -> Opened:
        """Open it.

        Raises:
            OSError: this machine cannot read it.
        """


def _refuse(path: Path | str) -> NoReturn:
    raise HostError(
        f"{path} changed while it was read", hint="send it again when nobody writes to it"
    )


@dataclass(frozen=True)
class OneFile:
    """A regular file, as a source."""

    path: Path

    def open(self) -> Opened:
        """Open it; see :meth:`Source.open`."""
        return _OpenFile(self.path)


class _OpenFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_to_read(path)
        self._stat = os.fstat(self._file.fileno())
        self.size = self._stat.st_size
        self.mode: int | None = stat.S_IMODE(self._stat.st_mode)

    def seek(self, place: int) -> None:
        self._file.seek(place)

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def check(self) -> None:
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            self.changed()

    def changed(self) -> NoReturn:
        _refuse(self._path)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class _Entry:
    """One file, directory or link of a tree."""

    name: str  # in the tree
    mode: int  # with its kind, as stat(2) has it
    size: int
    mtime: int  # in nanoseconds
    target: str = ""  # of a link
    identity: tuple[int, int] = (0, 0)  # inode, and last change in nanoseconds

    def header(self, time: int | None) -> bytes:
        """Return its header in an archive (pax of POSIX.1-2001), with its own time or another."""
        info = tarfile.TarInfo(f"./{self.name}")
        info.mode, info.size = stat.S_IMODE(self.mode), self.size
        seconds, rest = divmod(self.mtime if time is None else time, 10**9)
        info.mtime = seconds
        if rest and seconds >= 0:
            info.pax_headers = {"mtime": f"{seconds}.{rest:09d}"}
        if stat.S_ISDIR(self.mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(self.mode):
            info.type, info.linkname = tarfile.SYMTYPE, self.target
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@dataclass
class Tree:
    """Files, directories and links of this machine, as a source.

    Attributes:
        folder: the directory that their names are relative to.
        skipped: the files that are left out, and why.
        time: the time of all of them in the archive, in nanoseconds since the epoch, so that it
            depends on contents alone; None for their own.
    """

    folder: Path
    skipped: list[str] = field(default_factory=list)
    time: int | None = None
    _entries: list[_Entry] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, names: Sequence[str] = ("",), *, time: int | None = None) -> Tree:
        """Scan a directory, or some names in it.

        Links that lead out of it, FIFOs, sockets and devices are left out.

        Raises:
            FileMissing: a file cannot be read.
        """
        tree = cls(folder, time=time)
        # The next one at the end.
        stack = sorted(names, reverse=True)
        try:
            while stack:
                name = stack.pop()
                if tree._add(name):
                    below = sorted(os.listdir(folder / name), reverse=True)
                    stack += [f"{name}/{one}" if name else one for one in below]
        except OSError as error:
            place = error.filename or folder
            raise FileMissing(f"cannot read {place} on this machine: {error.strerror}") from error
        return tree

    def _add(self, name: str) -> bool:
        """Add a file, directory or link; return True for a directory."""
        path = self.folder / name
        status = path.lstat() if name else path.stat()
        size, target = 0, ""
        if stat.S_ISREG(status.st_mode):
            size = status.st_size
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
            if os.path.isabs(target) or not _inside(path, self.folder):
                self.skipped.append(f"{name}: a link that leads out")
                return False
        elif not stat.S_ISDIR(status.st_mode):
            self.skipped.append(f"{name}: {kind_of(status.st_mode)}")
            return False
        identity = (status.st_ino, status.st_ctime_ns)
        entry = _Entry(name, status.st_mode, size, status.st_mtime_ns, target, identity)
        self._entries.append(entry)
        return stat.S_ISDIR(status.st_mode)

    def open(self) -> Opened:
        """Open it as an archive; see :meth:`Source.open`."""
        return _Archive(self.folder, self._entries, self.time)

    def states(self) -> Iterator[tuple[object, ...]]:
        """Yield what changes whenever a file of it does: name, mode, size, times, inode, target."""
        for one in self._entries:
            yield (one.name, one.mode, one.size, one.mtime, *one.identity, one.target)

    @property
    def newest(self) -> int:
        """The latest change of any of its files, in nanoseconds since the epoch."""
        return max((max(one.mtime, one.identity[1]) for one in self._entries), default=0)


def _inside(link: Path, folder: Path) -> bool:
    top = os.path.realpath(folder)
    end = os.path.realpath(link)
    return end == top or end.startswith(top.rstrip("/") + "/")


def matching(pattern: str) -> Tree:
    """Return the files of this machine that match a pattern, relative to its fixed first part.

    Raises:
        FileMissing: nothing matches, or a file cannot be read.
    """
    fixed, rest = parted(pattern)
    folder = Path(fixed or ".")
    matches = glob.glob(rest, root_dir=folder)  # noqa: PTH207 - as a shell has it
    names = [name.rstrip("/") for name in matches]
    if not names:
        raise FileMissing(f"nothing on this machine matches {pattern}")
    return Tree.of(folder, names)


def is_pattern(path: str) -> bool:
    """Return True if a path has wildcards: ``*``, ``?`` or ``[``."""
    return any(sign in path for sign in "*?[")


def parted(pattern: str) -> tuple[str, str]:
    """Return a path before its first part with wildcards, and the rest."""
    parts = pattern.split("/")
    at = next((n for n, part in enumerate(parts) if is_pattern(part)), len(parts))
    fixed = "/".join(parts[:at])
    return fixed or ("/" if pattern.startswith("/") else ""), "/".join(parts[at:])


class _Archive:
    """The bytes of a tree as an archive."""

    mode: int | None = None

    def __init__(self, folder: Path, entries: Sequence[_Entry], time: int | None) -> None:
        self._folder, self._entries, self._time = folder, entries, time
        self._starts = []
        place = 0
        for entry in entries:
            self._starts.append(place)
            place += len(entry.header(time)) + entry.size + -entry.size % tarfile.BLOCKSIZE
        self._end = place
        self.size = place + 2 * tarfile.BLOCKSIZE
        self.seek(0)

    def seek(self, place: int) -> None:
        self._pieces = self._from(place)
        self._rest = b""

    def read(self, count: int) -> bytes:
        parts, size = [self._rest], len(self._rest)
        while size < count and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            size += len(piece)
        data = b"".join(parts)
        self._rest = data[count:]
        return data[:count]

    def check(self) -> None:
        """Do nothing: each file is checked when it is read."""

    def changed(self) -> NoReturn:
        _refuse(self._folder)

    def close(self) -> None:
        self._pieces = iter(())

    def _from(self, place: int) -> Iterator[bytes]:
        for at in range(max(0, bisect_right(self._starts, place) - 1), len(self._entries)):
            entry, skip = self._entries[at], max(0, place - self._starts[at])
            header = entry.header(self._time)
            yield header[skip:]
            yield from self._content(entry, max(0, skip - len(header)))
        yield bytes(self.size - max(place, self._end))

    def _content(self, entry: _Entry, skip: int) -> Iterator[bytes]:
        """Yield the bytes of a file, and zeros up to a whole block."""
        whole = entry.size + -entry.size % tarfile.BLOCKSIZE
        if skip < entry.size:
            path = self._folder / entry.name
            with _unchanged(path, entry) as file:
                file.seek(skip)
                while skip < entry.size:
                    block = file.read(min(_BLOCK, entry.size - skip))
                    if not block:
                        _refuse(path)
                    skip += len(block)
                    yield block
                _compare(path, file, entry)
        yield bytes(max(0, whole - skip))


def _unchanged(path: Path, entry: _Entry) -> BinaryIO:
    try:
        file = open_to_read(path, os.O_NOFOLLOW)
    except (OSError, InvalidValue):
        _refuse(path)
    try:
        _compare(path, file, entry)
    except BaseException:
        file.close()
        raise
    return file


def _compare(path: Path, file: BinaryIO, entry: _Entry) -> None:
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (entry.size, entry.mtime):
        _refuse(path)
