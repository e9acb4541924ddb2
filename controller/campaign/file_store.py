"""The file store of a campaign: the files of its runs, each content once.

::

    results/
        files/3f/3f2a91...      a content, by its SHA-256
        runs.jsonl              the manifest: a line for each run with its files

A line is ``{"run": id, "files": [[label, name, sha256, bytes], ...]}``; a file that could not be
read has the reason as a fifth value.

Contents are complete and on disk before the manifest refers to them. A process that is killed
leaves at most a content that no run has, which :meth:`FileStore.prune` removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ..errors import CampaignError, FileMissing, InvalidValue, NepiqError, TraceNotFound
from ..errors.text import quoted
from ..model.names import check_name
from ..reports.words import size
from .manifest import Manifest
from .row import CANCELLED, FAILED

Keep = Literal["failed", "all", "none"]

_KEEPS = ("failed", "all", "none")
_BLOCK = 1 << 20
_PART = ".part"
MANIFEST = "runs.jsonl"
LOCK = ".lock"
"""The file that processes lock while they write; not needed between."""
_CHECKSUM = re.compile(r"[0-9a-f]{64}", re.ASCII)


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

    def to_data(self) -> list[Any]:
        """Return the JSON form: the attributes in their order, without an empty error."""
        values = [self.label, self.name, self.sha256, self.bytes]
        return [*values, self.error] if self.error else values

    @classmethod
    def from_data(cls, data: object) -> StoredFile:
        """Return the file that :meth:`to_data` wrote.

        Raises:
            CampaignError: it is not a file.
        """
        if not isinstance(data, list) or not 4 <= len(data) <= 5:
            raise CampaignError(
                f"not a file of a run: {quoted(data)}",
                hint="it is damaged, or another version of nepiq has written it",
            )
        return cls(*data)


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
        self._manifest = Manifest(self.folder / MANIFEST)
        try:
            (self.folder / "files").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def keeps(self, outcome: str) -> bool:
        """Return whether the files of a run with this outcome are kept."""
        if self.keep == "all":
            return outcome != CANCELLED
        return self.keep == "failed" and outcome == FAILED

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
        check_name("the id of a run", run_id)
        with self._locked(fcntl.LOCK_SH):
            stored = [self._store(*file) for file in files]
            self._enter({run_id: stored})
        return stored

    def lacking(self, runs: Mapping[str, Sequence[StoredFile]]) -> dict[str, int]:
        """Return the contents of runs that are not here: checksums with their sizes in bytes."""
        contents = {file.sha256: file.bytes for files in runs.values() for file in files}
        return {
            sha256: count
            for sha256, count in contents.items()
            if sha256 and not self.content(sha256).exists()
        }

    def take(self, contents: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        """Store contents of another store: checksum and blocks of each.

        Those that are complete stay, also if a later one cannot be read.

        Raises:
            CampaignError: one has another checksum.
            FileMissing: the folder cannot be written.
        """
        with self._locked(fcntl.LOCK_SH):
            for sha256, blocks in contents:
                if self._keep(blocks)[0] != sha256:
                    raise CampaignError(f"the content {sha256} is damaged")

    def enter(self, runs: Mapping[str, Sequence[StoredFile]]) -> None:
        """Enter runs of another store, whose contents are here.

        Raises:
            CampaignError: a content is not here.
            FileMissing: the folder cannot be written.
        """
        for run_id in runs:
            check_name("the id of a run", run_id)
        with self._locked(fcntl.LOCK_SH):
            if missing := self.lacking(runs):
                raise CampaignError(f"the content {next(iter(missing))} is not in {self.folder}")
            self._enter(runs)

    def runs(self) -> list[str]:
        """Return the ids of the runs that have files, in order."""
        return self._manifest.runs()

    def files(self, run_id: str) -> list[StoredFile]:
        """Return the stored and missing files of a run; none for an unknown run.

        Raises:
            CampaignError: the manifest is damaged.
        """
        check_name("the id of a run", run_id)
        return [StoredFile.from_data(data) for data in self._manifest.files(run_id)]

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
        return self.content(file.sha256)

    def content(self, sha256: str) -> Path:
        """Return the place of a content, which need not be here.

        Raises:
            InvalidValue: it is not a checksum.
        """
        if _CHECKSUM.fullmatch(sha256) is None:
            raise InvalidValue(f"{quoted(sha256)} is not a checksum")
        return self.folder / "files" / sha256[:2] / sha256

    def traces(self, label: str, name: str) -> Iterator[tuple[str, Path]]:
        """Yield the run and the file of a trace, of each run that has it; for Table.of_traces."""
        for run_id in self.runs():
            for file in self.files(run_id):
                if (file.label, file.name) == (label, name) and file.sha256:
                    yield run_id, self.content(file.sha256)

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
                    shutil.copyfile(self.content(file.sha256), target)
        except OSError as error:
            raise _unwritable(Path(folder), error) from error

    def remove(self, *run_ids: str) -> None:
        """Remove runs. Contents stay until :meth:`prune`, since other runs may have them too."""
        known = {run_id: None for run_id in run_ids if self.files(run_id)}
        if known:
            with self._locked(fcntl.LOCK_SH):
                self._enter(known)

    def prune(self) -> int:
        """Remove the contents that no run has, and incomplete ones; return their size in bytes.

        It waits until no process adds files.
        """
        freed = 0
        with self._locked(fcntl.LOCK_EX):
            self._manifest.compact()
            used = {file.sha256 for run_id in self.runs() for file in self.files(run_id)}
            for path in (self.folder / "files").glob("*/*"):
                if path.name not in used:
                    freed += path.stat().st_size
                    path.unlink()
            for folder in (self.folder / "files").glob("[0-9a-f][0-9a-f]"):
                with suppress(OSError):  # it has others
                    folder.rmdir()
            return freed + self._remove_parts()

    def tidy(self) -> None:
        """Remove what killed processes have left of contents, unless others add files now."""
        with suppress(BlockingIOError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._remove_parts()

    def damaged(self) -> list[str]:
        """Return the checksums of contents that are missing or changed. Reads all of them."""
        used = {file.sha256 for run_id in self.runs() for file in self.files(run_id)}
        return [sha256 for sha256 in sorted(used - {""}) if not self._is_whole(sha256)]

    # -- inside -------------------------------------------------------------------------------

    def _enter(self, runs: Mapping[str, Sequence[StoredFile] | None]) -> None:
        try:
            self._manifest.append(
                (run_id, None if files is None else [file.to_data() for file in files])
                for run_id, files in runs.items()
            )
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _remove_parts(self) -> int:
        freed = 0
        for path in (self.folder / "files").glob(f"*{_PART}"):
            freed += path.stat().st_size
            path.unlink()
        return freed

    def _store(self, label: str, name: str, blocks: Iterable[bytes]) -> StoredFile:
        check_name("label", label)
        check_path(name)
        try:
            sha256, count = self._keep(_read(blocks))
        except _Unreadable as unreadable:
            return StoredFile(label, name, error=unreadable.args[0])
        return StoredFile(label, name, sha256, count)

    def _keep(self, blocks: Iterable[bytes]) -> tuple[str, int]:
        """Store a content; return its checksum and its size.

        Raises:
            FileMissing: the folder cannot be written.
        """
        digest, count = hashlib.sha256(), 0
        part = self.folder / "files" / f"{secrets.token_hex(8)}{_PART}"
        try:
            with part.open("xb") as file:
                for block in blocks:
                    digest.update(block)
                    count += file.write(block)
                content = self.content(digest.hexdigest())
                if content.exists():
                    return content.name, count
                file.flush()
                os.fsync(file.fileno())
            content.parent.mkdir(exist_ok=True)
            part.replace(content)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            part.unlink(missing_ok=True)
        return content.name, count

    def _is_whole(self, sha256: str) -> bool:
        try:
            with self.content(sha256).open("rb") as file:
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
            file = (self.folder / LOCK).open("ab")
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


def check_path(name: str) -> None:
    """Refuse what cannot be the name of a file of a run.

    Raises:
        InvalidValue: it is not a relative path, or leads out of the run directory.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not name or ".." in path.parts or "\0" in name:
        raise InvalidValue(
            f"{quoted(name)} cannot be the name of a file of a run",
            hint="use a path relative to its run directory",
        )


def _unwritable(folder: Path, error: OSError) -> FileMissing:
    return FileMissing(
        f"cannot write into {str(folder)!r}: {error.strerror or error}",
        hint="choose a writable directory with enough space",
    )
