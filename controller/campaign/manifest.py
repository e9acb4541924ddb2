"""The manifest of a file store: which run has which files, a line of JSON for each run.

The last line about a run counts. One file for all runs, since a file system has a block and an
inode for each file. A line is complete and on disk before :meth:`Manifest.append` returns; what a
writer that was killed has left of one is cut off by the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CampaignError
from .whole_file import replaced

_BLOCK = 1 << 16


class Manifest:
    """A file with a line for each run. Several processes may use it at the same time.

    Args:
        path: the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        #: Offset and length of the line of each run, as far as the file has been read.
        self._lines: dict[str, tuple[int, int]] = {}
        self._inode = self._end = 0

    def append(self, entries: Iterable[tuple[str, list[Any] | None]]) -> None:
        """Enter the files of runs, in place of those that they had; None removes a run.

        Raises:
            OSError: the file cannot be written. Nothing is entered.
        """
        lines = b"".join(_line(run_id, files) for run_id, files in entries)
        with self._path.open("ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _whole(file)
            file.truncate(end)
            try:
                view = memoryview(lines)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def runs(self) -> list[str]:
        """Return the ids of the runs, in order.

        Raises:
            CampaignError: the file is damaged.
        """
        with self._lock, self._opened():
            return sorted(self._lines)

    def files(self, run_id: str) -> list[Any]:
        """Return the files of a run; none for an unknown run.

        Raises:
            CampaignError: the file is damaged.
        """
        with self._lock, self._opened() as file:
            place = self._lines.get(run_id)
            if place is None or file is None:
                return []
            file.seek(place[0])
            return list(self._parsed(file.read(place[1]))["files"])

    def compact(self) -> None:
        """Leave out the lines that do not count. No other process may write it meanwhile."""
        if not self._path.exists():
            return
        entries = [(run_id, self.files(run_id)) for run_id in self.runs()]
        with replaced(self._path) as file:
            file.writelines(_line(run_id, files) for run_id, files in entries)

    # -- inside -------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO | None]:
        """Read the lines that are new; yield the file, None if it does not exist."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            self._lines.clear()
            self._inode = self._end = 0
            yield None
            return
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._end:
                self._lines.clear()
                self._inode, self._end = status.st_ino, 0
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # its writer was killed, or is writing it
                entry = self._parsed(line)
                if entry.get("files") is None:
                    self._lines.pop(entry["run"], None)
                else:
                    self._lines[entry["run"]] = self._end, len(line)
                self._end += len(line)
            yield file

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
            entry["run"]
        except (ValueError, TypeError, KeyError) as error:
            raise CampaignError(
                f"the manifest is damaged: {error}", where=str(self._path)
            ) from error
        return dict(entry)


def _line(run_id: str, files: list[Any] | None) -> bytes:
    data = {"run": run_id} if files is None else {"run": run_id, "files": files}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _whole(file: Any) -> int:
    """Return the length of a file without what follows its last line end."""
    end = int(os.fstat(file.fileno()).st_size)
    while end:
        begin = max(0, end - _BLOCK)
        at = os.pread(file.fileno(), end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0
