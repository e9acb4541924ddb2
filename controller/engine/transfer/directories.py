"""Directories of hosts, as one stream each: what they hold, or a list of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import errors
from .client import Tries, check_path, new_id, told_again
from .flow_control import DATA, FAILURE, INFO, Receiver

if TYPE_CHECKING:
    from ..run import Run

TREE, MATCH, LIST = "tree", "match", "list"
"""What comes: all that a directory holds, what matches a pattern, a list."""

_HINT = "fetch it again when nobody writes to it"


@dataclass(frozen=True)
class Gathered:
    """What a host says before it sends a directory.

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
    told: Callable[[Gathered], None] = lambda facts: None,
) -> Generator[bytes, None, None]:
    """Yield a directory of a resource's host, or what matches a pattern, as an archive in blocks.

    If a worker is lost, the next goes on where it stopped, where the host still says the same of
    what has come.

    Args:
        run: the run.
        guid: whose.
        path: relative to the resource's run directory; a directory or a pattern.
        listing: a list of what the directory holds instead, as ``find -printf`` writes it:
            ``kind size mtime mode name`` and NUL for each.
        told: called with what the host says, before the first byte.

    Raises:
        FileMissing: there is no such directory, or nothing that matches.
        TransferSilent: no worker of the site sends it.
        HostError: it cannot be read, or was changed while it was read.
    """
    check_path(path)
    queue = run.queue_of(guid)
    tries = Tries(run, new_id(), queue)
    taking = _Taking(path, told)
    while True:
        at = taking.offset
        try:
            with tries.next() as (ways, pulse, name):
                args = [run.run_id, guid, path, name, at, listing]
                run.call("nepiq.gather", queue, args, f"gather {path} of resource {guid}")
                for kind, payload in Receiver(run.store.redis, ways, pulse).messages():
                    if kind == DATA:
                        taking.count(payload)
                        yield payload
                    elif taking.over(kind, json.loads(payload)):
                        return
        except errors.TransferSilent:
            if tries.vain(moved=taking.offset > at):
                raise


class _Taking:
    """What has come of a directory, over all tries.

    Attributes:
        offset: how many bytes.
    """

    def __init__(self, path: str, told: Callable[[Gathered], None]) -> None:
        self.offset = 0
        self._path, self._told = path, told
        self._whole = hashlib.sha256()
        self._try = hashlib.sha256()
        self._known = False

    def count(self, block: bytes) -> None:
        """Take note of a block."""
        self.offset += len(block)
        self._whole.update(block)
        self._try.update(block)

    def over(self, kind: bytes, told: Mapping[str, Any]) -> bool:
        """Take what is told; True once all is there."""
        if kind == FAILURE:
            raise told_again(told)
        if kind == INFO:
            self._begin(**told)
            return False
        if told["sha256"] != self._try.hexdigest():
            raise errors.HostError(f"{self._path} arrived other than it was sent", hint=_HINT)
        return True

    def _begin(self, facts: Mapping[str, Any], before: str) -> None:
        self._try = hashlib.sha256()
        if self.offset and before != self._whole.hexdigest():
            raise errors.HostError(f"{self._path} changed while it was read", hint=_HINT)
        if not self._known:
            self._known = True
            self._told(Gathered(**facts))
