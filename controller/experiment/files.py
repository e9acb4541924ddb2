"""Files between the machine of a script and the hosts of a run."""

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
from .unpacking import Unpacking, remove, told

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

log = logging.getLogger("nepiq.experiment")

Progress = Callable[[int, int], None]
"""Called with how many bytes have gone or come, and how many it will be."""


_BLOCK = 1 << 20
_guard = threading.Lock()
_written: set[Path] = set()


def _silent(count: int, total: int) -> None:
    pass


def upload(
    run: Run,
    guids: Iterable[int],
    source: str | Path,
    path: str = "",
    progress: Progress = _silent,
) -> list[str]:
    """Bring a file, a directory or what a pattern names to the hosts of resources.

    Hosts that the workers of one site reach get it together: it passes through Redis once.

    Args:
        run: the run.
        guids: the resources.
        source: the file, directory or pattern; permissions go with it.
        path: where to: relative to each resource's run directory, or absolute. By default the
            name of the file or directory; the run directory itself for a pattern.
        progress: called after each block.

    Returns:
        What was left out, and why.

    Raises:
        FileMissing: this machine cannot read it, or nothing matches.
        InvalidValue: it is a FIFO, a socket or a device.
        NotAllowed: the host of a resource is not deployed.
        NepiqError: what went wrong, if there is one resource.
        UploadFailed: some of several did not get it; says who did.
    """
    file = Path(source)
    sent, size, goal = _source(file, path)
    groups: dict[str, list[ResourceRecord]] = {}
    for record in run.records(sorted(set(guids))):
        _require_host(run, record)
        groups.setdefault(run.queue_of(record.guid), []).append(record)
    failed = _to_all(run, list(groups.values()), sent, goal, lambda count: progress(count, size))
    labels = [record.label for group in groups.values() for record in group]
    if not failed:
        return sent.skipped if isinstance(sent, Tree) else []
    if len(labels) == 1:
        raise next(iter(failed.values()))
    raise UploadFailed(goal, [label for label in labels if label not in failed], failed)


def log_skipped(name: str | Path, skipped: Sequence[str]) -> None:
    """Log what a transfer has left out."""
    if skipped:
        log.warning("left out of %s: %s", name, told(skipped))


def _to_all(
    run: Run,
    groups: Sequence[Sequence[ResourceRecord]],
    source: Source,
    goal: str,
    said: Callable[[int], None],
) -> dict[str, NepiqError]:
    """Send it to each group; what went wrong, by label."""

    def send(group: Sequence[ResourceRecord]) -> dict[str, NepiqError]:
        labels = {record.guid: record.label for record in group}
        try:
            found = client.upload(run, list(labels), source, goal, on_sent=said)
        except HostError as error:
            return dict.fromkeys(labels.values(), error)
        except OSError as error:
            return dict.fromkeys(labels.values(), _unreadable(error.filename or goal, error))
        return {labels[guid]: error for guid, error in found.items()}

    if len(groups) == 1:
        return send(groups[0])
    with ThreadPoolExecutor(len(groups) or 1, "nepiq-upload") as pool:
        return {label: error for found in pool.map(send, groups) for label, error in found.items()}


def _source(file: Path, path: str) -> tuple[Source, int, str]:
    """What is sent, how many bytes that are, and where it goes."""
    try:
        if is_pattern(str(file)) and not os.path.lexists(file):
            source: Source = matching(str(file))
            goal = path or "."
        else:
            source = Tree.of(file) if file.is_dir() else OneFile(file)
            goal = path or (file.name if file.name not in ("", "..") else file.resolve().name)
        with contextlib.closing(source.open()) as opened:
            return source, opened.size, goal
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path | str, error: OSError) -> FileMissing:
    return FileMissing(f"cannot read {file} on this machine: {error.strerror}")


def _require_host(run: Run, record: ResourceRecord) -> None:
    if record.host is None:
        raise NotAllowed("it runs on no host", where=record.label, hint="connect it to a node")
    host = run.record(record.host)
    if "READY" not in host.milestones:
        raise NotAllowed(
            f"its host {host.label} is {host.state}",
            where=record.label,
            hint="wait_deployed() for it first",
        )


@dataclass(frozen=True)
class Arrived:
    """What a download has brought.

    Attributes:
        path: the file or directory.
        skipped: what was left out of a directory, and why.
    """

    path: Path
    skipped: Sequence[str] = ()


def download(
    run: Run, guid: int, name: str, path: str | Path, progress: Progress = _silent
) -> Arrived:
    """Bring a trace, or files or directories of the run directory, to this machine.

    It is written beside its place, under a name that ends in ``.part``, and gets its own name
    when all is there. A part of a file that an earlier call left is gone on with.

    Args:
        run: the run.
        guid: the resource.
        name: a trace; a path relative to the run directory, of a file or a directory; a pattern.
        path: the file or directory to write, or a directory to write it into; for a pattern,
            the directory.
        progress: called after each block.

    Raises:
        TraceNotFound: there is no such trace, file or directory, or nothing matches.
        FileMissing: this machine cannot write it.
        HostError: it was changed while it was read; nothing is left of it.
        InvalidValue: ``name`` cannot be the path of a file, or what is there at ``path`` is in
            the way.
    """
    attempts.check_path(name)
    record = run.record(guid)
    outputs = Outputs(run)
    if name != ".":
        try:
            return Arrived(_file(outputs, record, name, Path(path), progress))
        except IsDirectory:
            pass
        except TraceNotFound:
            if not is_pattern(name):
                raise
    return _tree(outputs, record, name, Path(path), progress)


def _file(
    outputs: Outputs, record: ResourceRecord, name: str, path: Path, progress: Progress
) -> Path:
    goal = path / Path(name).name if path.is_dir() else path
    origin = "/".join(map(str, (outputs.run.run_id, record.guid, record.occ, name)))
    mark = hashlib.sha256(origin.encode()).hexdigest()[:8]
    try:
        if goal.exists() and not goal.is_dir():
            require_regular(goal, goal.stat().st_mode)
        with _own(goal.with_name(f"{goal.name}.{mark}.part")) as part:
            copy = _Copy(outputs, record, name, part, progress)
            try:
                copy.fill()
            except IsDirectory:
                raise
            except HostError:
                if not copy.stale:
                    raise
                copy.fill()
            copy.part.replace(goal)
    except OSError as error:
        raise _unwritable(goal, error) from error
    return goal


def _tree(
    outputs: Outputs, record: ResourceRecord, name: str, path: Path, progress: Progress
) -> Arrived:
    """Bring a directory, or what matches a pattern."""
    found: list[Gathered] = []
    blocks = outputs.gather(record, name, on_facts=found.append)
    try:
        # What cannot be had is told before anything is made.
        first = next(blocks, b"")
        into = found[0].kind == TREE and name != "." and path.is_dir()
        goal = path / Path(name).name if into else path
        if os.path.lexists(goal) and not goal.is_dir():
            raise InvalidValue(f"{goal} is no directory", hint="remove it, or name another place")
        beside = goal if goal.is_dir() else goal.parent
        stage = Path(tempfile.mkdtemp(prefix=".nepiq.", suffix=".part", dir=beside))
        try:
            unpacking = Unpacking(
                itertools.chain([first], blocks),
                stage,
                lambda count: progress(count, max(count, found[0].size)),
            )
            unpacking.unpack()
            unpacking.move(goal)
        finally:
            remove(stage)
    except OSError as error:
        raise _unwritable(error.filename or path, error) from error
    finally:
        blocks.close()
    sockets = [f"sockets: {found[0].sockets}"] if found[0].sockets else []
    return Arrived(goal, [*unpacking.skipped, *sockets])


def _unwritable(path: Path | str, error: OSError) -> FileMissing:
    return FileMissing(f"cannot write {path} on this machine: {error.strerror}")


@contextmanager
def _own(part: Path) -> Iterator[Path]:
    """A part that no other thread writes: that one, or while another does, one of its own."""
    with _guard:
        mine = part if part not in _written else part.with_name(f"{part.name}.{attempts.new_id()}")
        _written.add(mine)
    try:
        yield mine
    finally:
        with _guard:
            _written.discard(mine)
        if mine != part:
            mine.unlink(missing_ok=True)


@dataclass
class _Copy:
    """A trace that is being written.

    Attributes:
        stale: the part that an earlier call left was not of this file; it is removed.
    """

    outputs: Outputs
    record: ResourceRecord
    name: str
    part: Path
    progress: Progress
    stale: bool = False
    _total: int = 0

    def fill(self) -> None:
        """Write all of it, after what is there already."""
        kept = self.outputs.kept(self.record, self.name)
        if kept is not None:
            with open_to_write(self.part) as file:
                file.write(kept)
            return
        offset = 0
        try:
            with open_to_write(self.part, keep=True) as file:
                digest, offset = _digest(file)
                self._append(file, digest, offset)
        except TransferSilent:
            raise  # the rest may be had another time
        except NepiqError as error:
            self.part.unlink(missing_ok=True)
            self.stale = offset > 0 and isinstance(error, HostError)
            raise

    def _append(self, file: BinaryIO, digest: Any, offset: int) -> None:
        blocks = self.outputs.blocks(
            self.record, self.name, offset=offset, before=digest, on_facts=self._told
        )
        for block in blocks:
            file.write(block)
            offset += len(block)
            self.progress(offset, self._total)

    def _told(self, facts: client.FileFacts) -> None:
        self._total = facts.size


def _digest(file: BinaryIO) -> tuple[Any, int]:
    """SHA-256 and length of what a file holds."""
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
        length += len(block)
    return digest, length
