"""Directories of hosts as one stream each: an archive of what they hold, or a list of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import errors
from .attempts import Download

if TYPE_CHECKING:
    from ..run import Run

TREE, MATCH, LIST = "tree", "match", "list"
"""Contents of the stream: all that a directory holds, what matches a pattern, a list."""

_HINT = "fetch it again when nobody writes to it"


@dataclass(frozen=True)
class Gathered:
    """The facts that a host sends before a directory.

    Attributes:
        kind: TREE, MATCH or LIST.
        size: bytes in all files.
        sockets: how many sockets are left out.
    """

    kind: str
    size: int = 0
    sockets: int = 0


def gather(
    run: Run,
    guid: int,
    path: str,
    *,
    listing: bool = False,
    on_facts: Callable[[Gathered], None] = lambda facts: None,
) -> Generator[bytes, None, None]:
    """Yield a directory of a resource's host, or what matches a pattern, as an archive in blocks.

    If a worker is lost, the next one resumes where it stopped, provided that the host still sends
    the same bytes before that place.

    Args:
        run: the run.
        guid: the resource.
        path: relative to the resource's run directory; a directory or a pattern.
        listing: a list of what the directory holds instead, as ``find -printf`` writes it:
            ``kind size mtime mode name`` and NUL for each.
        on_facts: called with the facts, before the first byte.

    Raises:
        FileMissing: there is no such directory, or nothing that matches.
        TransferSilent: no worker of the site sends it.
        HostError: it cannot be read, or was changed while it was read.
    """
    yield from _DirectoryDownload(run, guid, path, listing, on_facts).receive()


class _DirectoryDownload(Download):
    """A directory, what matches a pattern, or a list."""

    task = "gather"

    def __init__(
        self,
        run: Run,
        guid: int,
        path: str,
        listing: bool,
        on_facts: Callable[[Gathered], None],
    ) -> None:
        super().__init__(run, guid, path)
        self._listing, self._on_facts = listing, on_facts
        self._whole = hashlib.sha256()
        self._attempt = hashlib.sha256()
        self._begun = False

    def arguments(self) -> list[Any]:
        return [self.offset, self._listing]

    def count(self, block: bytes) -> None:
        self._whole.update(block)
        self._attempt.update(block)

    def begin(self, info: Mapping[str, Any]) -> None:
        self._attempt = hashlib.sha256()
        if self.offset and info["before"] != self._whole.hexdigest():
            raise errors.HostError(f"{self.path} changed while it was read", hint=_HINT)
        if not self._begun:
            self._begun = True
            self._on_facts(Gathered(**info["facts"]))

    def end(self, sha256: str) -> None:
        if sha256 != self._attempt.hexdigest():
            raise errors.HostError(f"{self.path} arrived other than it was sent", hint=_HINT)
