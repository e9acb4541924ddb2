"""Safe unpacking of an archive that an untrusted host sends.

The archive is unpacked into an empty directory as it arrives. Links are created last, so that
nothing can be written through one; links that lead out of the directory are skipped. When it is
complete, the content is moved to its destination. Only files, directories and links are unpacked.
"""
# ruff: noqa: PTH117, PTH118, PTH120, PTH208 - names and targets stay as they are

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..engine.transfer.outputs import printable
from ..engine.transfer.regular_files import require_regular
from ..errors import HostError, InvalidValue

MOST = 1_000_000
"""Largest number of files, directories and links in an archive."""

MOST_KEPT = 100_000
"""Largest number of directories and links among them, which are held in memory until the end."""

DEEPEST = 200
"""Largest depth of nested directories."""

_HEADER = 1 << 16  # bytes of a header
_BLOCK = 1 << 18
_SHOWN = 10
_WRONG = (tarfile.TarError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)

Count = Callable[[int], None]


def skipped_text(skipped: Sequence[str]) -> str:
    """Return a text that lists the first skipped files."""
    entries = [printable(item) for item in skipped[:_SHOWN]]
    more = len(skipped) - len(entries)
    return "; ".join([*entries, f"and {more} more"] if more else entries)


class _ForwardReader:
    """The bytes of an archive as a file that is read forward only.

    The size of headers is limited, so that none can exhaust the memory.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._offset = 0
        self._allowed = _HEADER
        self.last = b""

    def header(self) -> None:
        """Begin a header, with a new size limit."""
        self._allowed = _HEADER

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._offset

    def seek(self, offset: int) -> None:
        """Skip the bytes before an offset."""
        if offset < self._offset:
            raise ValueError("an archive is read forward")
        while self._offset < offset and self.content(min(offset - self._offset, _BLOCK)):
            pass

    def read(self, count: int) -> bytes:
        """Return the next bytes of a header; fewer at the end."""
        self._allowed -= count
        if count < 0 or self._allowed < 0:
            raise ValueError("a header is too long")
        parts = []
        while count and (part := self.content(count)):
            parts.append(part)
            count -= len(part)
        self.last = b"".join(parts)
        return self.last

    def content(self, most: int) -> memoryview:
        """Return at most ``most`` of the next bytes; empty at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return self._rest
            self._rest = memoryview(block)
        content, self._rest = self._rest[:most], self._rest[most:]
        self._offset += len(content)
        return content


def members(blocks: Iterator[bytes]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield name and content of each regular file of an archive; others are skipped.

    The content of a file must have been read, or is skipped, when the next one is asked for.

    Raises:
        HostError: it is not a valid archive, or exceeds a limit.
    """
    reader = _ForwardReader(blocks)
    try:
        for member in _entries(reader):
            if member.isreg() and not member.issparse():
                yield _relative(member.name), _content(reader, member)
    except _WRONG as error:
        raise _refused(str(error)) from error


def _entries(reader: _ForwardReader) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of an archive.

    Raises:
        ValueError: it has no end.
    """
    source: Any = reader  # has the methods of a file that tarfile uses
    archive: Any = tarfile.TarFile(
        fileobj=source, mode="r", encoding="utf-8", errors="surrogateescape"
    )
    for number in itertools.count(1):
        reader.header()
        member: tarfile.TarInfo | None = archive.next()
        archive.members = []  # tarfile would keep all of them
        if member is None:
            break
        if number > MOST:
            raise _refused(
                f"more than {MOST} files", hint="fetch a part of it, or pack it on the host"
            )
        yield member
    # tarfile takes an unreadable header for the end.
    if reader.last != bytes(tarfile.BLOCKSIZE):
        raise ValueError("its end is missing")


def _content(reader: _ForwardReader, member: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield the content of a file of an archive.

    Raises:
        HostError: the archive is truncated.
    """
    remaining = member.size
    if remaining < 0:
        raise _refused("a file without a size")
    while remaining:
        block = reader.content(min(remaining, _BLOCK))
        if not block:
            raise _refused("it is truncated")
        remaining -= len(block)
        yield bytes(block)


class Unpacking:
    """The unpacking of one archive into a directory.

    Args:
        blocks: the bytes of the archive.
        stage: an empty directory that no other code writes to.
        count: called with the number of bytes written to files.

    Attributes:
        skipped: the entries that were skipped, with reasons.
    """

    def __init__(self, blocks: Iterator[bytes], stage: Path, count: Count) -> None:
        self._input = _ForwardReader(blocks)
        self._stage, self._count = stage, count
        self._written = 0
        self._folders: list[tuple[str, int, int]] = []
        self._links: list[tuple[str, str, int]] = []
        self.skipped: list[str] = []

    def unpack(self) -> None:
        """Unpack the whole archive.

        Raises:
            HostError: it is not a valid archive, or exceeds a limit.
            OSError: it cannot be written on this machine.
        """
        try:
            for member in _entries(self._input):
                self._unpack(member)
        except _WRONG as error:
            raise _refused(str(error)) from error
        while self._input.content(_BLOCK):
            pass
        self._make_links()

    def _unpack(self, member: tarfile.TarInfo) -> None:
        name = _relative(member.name)
        if member.isreg() and not member.issparse():
            self._write(name, member)
        elif member.isdir():
            (self._stage / name).mkdir(0o700, parents=True, exist_ok=True)
            self._folders.append((name, member.mode & 0o777, _nanoseconds(member)))
        elif member.issym():
            self._link(name, member)
        else:
            self._skip(name, "not a regular file")
        if len(self._folders) + len(self._links) > MOST_KEPT:
            raise _refused(
                f"more than {MOST_KEPT} directories and links", hint="pack it on the host"
            )

    def _link(self, name: str, member: tarfile.TarInfo) -> None:
        target = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
        outside = os.path.isabs(target) or target.split("/")[0] == ".."
        if outside or not member.linkname or "\0" in member.linkname:
            self._skip(name, "a link that leads out")
        else:
            self._links.append((name, member.linkname, _nanoseconds(member)))

    def _skip(self, name: str, why: str) -> None:
        if len(self.skipped) < MOST_KEPT:
            self.skipped.append(f"{name}: {why}")

    def _write(self, name: str, member: tarfile.TarInfo) -> None:
        path = self._stage / name
        if "/" in name:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
        if not name:
            raise ValueError("a file without a name")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "wb", buffering=0) as file:
            for block in _content(self._input, member):
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
                self._written += len(block)
                self._count(self._written)
            os.fchmod(number, member.mode & 0o777)
            os.utime(number, ns=(_nanoseconds(member),) * 2)

    def _make_links(self) -> None:
        """Create the links, and remove those that lead out through other links."""
        for name, target, mtime in self._links:
            path = self._stage / name
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            path.symlink_to(target)
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
        top = os.path.realpath(self._stage)
        outside = [
            name
            for name, _, _ in self._links
            if not f"{os.path.realpath(self._stage / name)}/".startswith(f"{top}/")
        ]
        for name in outside:
            (self._stage / name).unlink()
            self._skip(name, "a link that leads out")

    def move(self, target: Path) -> None:
        """Move the unpacked content to its destination, merging it with what exists there.

        Raises:
            InvalidValue: a file exists in place of a directory, or the other way round.
            OSError: it cannot be written on this machine.
        """
        existing = _merge(self._stage, target)
        # Innermost first, since the new mode may make a directory unwritable.
        for name, mode, mtime in sorted(self._folders, reverse=True):
            if name not in existing:
                folder = target / name
                folder.chmod(mode)
                os.utime(folder, ns=(mtime, mtime))


def _merge(source: Path, target: Path) -> set[str]:
    """Move a directory's content; return the relative names of directories that existed."""
    if not os.path.lexists(target):
        source.rename(target)
        return set()
    existing, stack = {""}, [""]
    while stack:
        folder = stack.pop()
        for entry in os.listdir(source / folder):
            name = f"{folder}/{entry}" if folder else entry
            old, new = target / name, source / name
            old_mode = old.lstat().st_mode if os.path.lexists(old) else 0
            new_mode = new.lstat().st_mode
            if old_mode and stat.S_ISDIR(old_mode) != stat.S_ISDIR(new_mode):
                kind = "a directory" if stat.S_ISDIR(old_mode) else "not a directory"
                raise InvalidValue(f"{old} is {kind}", hint="remove it, or choose another path")
            if stat.S_ISDIR(old_mode):
                existing.add(name)
                stack.append(name)
                continue
            if old_mode and not stat.S_ISLNK(old_mode):
                require_regular(old, old_mode)
            new.replace(old)
    return existing


def _relative(name: str) -> str:
    """Return the normal form of a name in the archive; empty for the top.

    Raises:
        ValueError: it leads out of the archive, or is nested too deeply.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ValueError(f"{name[:100]!r} leads out of it")
    if len(parts) > DEEPEST:
        raise ValueError(f"{name[:100]!r}... is nested in more than {DEEPEST} directories")
    return "/".join(parts)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """Return the modification time, exact if the archive has the fraction."""
    whole, _, rest = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    total = int(whole[:12]) * 10**9 + int(f"{rest:0<9.9}")
    return min(max(total, 0), 2**62)


def _refused(problem: str, hint: str = "") -> HostError:
    return HostError(f"the archive from the host cannot be unpacked: {problem}", hint=hint)


def remove(stage: Path) -> None:
    """Remove a directory and its content."""
    shutil.rmtree(stage, ignore_errors=True)
