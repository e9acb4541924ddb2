"""An archive that a host sends, unpacked on this machine, whatever the host puts into it.

It goes into an empty directory of our own, as it comes. Links are made last, so that nothing can
be written through one; what leads out of the directory is left out. What is all there then goes to
its place. Nothing is unpacked but files, directories and links.
"""
# ruff: noqa: PTH117, PTH118, PTH120, PTH208 - names and targets stay as they are

from __future__ import annotations

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
"""Files, directories and links that an archive may hold."""

MOST_KEPT = 100_000
"""Directories and links among them, which are kept in memory until all has come."""

DEEPEST = 200
"""Directories that a file may lie in, one in the other."""

_HEADER = 1 << 16  # bytes of what describes one of them
_BLOCK = 1 << 18
_SHOWN = 10
_WRONG = (tarfile.TarError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)

Count = Callable[[int], None]


def told(skipped: Sequence[str]) -> str:
    """What was left out, as text; of much, the first."""
    shown = [printable(one) for one in skipped[:_SHOWN]]
    more = len(skipped) - len(shown)
    return "; ".join([*shown, f"and {more} more"] if more else shown)


class _Forward:
    """The bytes of an archive as a file that goes forward only.

    What is read while a header is taken has a limit, so that none can fill our memory.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._place = 0
        self._allowed = _HEADER
        self.last = b""

    def header(self) -> None:
        """What is read from now on is a header."""
        self._allowed = _HEADER

    def tell(self) -> int:
        """Place of the next byte."""
        return self._place

    def seek(self, place: int) -> None:
        """Pass over what comes before."""
        if place < self._place:
            raise ValueError("an archive is read forward")
        while self._place < place and self.content(min(place - self._place, _BLOCK)):
            pass

    def read(self, count: int) -> bytes:
        """The next bytes of a header; fewer at the end."""
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
        """The next bytes, some of ``most``; empty at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return self._rest
            self._rest = memoryview(block)
        found, self._rest = self._rest[:most], self._rest[most:]
        self._place += len(found)
        return found


class Unpacking:
    """An archive on its way into a directory.

    Args:
        blocks: its bytes.
        stage: an empty directory that nobody else writes to.
        count: called with how many bytes of files have been written.

    Attributes:
        skipped: what was left out, and why.
    """

    def __init__(self, blocks: Iterator[bytes], stage: Path, count: Count) -> None:
        self._input = _Forward(blocks)
        self._stage, self._count = stage, count
        self._written = self._entries = 0
        self._folders: list[tuple[str, int, int]] = []
        self._links: list[tuple[str, str, int]] = []
        self.skipped: list[str] = []

    def unpack(self) -> None:
        """Take all of it.

        Raises:
            HostError: it is no archive that can be taken; says why.
            OSError: this machine cannot write it.
        """
        try:
            source: Any = self._input  # of a file it needs no more than this has
            archive: Any = tarfile.TarFile(
                fileobj=source, mode="r", encoding="utf-8", errors="surrogateescape"
            )
            while member := self._next(archive):
                self._take(member)
            # A header that cannot be read looks like the end to tarfile.
            if self._input.last != bytes(tarfile.BLOCKSIZE):
                raise ValueError("it has no end")
        except _WRONG as error:
            raise _refused(str(error)) from error
        while self._input.content(_BLOCK):
            pass
        self._make_links()

    def _next(self, archive: Any) -> tarfile.TarInfo | None:
        self._input.header()
        member: tarfile.TarInfo | None = archive.next()
        archive.members = []  # it would keep all of them
        self._entries += 1
        if self._entries > MOST:
            raise _refused(f"more than {MOST} files", hint="fetch a part of it, or pack it there")
        return member

    def _take(self, member: tarfile.TarInfo) -> None:
        name = _inner(member.name)
        if member.isreg() and not member.issparse():
            self._write(name, member)
        elif member.isdir():
            (self._stage / name).mkdir(0o700, parents=True, exist_ok=True)
            self._folders.append((name, member.mode & 0o777, _nanoseconds(member)))
        elif member.issym():
            self._link(name, member)
        else:
            self._skip(name, "no regular file")
        if len(self._folders) + len(self._links) > MOST_KEPT:
            raise _refused(
                f"more than {MOST_KEPT} directories and links", hint="pack it on the host"
            )

    def _link(self, name: str, member: tarfile.TarInfo) -> None:
        end = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
        away = os.path.isabs(end) or end.split("/")[0] == ".."
        if away or not member.linkname or "\0" in member.linkname:
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
        if not member.size >= 0 or not name:
            raise ValueError("a file without a name or size")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "wb", buffering=0) as file:
            left = member.size
            while left:
                block = self._input.content(min(left, _BLOCK))
                if not block:
                    raise ValueError("it breaks off")
                left -= file.write(block)
                self._written += len(block)
                self._count(self._written)
            os.fchmod(number, member.mode & 0o777)
            os.utime(number, ns=(_nanoseconds(member),) * 2)

    def _make_links(self) -> None:
        """Make them, and remove those that lead out by way of others."""
        for name, target, mtime in self._links:
            path = self._stage / name
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            path.symlink_to(target)
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
        top = os.path.realpath(self._stage)
        away = [
            name
            for name, _, _ in self._links
            if not f"{os.path.realpath(self._stage / name)}/".startswith(f"{top}/")
        ]
        for name in away:
            (self._stage / name).unlink()
            self._skip(name, "a link that leads out")

    def move(self, goal: Path) -> None:
        """Bring what has been unpacked to its place; what is there already is added to.

        Raises:
            InvalidValue: a file is where a directory is to be, or the other way round.
            OSError: this machine cannot write it.
        """
        known = _merge(self._stage, goal)
        # From the innermost on, since a directory may not be writable any more.
        for name, mode, mtime in sorted(self._folders, reverse=True):
            if name not in known:
                folder = goal / name
                folder.chmod(mode)
                os.utime(folder, ns=(mtime, mtime))


def _merge(source: Path, goal: Path) -> set[str]:
    """Move a directory's content; the directories, by their inner names, that were there."""
    if not os.path.lexists(goal):
        source.rename(goal)
        return set()
    known, stack = {""}, [""]
    while stack:
        folder = stack.pop()
        for one in os.listdir(source / folder):
            name = f"{folder}/{one}" if folder else one
            old, new = goal / name, source / name
            was = old.lstat().st_mode if os.path.lexists(old) else 0
            becomes = new.lstat().st_mode
            if was and stat.S_ISDIR(was) != stat.S_ISDIR(becomes):
                what = "a directory" if stat.S_ISDIR(was) else "no directory"
                raise InvalidValue(f"{old} is {what}", hint="remove it, or name another place")
            if stat.S_ISDIR(was):
                known.add(name)
                stack.append(name)
                continue
            if was and not stat.S_ISLNK(was):
                require_regular(old, was)
            new.replace(old)
    return known


def _inner(name: str) -> str:
    """A name within the archive, in its shortest form; empty for the top."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ValueError(f"{name[:100]!r} leads out of it")
    if len(parts) > DEEPEST:
        raise ValueError(f"{name[:100]!r}... lies in more than {DEEPEST} directories")
    return "/".join(parts)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """When it was changed; exact where the archive is."""
    whole, _, rest = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    found = int(whole[:12]) * 10**9 + int(f"{rest:0<9.9}")
    return min(max(found, 0), 2**62)


def _refused(why: str, hint: str = "") -> HostError:
    return HostError(f"what the host sent is no archive that is unpacked: {why}", hint=hint)


def remove(stage: Path) -> None:
    """Remove a directory that is not needed any more."""
    shutil.rmtree(stage, ignore_errors=True)
