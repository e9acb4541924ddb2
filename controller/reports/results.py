"""Results of a run in one directory: its traces, its records and its history.

::

    results/
        manifest.json        the run, its resources with their milestones, and the files
        events.jsonl         the history of the run, one event per line
        client/stdout        the traces, one directory per resource
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.transfer.outputs import Outputs, has_started
from ..engine.transfer.regular_files import open_to_write, require_regular
from ..errors import FileMissing, NepiqError
from .history import history

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord

VERSION = 1
"""Version of the format of the manifest."""


@dataclass(frozen=True)
class Saved:
    """A collected or missing trace.

    Attributes:
        label: the label of the resource.
        name: the name of the trace.
        path: the file, relative to the directory of the results; empty if it is missing.
        bytes: size of the file.
        sha256: checksum of the file, in hexadecimal.
        error: why the trace is missing; empty if it was collected.
    """

    label: str
    name: str
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    error: str = ""


def collect(
    run: Run, folder: Path, *, on_saved: Callable[[Saved], None] = lambda saved: None
) -> list[Saved]:
    """Collect the traces and the history of a run.

    A trace that cannot be collected is recorded as missing in the manifest, unless its resource
    was never started.

    Args:
        run: the run.
        folder: directory to write; it is created, and existing files are replaced.
        on_saved: called after each trace.

    Returns:
        The collected and missing traces.

    Raises:
        FileMissing: the directory cannot be written.
        InvalidValue: an existing file to replace is not a regular file, for example a FIFO.
    """
    try:
        return _collect(run, folder, on_saved)
    except OSError as error:
        raise FileMissing(
            f"cannot write into {str(folder)!r}: {error.strerror or error}",
            hint="choose a writable directory with enough space for all outputs",
        ) from error


def _collect(run: Run, folder: Path, on_saved: Callable[[Saved], None]) -> list[Saved]:
    folder.mkdir(parents=True, exist_ok=True)
    outputs = Outputs(run)
    records = run.records()
    saved = []
    for record in records:
        for name in outputs.names(record):
            item = _save(outputs, record, name, folder)
            if not item.error or has_started(record):
                saved.append(item)
                on_saved(item)
    _write_events(run, folder / "events.jsonl")
    manifest = _manifest(run, records, saved)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    with open_to_write(folder / "manifest.json") as file:
        file.write(text.encode() + b"\n")
    return saved


def _save(outputs: Outputs, record: ResourceRecord, name: str, folder: Path) -> Saved:
    """Copy one trace block by block."""
    path = folder / record.label / name
    digest, length = hashlib.sha256(), 0
    if path.exists():
        require_regular(path, path.stat().st_mode)
    try:
        blocks = outputs.read(record, name)
        block = next(blocks, b"")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_to_write(path) as file:
            while block:
                digest.update(block)
                length += file.write(block)
                block = next(blocks, b"")
    except NepiqError as error:
        path.unlink(missing_ok=True)
        return Saved(record.label, name, error=str(error))
    relative = str(path.relative_to(folder))
    return Saved(record.label, name, relative, length, digest.hexdigest())


def _write_events(run: Run, path: Path) -> None:
    with open_to_write(path) as file:
        for event in history(run):
            fields = {name: value for name, value in asdict(event).items() if value}
            file.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")


def _manifest(run: Run, records: list[ResourceRecord], saved: list[Saved]) -> dict[str, Any]:
    meta = run.store.meta()
    return {
        "version": VERSION,
        "run_id": run.run_id,
        "exp_id": run.exp_id,
        "phase": meta.phase if meta else "GONE",
        "cause": meta.cause if meta else None,
        "resources": [
            {
                "guid": record.guid,
                "label": record.label,
                "rtype": record.rtype,
                "state": record.state,
                "milestones": dict(record.milestones),
                "attributes": dict(record.attributes),
                "peers": {name: list(guids) for name, guids in record.peers.items()},
                "error": record.error,
            }
            for record in records
        ],
        "files": [asdict(item) for item in saved],
    }
