"""Files between the machine of a script and the hosts of a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .engine import transfer
from .engine.regular import open_to_read, open_to_write, require_regular
from .errors import (
    FileMissing,
    HostError,
    NepiqError,
    NotAllowed,
    TransferSilent,
    UploadFailed,
)
from .reports.outputs import Outputs

if TYPE_CHECKING:
    from .engine import Run
    from .engine.store.records import ResourceRecord

Progress = Callable[[int, int], None]
"""Called with how many bytes have gone or come, and how many it will be."""


_BLOCK = 1 << 20


def _silent(count: int, total: int) -> None:
    pass


def upload(
    run: Run,
    guids: Iterable[int],
    source: str | Path,
    path: str = "",
    progress: Progress = _silent,
) -> None:
    """Bring a file of this machine to the hosts of resources.

    Hosts that the workers of one site reach get it together: it passes through Redis once.

    Args:
        run: the run.
        guids: the resources.
        source: the file; its permissions go with it.
        path: where to: relative to each resource's run directory, or absolute; the name of the
            file by default.
        progress: called after each block.

    Raises:
        FileMissing: this machine cannot read the file.
        InvalidValue: it is no regular file.
        NotAllowed: the host of a resource is not deployed.
        NepiqError: what went wrong, if there is one resource.
        UploadFailed: some of several did not get it; says who did.
    """
    file = Path(source)
    size = _checked(file)
    goal = path or file.name
    groups: dict[str, list[ResourceRecord]] = {}
    for record in run.records(sorted(set(guids))):
        _require_host(run, record)
        groups.setdefault(run.queue_of(record.guid), []).append(record)
    failed = _to_all(run, list(groups.values()), file, goal, lambda count: progress(count, size))
    labels = [record.label for group in groups.values() for record in group]
    if not failed:
        return
    if len(labels) == 1:
        raise next(iter(failed.values()))
    raise UploadFailed(goal, [label for label in labels if label not in failed], failed)


def _to_all(
    run: Run,
    groups: Sequence[Sequence[ResourceRecord]],
    file: Path,
    goal: str,
    said: Callable[[int], None],
) -> dict[str, NepiqError]:
    """Send it to each group; what went wrong, by label."""

    def send(group: Sequence[ResourceRecord]) -> dict[str, NepiqError]:
        labels = {record.guid: record.label for record in group}
        try:
            found = transfer.upload(run, list(labels), file, goal, said=said)
        except HostError as error:
            return dict.fromkeys(labels.values(), error)
        except OSError as error:
            return dict.fromkeys(labels.values(), _unreadable(file, error))
        return {labels[guid]: error for guid, error in found.items()}

    if len(groups) == 1:
        return send(groups[0])
    with ThreadPoolExecutor(len(groups) or 1, "nepiq-upload") as pool:
        return {label: error for found in pool.map(send, groups) for label, error in found.items()}


def _checked(file: Path) -> int:
    """The length of a file that can be sent."""
    try:
        with open_to_read(file) as opened:
            opened.read(1)
            return os.fstat(opened.fileno()).st_size
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> FileMissing:
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


def download(
    run: Run, guid: int, name: str, path: str | Path, progress: Progress = _silent
) -> None:
    """Bring a trace, or a file of the run directory, to this machine.

    It is written beside its place, under a name that ends in ``.part``, and gets its own name
    when all is there. A part that an earlier call for the same file left is gone on with.

    Args:
        run: the run.
        guid: the resource.
        name: a trace, or a path relative to the run directory.
        path: the file to write, or a directory to write it into.
        progress: called after each block.

    Raises:
        TraceNotFound: there is no such trace or file.
        FileMissing: this machine cannot write the file.
        HostError: it was changed while it was read; nothing is left of it.
        InvalidValue: ``name`` cannot be the path of a file.
    """
    transfer.check_path(name)
    record = run.record(guid)
    goal = Path(path)
    goal = goal / Path(name).name if goal.is_dir() else goal
    origin = "/".join(map(str, (run.run_id, guid, record.occ, name)))
    mark = hashlib.sha256(origin.encode()).hexdigest()[:8]
    copy = _Copy(Outputs(run), record, name, goal.with_name(f"{goal.name}.{mark}.part"), progress)
    try:
        if goal.exists():
            require_regular(goal, goal.stat().st_mode)
        try:
            copy.fill()
        except HostError:
            if not copy.stale:
                raise
            copy.fill()
        copy.part.replace(goal)
    except OSError as error:
        raise FileMissing(f"cannot write {goal} on this machine: {error.strerror}") from error


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
            self.record, self.name, offset=offset, before=digest, told=self._told
        )
        for block in blocks:
            file.write(block)
            offset += len(block)
            self.progress(offset, self._total)

    def _told(self, facts: transfer.FileFacts) -> None:
        self._total = facts.size


def _digest(file: BinaryIO) -> tuple[Any, int]:
    """SHA-256 and length of what a file holds."""
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
        length += len(block)
    return digest, length
