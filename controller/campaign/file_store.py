"""The file store of a campaign: the files of its runs, each content once.

::

    results/
        files/3f/3f2a91...      a content, by its SHA-256
        runs/2026....json       the manifest of a run: its files, with their contents

Contents are complete and on disk before a manifest refers to them. A process that is killed leaves
at most a content without a manifest, which :meth:`FileStore.prune` removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import CampaignError, FileMissing, InvalidValue, NepiqError, TraceNotFound
from ..errors.text import quoted
from ..model.names import check_name
from ..reports.words import size
from .row import FAILED
from .whole_file import replaced

Keep = Literal["failed", "all", "none"]

_KEEPS = ("failed", "all", "none")
_BLOCK = 1 << 20
_PART = ".part"


@dataclass(frozen=True)
class StoredFile:
    """A file of a run.

    Attributes:
        label: label of the resource.
        name: name of the trace, or path in the run directory.
        sha256: checksum of the content, in hexadecimal; empty if it is missing.
        bytes: size of the content.
        error: why the file is missing; else empty.
    """

    label: str
    name: str
    sha256: str = ""
    bytes: int = 0
    error: str = ""


class FileStore:
    """A folder with the files of runs. Several processes may use it at the same time.

    Args:
        folder: the folder; it is created.
        keep: the runs whose files are kept: ``failed``, ``all`` or ``none``.

    Raises:
        InvalidValue: ``keep`` is invalid.
        FileMissing: the folder cannot be created.
    """

    def __init__(self, folder: str | Path, keep: Keep = "all") -> None:
        if keep not in _KEEPS:
            raise InvalidValue(
                f"keep cannot be {quoted(keep)}", hint=f"choose one of {', '.join(_KEEPS)}"
            )
        self.folder = Path(folder)
        self.keep = keep
        try:
            (self.folder / "files").mkdir(parents=True, exist_ok=True)
            (self.folder / "runs").mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def keeps(self, outcome: str) -> bool:
        """Return whether the files of a run with this outcome are kept."""
        return self.keep == "all" or (self.keep == "failed" and outcome == FAILED)

    def require(self, count: int) -> None:
        """Refuse to begin if the disk has less space than needed.

        Args:
            count: number of bytes.

        Raises:
            CampaignError: there is less.
        """
        free = shutil.disk_usage(self.folder).free
        if free < count:
            raise CampaignError(
                f"the disk has {size(free)}, the campaign needs {size(count)}",
                where=str(self.folder),
                hint="make room, choose another folder, or keep the files of failed runs only",
            )

    def add(
        self, run_id: str, files: Iterable[tuple[str, str, Iterable[bytes]]]
    ) -> list[StoredFile]:
        """Store the files of a run, block by block, in place of those that it had.

        A file that cannot be read is recorded as missing, with the reason.

        Args:
            run_id: id of the run.
            files: label, name and blocks of each file.

        Returns:
            The stored and missing files.

        Raises:
            FileMissing: the folder cannot be written.
            InvalidValue: ``run_id``, a label or a name is invalid.
        """
        path = self._manifest(run_id)
        with self._locked(fcntl.LOCK_SH):
            stored = [self._store(*file) for file in files]
            text = json.dumps([asdict(file) for file in stored], ensure_ascii=False, indent=1)
            with replaced(path) as manifest:
                manifest.write(text.encode() + b"\n")
        return stored

    def runs(self) -> list[str]:
        """Return the ids of the runs that have files, in order."""
        return sorted(path.stem for path in (self.folder / "runs").glob("*.json"))

    def files(self, run_id: str) -> list[StoredFile]:
        """Return the stored and missing files of a run; none for an unknown run.

        Raises:
            CampaignError: its manifest is damaged.
        """
        path = self._manifest(run_id)
        try:
            return [StoredFile(**file) for file in json.loads(path.read_bytes())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise CampaignError(f"the manifest is damaged: {error}", where=str(path)) from error

    def path(self, run_id: str, label: str, name: str) -> Path:
        """Return the file that has the content of a trace. It must not be changed.

        Raises:
            TraceNotFound: the run has no such file; the message has near misses, or why it is
                missing.
        """
        stored = {(file.label, file.name): file for file in self.files(run_id)}
        file = stored.get((label, name))
        if file is None or not file.sha256:
            known = [f"{of}/{its}" for (of, its), item in stored.items() if item.sha256]
            reason = file.error if file else ""
            raise TraceNotFound(f"{label}/{name}", known, reason=reason, where=f"run {run_id}")
        return self._content(file.sha256)

    def traces(self, label: str, name: str) -> Iterator[tuple[str, Path]]:
        """Yield the run and the file of a trace, of each run that has it; for Table.of_traces."""
        for run_id in self.runs():
            for file in self.files(run_id):
                if (file.label, file.name) == (label, name) and file.sha256:
                    yield run_id, self._content(file.sha256)

    def export(self, run_id: str, folder: str | Path) -> None:
        """Copy the files of a run to ``folder/<label>/<name>``.

        Raises:
            FileMissing: the folder cannot be written, or a content is missing.
        """
        try:
            for file in self.files(run_id):
                if file.sha256:
                    target = Path(folder) / file.label / file.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self._content(file.sha256), target)
        except OSError as error:
            raise _unwritable(Path(folder), error) from error

    def remove(self, run_id: str) -> None:
        """Remove a run. Its contents stay until :meth:`prune`, for other runs may have them too."""
        with self._locked(fcntl.LOCK_SH):
            self._manifest(run_id).unlink(missing_ok=True)

    def prune(self) -> int:
        """Remove the contents that no run has, and incomplete ones; return their size in bytes.

        It waits until no process adds files.
        """
        freed = 0
        with self._locked(fcntl.LOCK_EX):
            used = {file.sha256 for run_id in self.runs() for file in self.files(run_id)}
            for path in (self.folder / "files").glob("*/*"):
                if path.name not in used:
                    freed += path.stat().st_size
                    path.unlink()
            for path in (self.folder / "files").glob(f"*{_PART}"):
                freed += path.stat().st_size
                path.unlink()
        return freed

    def damaged(self) -> list[str]:
        """Return the checksums of contents that are missing or changed. Reads all of them."""
        used = {file.sha256 for run_id in self.runs() for file in self.files(run_id)}
        return [sha256 for sha256 in sorted(used - {""}) if not self._is_whole(sha256)]

    # -- inside -------------------------------------------------------------------------------

    def _manifest(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{check_name('the id of a run', run_id)}.json"

    def _content(self, sha256: str) -> Path:
        return self.folder / "files" / sha256[:2] / sha256

    def _store(self, label: str, name: str, blocks: Iterable[bytes]) -> StoredFile:
        check_name("label", label)
        _check_path(name)
        digest, count = hashlib.sha256(), 0
        part = self.folder / "files" / f"{secrets.token_hex(8)}{_PART}"
        try:
            with part.open("xb") as file:
                for block in _read(blocks):
                    digest.update(block)
                    count += file.write(block)
                content = self._content(digest.hexdigest())
                if content.exists():
                    return StoredFile(label, name, content.name, count)
                file.flush()
                os.fsync(file.fileno())
            content.parent.mkdir(exist_ok=True)
            part.replace(content)
        except _Unreadable as unreadable:
            return StoredFile(label, name, error=unreadable.args[0])
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            part.unlink(missing_ok=True)
        return StoredFile(label, name, content.name, count)

    def _is_whole(self, sha256: str) -> bool:
        try:
            with self._content(sha256).open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(_BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == sha256

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Hold the lock of the folder; shared by those that add, exclusive to remove contents."""
        try:
            file = (self.folder / ".lock").open("ab")
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        with file:
            fcntl.flock(file, kind)
            yield


class _Unreadable(Exception):
    """The source of a file failed; the text is its error."""


def _read(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks; tell errors of their source from those of the disk that they are written to."""
    try:
        yield from blocks
    except (NepiqError, OSError) as error:
        raise _Unreadable(str(error)) from error


def blocks_of(path: str | Path) -> Iterator[bytes]:
    """Yield the content of a local file in blocks, for :meth:`FileStore.add`."""
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise InvalidValue(
            f"{quoted(name)} cannot be the name of a file of a run",
            hint="use a path relative to its run directory",
        )


def _unwritable(folder: Path, error: OSError) -> FileMissing:
    return FileMissing(
        f"cannot write into {str(folder)!r}: {error.strerror or error}",
        hint="choose a writable directory with enough space",
    )
