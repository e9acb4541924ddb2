"""Directories of a host as one stream each: an archive of what they hold, or a list of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from shlex import quote
from typing import NoReturn

from ...controller.engine.transfer.directories import LIST, MATCH, TREE, Gathered
from ...controller.engine.transfer.sources import parted
from ...controller.errors import FileMissing, HostError
from .attempt import MISSING
from .byte_streams import Judged, Stream
from .paths import OWN


class Tree(Stream):
    """A directory of a host, or what matches a pattern there; iterate over it.

    Attributes:
        facts: what the host says before it sends it.
        before: the checksum of what was not to be sent again; empty if there is none.
    """

    def __init__(self, talk: Judged, path: str, offset: int) -> None:
        super().__init__(talk)
        self._path = path
        self.before = ""
        try:
            with talk.placed():
                self.facts = self._understood(talk.line().split())
                if offset:
                    self.before = talk.line().removeprefix(b"sum ").decode("ascii", "replace")
        except BaseException:
            self.close()
            raise

    def _understood(self, words: Sequence[bytes]) -> Gathered:
        if not words:
            self._fail()
        kind = words[0].decode("ascii", "replace")
        if kind not in {TREE, MATCH, LIST} or not all(map(bytes.isdigit, words[1:3])):
            raise HostError(
                f"cannot read {self._path}: the host's answer is not understood",
                where=self._talk.where,
            )
        return Gathered(kind, *(int(word[:18]) for word in words[1:3]))

    def __iter__(self) -> Iterator[bytes]:
        with self._talk.placed():
            while block := self._talk.block(None):
                yield block
            if self._talk.channel.code():
                self._fail()

    def _fail(self) -> NoReturn:
        """Raise why the program broke off."""
        where = self._talk.where
        if self._talk.channel.code() == MISSING:
            raise FileMissing(f"cannot read {self._path}: there is no such directory", where=where)
        complaint = self._talk.channel.complaint
        raise HostError(f"cannot read {self._path}: {complaint or 'tar broke off'}", where=where)

    def __enter__(self) -> Tree:
        return self


def packing(folder: str, path: str, offset: int) -> str:
    """Return the command that sends a directory, or what matches a pattern; see ``archive.sh``.

    Args:
        folder: the run directory, quoted for a shell.
        path: relative to it.
        offset: how many bytes of the archive are known; their checksum comes before the others.
    """
    fixed, pattern = parted(path)
    excluded = " ".join(f"--exclude=./{name} --exclude=./{name}.t" for name in sorted(OWN))
    return (
        f"folder={folder} path={quote(path)} fixed={quote(fixed)} pattern={quote(pattern)} "
        f"offset={offset} excluded={quote(excluded)}\n{_script('archive')}"
    )


def listing(folder: str, path: str) -> str:
    """Return the command that lists a directory, with all below it; see ``listing.sh``.

    Args:
        folder: the run directory, quoted for a shell.
        path: relative to it.
    """
    pruned = " -o ".join(f"-path ./{name} -o -path ./{name}.t" for name in sorted(OWN))
    return f"folder={folder} path={quote(path)} pruned={quote(pruned)}\n{_script('listing')}"


@cache
def _script(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sh").read_text("utf-8")
