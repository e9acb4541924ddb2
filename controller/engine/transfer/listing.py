"""Listings: the files of the run directory of a resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...errors import HostError

LIMIT = 10_000
"""Default for the most files that are listed."""

_KINDS = {
    b"f": "file",
    b"d": "directory",
    b"l": "link",
    b"p": "fifo",
    b"s": "socket",
    b"c": "device",
    b"b": "device",
}
_LINE = re.compile(rb"(.) (\d{1,18}) (-?\d{1,18})(\.\d*)? ([0-7]{1,5}) (.{1,4096})", re.DOTALL)
_LONGEST = 4200  # bytes of a line


@dataclass(frozen=True)
class RunFile:
    """A file of a run directory.

    Attributes:
        name: its path, relative to the run directory. Bytes that are not UTF-8 are as
            `os.fsdecode` returns them.
        kind: ``file``, ``directory``, ``link``, ``fifo``, ``socket`` or ``device``.
        size: its length in bytes.
        mtime: when it was last changed, in seconds since the epoch by the host's clock.
        mode: its permissions.
    """

    name: str
    kind: str
    size: int
    mtime: float
    mode: int


def parsed(
    blocks: Iterator[bytes], label: str, folder: str = "", limit: int = LIMIT
) -> tuple[list[RunFile], bool]:
    """Parse the list of a directory that a host sends.

    Args:
        blocks: the list, as :func:`.directories.gather` yields it.
        label: the resource, for errors.
        folder: the directory, relative to the run directory.
        limit: how many files at most.

    Returns:
        The files in the order of their names, and whether there are more.

    Raises:
        HostError: the host sent something else.
    """
    files: list[RunFile] = []
    before = str(PurePosixPath(folder, "_"))[:-1]
    for line in _lines(blocks):
        if len(files) == limit:
            return sorted(files, key=_name), True
        files.append(_parsed(line, before, label))
    return sorted(files, key=_name), False


def _name(file: RunFile) -> str:
    return file.name


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\0")
        yield from lines
        if len(rest) > _LONGEST:
            break
    if rest:
        yield rest


def _parsed(line: bytes, before: str, label: str) -> RunFile:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise HostError("the host's answer is not understood", where=label)
    kind, size, seconds, rest, mode, name = parts.groups()
    return RunFile(
        before + name.decode("utf-8", "surrogateescape"),
        _KINDS.get(kind, "file"),
        int(size),
        # A host with a broken clock is served too: times within what calendars support.
        min(max(float(seconds + (rest or b"")[:10]), -1e10), 1e11),
        int(mode, 8),
    )
