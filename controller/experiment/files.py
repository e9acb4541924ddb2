"""Transfer of files between this machine and the hosts of a run."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..engine.transfer import attempts, client
from ..engine.transfer.directories import TREE, Gathered
from ..engine.transfer.outputs import Outputs
from ..engine.transfer.regular_files import open_to_write, require_regular
from ..engine.transfer.sources import OneFile, Source, Tree, is_pattern, matching
from ..errors import (
    FileMissing,
    HostError,
    InvalidValue,
    IsDirectory,
    NepiqError,
    NotAllowed,
    TraceNotFound,
    TransferSilent,
    UploadFailed,
)
from .unpacking import Unpacking, remove, skipped_text

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

log = logging.getLogger("nepiq.experiment")

Progress = Callable[[int, int], None]
"""Callback with the number of bytes transferred and the total."""


_BLOCK = 1 << 20
_guard = threading.Lock()
_part_files: set[Path] = set()


def _no_progress(count: int, total: int) -> None:
    pass


def upload(
    run: Run,
    guids: Iterable[int],
    source: str | Path,
    path: str = "",
    progress: Progress = _no_progress,
) -> list[str]:
    """Upload a file, a directory or the matches of a pattern to the hosts of resources.

    Hosts reached by the workers of one site share one transfer through Redis.

    Args:
        run: the run.
        guids: the resources.
        source: the file, directory or pattern; permissions are preserved.
        path: the destination, absolute or relative to each resource's run directory. By default
            the name of the file or directory; for a pattern the run directory itself.
        progress: called after each block.

    Returns:
        The skipped files, with reasons.

    Raises:
        FileMissing: the source cannot be read, or nothing matches.
        InvalidValue: the source is a FIFO, a socket or a device.
        NotAllowed: the host of a resource is not deployed.
        NepiqError: the upload failed, and there is only one resource.
        UploadFailed: the upload failed for some of several resources; lists the others.
    """
    content, size, target = _source(Path(source), path)
    groups: dict[str, list[ResourceRecord]] = {}
    for record in run.records(sorted(set(guids))):
        _require_host(run, record)
        groups.setdefault(run.queue_of(record.guid), []).append(record)
    failed = _send(run, list(groups.values()), content, target, lambda count: progress(count, size))
    labels = [record.label for group in groups.values() for record in group]
    if not failed:
        return content.skipped if isinstance(content, Tree) else []
    if len(labels) == 1:
        raise next(iter(failed.values()))
    raise UploadFailed(target, [label for label in labels if label not in failed], failed)


def log_skipped(name: str | Path, skipped: Sequence[str]) -> None:
    """Log the files that a transfer skipped."""
    if skipped:
        log.warning("left out of %s: %s", name, skipped_text(skipped))


def _send(
    run: Run,
    groups: Sequence[Sequence[ResourceRecord]],
    source: Source,
    target: str,
    progress: Callable[[int], None],
) -> dict[str, NepiqError]:
    """Send the source to each group; return the errors by label."""

    def send(group: Sequence[ResourceRecord]) -> dict[str, NepiqError]:
        labels = {record.guid: record.label for record in group}
        try:
            failed = client.upload(run, list(labels), source, target, on_sent=progress)
        except HostError as error:
            return dict.fromkeys(labels.values(), error)
        except OSError as error:
            return dict.fromkeys(labels.values(), _unreadable(error.filename or target, error))
        return {labels[guid]: error for guid, error in failed.items()}

    if len(groups) == 1:
        return send(groups[0])
    with ThreadPoolExecutor(len(groups) or 1, "nepiq-upload") as pool:
        return {
            label: error for failed in pool.map(send, groups) for label, error in failed.items()
        }


def _source(file: Path, path: str) -> tuple[Source, int, str]:
    """Return the source, its size in bytes and the destination."""
    try:
        if is_pattern(str(file)) and not os.path.lexists(file):
            source: Source = matching(str(file))
            target = path or "."
        else:
            source = Tree.of(file) if file.is_dir() else OneFile(file)
            target = path or (file.name if file.name not in ("", "..") else file.resolve().name)
        with contextlib.closing(source.open()) as opened:
            return source, opened.size, target
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path | str, error: OSError) -> FileMissing:
    return FileMissing(f"cannot read {file} on this machine: {error.strerror}")


def _require_host(run: Run, record: ResourceRecord) -> None:
    if record.host is None:
        raise NotAllowed(
            "it does not run on a host", where=record.label, hint="connect it to a node"
        )
    host = run.record(record.host)
    if "READY" not in host.milestones:
        raise NotAllowed(
            f"its host {host.label} is {host.state}",
            where=record.label,
            hint="wait_deployed() for it first",
        )


@dataclass(frozen=True)
class Download:
    """The result of a download.

    Attributes:
        path: the file or directory.
        skipped: the files of a directory that were skipped, with reasons.
    """

    path: Path
    skipped: Sequence[str] = ()


def download(
    run: Run, guid: int, name: str, path: str | Path, progress: Progress = _no_progress
) -> Download:
    """Download a trace, or files or directories of the run directory, to this machine.

    It is written beside its destination under a name that ends in ``.part``, and renamed when it
    is complete. A partial file left by an interrupted call is resumed.

    Args:
        run: the run.
        guid: the resource.
        name: a trace, the path of a file or directory relative to the run directory, or a pattern.
        path: the file or directory to write, or a directory to write into; for a pattern, the
            directory. One that ends in a slash is a directory to write files into.
        progress: called after each block.

    Raises:
        TraceNotFound: there is no such trace, file or directory, or nothing matches.
        FileMissing: it cannot be written on this machine.
        HostError: it was changed while it was read; nothing of it is kept.
        InvalidValue: ``name`` is not a valid path, or ``path`` exists with another type.
    """
    attempts.check_path(name)
    record = run.record(guid)
    outputs = Outputs(run)
    into = Path(path).is_dir() or str(path).endswith(os.sep)
    if name != ".":
        try:
            return Download(_file(outputs, record, name, Path(path), progress, into))
        except IsDirectory:
            pass
        except TraceNotFound:
            if not is_pattern(name):
                raise
    return _tree(outputs, record, name, Path(path), progress)


def _file(
    outputs: Outputs, record: ResourceRecord, name: str, path: Path, progress: Progress, into: bool
) -> Path:
    target = path / Path(name).name if into else path
    origin = "/".join(map(str, (outputs.run.run_id, record.guid, record.occ, name)))
    mark = hashlib.sha256(origin.encode()).hexdigest()[:8]
    try:
        if target.exists() and not target.is_dir():
            require_regular(target, target.stat().st_mode)
        with _exclusive(target.with_name(f"{target.name}.{mark}.part")) as part:
            copy = _Copy(outputs, record, name, part, progress)
            try:
                copy.fill()
            except IsDirectory:
                raise
            except HostError:
                if not copy.stale:
                    raise
                copy.fill()
            copy.part.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def _tree(
    outputs: Outputs, record: ResourceRecord, name: str, path: Path, progress: Progress
) -> Download:
    """Download a directory or the matches of a pattern."""
    heads: list[Gathered] = []
    blocks = outputs.gather(record, name, on_facts=heads.append)
    try:
        # An error of the host is raised here, before anything is created.
        first = next(blocks, b"")
        into = heads[0].kind == TREE and name != "." and path.is_dir()
        target = path / Path(name).name if into else path
        if os.path.lexists(target) and not target.is_dir():
            raise InvalidValue(
                f"{target} is not a directory", hint="remove it, or choose another path"
            )
        beside = target if target.is_dir() else target.parent
        stage = Path(tempfile.mkdtemp(prefix=".nepiq.", suffix=".part", dir=beside))
        try:
            unpacking = Unpacking(
                itertools.chain([first], blocks),
                stage,
                lambda count: progress(count, max(count, heads[0].size)),
            )
            unpacking.unpack()
            unpacking.move(target)
        finally:
            remove(stage)
    except OSError as error:
        raise _unwritable(error.filename or path, error) from error
    finally:
        blocks.close()
    sockets = [f"sockets: {heads[0].sockets}"] if heads[0].sockets else []
    return Download(target, [*unpacking.skipped, *sockets])


def _unwritable(path: Path | str, error: OSError) -> FileMissing:
    return FileMissing(f"cannot write {path} on this machine: {error.strerror}")


@contextmanager
def _exclusive(part: Path) -> Iterator[Path]:
    """Yield ``part``, or a path of its own while another thread writes ``part``."""
    with _guard:
        free = part not in _part_files
        path = part if free else part.with_name(f"{part.name}.{attempts.new_id()}")
        _part_files.add(path)
    try:
        yield path
    finally:
        with _guard:
            _part_files.discard(path)
        if path != part:
            path.unlink(missing_ok=True)


@dataclass
class _Copy:
    """A file of a host that is being written to a part file.

    Attributes:
        stale: True if the part left by an earlier call was of other content, and was removed.
    """

    outputs: Outputs
    record: ResourceRecord
    name: str
    part: Path
    progress: Progress
    stale: bool = False
    _total: int = 0

    def fill(self) -> None:
        """Write the file, resuming the present part."""
        content = self.outputs.kept(self.record, self.name)
        if content is not None:
            with open_to_write(self.part) as file:
                file.write(content)
            return
        offset = 0
        try:
            with open_to_write(self.part, keep=True) as file:
                digest, offset = _digest(file)
                self._append(file, digest, offset)
        except TransferSilent:
            raise  # a later call may resume
        except NepiqError as error:
            self.part.unlink(missing_ok=True)
            self.stale = offset > 0 and isinstance(error, HostError)
            raise

    def _append(self, file: BinaryIO, digest: Any, offset: int) -> None:
        blocks = self.outputs.blocks(
            self.record, self.name, offset=offset, before=digest, on_facts=self._set_total
        )
        for block in blocks:
            file.write(block)
            offset += len(block)
            self.progress(offset, self._total)

    def _set_total(self, facts: client.FileFacts) -> None:
        self._total = facts.size


def _digest(file: BinaryIO) -> tuple[Any, int]:
    """Return SHA-256 and length of a file's content."""
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
        length += len(block)
    return digest, length
