"""Contents that a deployment brings along: found on this machine, deposited in Redis."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.contents import PIECE, ContentStore, check_size
from ..engine.transfer.regular_files import require_regular
from ..engine.transfer.sources import OneFile, Opened, Source, Tree
from ..errors import FileMissing
from ..model.contents import FILE, INLINE, TREE, Content
from .digests import Digest, DigestMemo, fingerprint
from .files import log_skipped

if TYPE_CHECKING:
    from ..settings import Settings

log = logging.getLogger("nepiq.experiment")

#: The time of all files in archives: that of no file, but one that tar does not warn of.
_TIME = 315_619_200 * 10**9  # 1980-01-02

_SHOW = 2.0  # seconds between two lines about progress

# One at a time in a process: experiments of a campaign that begin together need the same contents.
_turn = threading.Lock()


def _forked() -> None:
    global _turn  # noqa: PLW0603 - another thread of the parent may have held it
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_forked)


class Deposits:
    """Finds and deposits contents of this machine.

    Args:
        settings: the limit of one content, and where digests are remembered.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit = round(settings.content_limit * 1e6)
        self._memo = DigestMemo(settings.cache_home / "digests.json")

    def find(self, paths: Iterable[str]) -> dict[str, Content]:
        """Return the contents of files and directories, by path.

        Raises:
            FileMissing: one of them cannot be read.
            InvalidValue: it is a FIFO, a socket or a device, or too large.
        """
        with _turn:
            return {path: self._content(path) for path in dict.fromkeys(paths)}

    def bring(self, store: ContentStore, contents: Iterable[tuple[str, Content]]) -> None:
        """Deposit those contents, given with their paths, that are not in Redis yet.

        Raises:
            HostError: a file has been changed meanwhile.
            InvalidValue: Redis may not hold so many bytes.
        """
        absent = {
            content.sha256: (path, content) for path, content in contents if not content.inline
        }
        for path, content in absent.values():
            with _turn:
                steps = _Progress(path, content.size)
                store.deposit(content.sha256, path, partial(reading, path, content), steps)

    def _content(self, path: str) -> Content:
        place = _place(path)
        source, kind, mode = _source(path, place)
        if isinstance(source, Tree):
            log_skipped(path, source.skipped)
            states, newest = fingerprint(source.states()), source.newest
        else:
            status = place.stat()
            newest = max(status.st_mtime_ns, status.st_ctime_ns)
            states = fingerprint([(status.st_ino, status.st_size, status.st_mtime_ns, newest)])
        digest = self._memo.get(place, states)
        if digest is None:
            with _open(source) as opened:
                check_size(opened.size, path, self._limit)
                if kind == FILE and opened.size <= INLINE:
                    return Content.of(opened.read(opened.size), mode)
                progress = _Progress(path, opened.size, "reading")
                digest = Digest(_digest(opened, progress), opened.size)
            self._memo.put(place, states, newest, digest)
        check_size(digest.size, path, self._limit)
        return Content(*digest, kind, mode)


def _place(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _source(path: str, place: Path) -> tuple[Source, str, int]:
    """Return a source, its kind and permissions."""
    try:
        status = place.stat()
        if place.is_dir():
            return Tree.of(place, time=_TIME), TREE, 0o755
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileMissing(
            f"cannot read {path} on this machine: {reason} ({place})",
            hint="correct the path; relative ones begin in the working directory of the script",
        ) from None
    require_regular(place, status.st_mode)
    return OneFile(place), FILE, status.st_mode & 0o777


@contextmanager
def _open(source: Source) -> Iterator[Opened]:
    try:
        opened = source.open()
    except OSError as error:
        raise FileMissing(f"cannot read {error.filename}: {error.strerror}") from error
    try:
        yield opened
        opened.check()
    finally:
        opened.close()


def _digest(opened: Opened, progress: _Progress) -> str:
    digest, done = hashlib.sha256(), 0
    while done < opened.size:
        block = opened.read(min(PIECE, opened.size - done))
        if not block:
            opened.changed()
        digest.update(block)
        done += len(block)
        progress(done)
    return digest.hexdigest()


@contextmanager
def reading(path: str, content: Content) -> Iterator[_Checked]:
    """Open a content, which must be the one that was found.

    Raises:
        HostError: it has been changed, at the latest with its last byte.
    """
    source, _, _ = _source(path, _place(path))
    with _open(source) as opened:
        yield _Checked(opened, content)


class _Checked:
    """The bytes of a content, compared with its digest before the last of them is returned."""

    def __init__(self, opened: Opened, content: Content) -> None:
        self._opened, self._content = opened, content
        self._digest = hashlib.sha256()
        self._left = self.size = opened.size

    def read(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            HostError: they are not those that were found.
        """
        data = self._opened.read(count)
        self._digest.update(data)
        self._left -= len(data)
        if not data or (not self._left and self._digest.hexdigest() != self._content.sha256):
            self._opened.changed()
        return data


class _Progress:
    """Logs the progress of what takes long."""

    def __init__(self, path: str, size: int, verb: str = "depositing") -> None:
        self._path, self._size, self._verb = path, size, verb
        self._next = time.monotonic() + _SHOW

    def __call__(self, done: int) -> None:
        """Log it if the last line is old."""
        if time.monotonic() >= self._next and done < self._size:
            self._next = time.monotonic() + _SHOW
            megabytes = (done / 1e6, self._size / 1e6)
            log.info("%s %s: %.0f of %.0f MB", self._verb, self._path, *megabytes)
