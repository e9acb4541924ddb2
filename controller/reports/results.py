"""Results: everything that a run wrote and recorded, in one folder.

::

    results/
        manifest.json        the run, its resources, when each was where, and the files
        events.jsonl         the run's history, one event a line
        client/stdout        the traces, one folder for each resource
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
"""Version of the manifest's form."""


@dataclass(frozen=True)
class Saved:
    """One trace that was collected.

    Attributes:
        label: the resource.
        name: the trace.
        path: the file, relative to the folder; empty if there is none.
        bytes: its length.
        sha256: its checksum, in hexadecimal.
        error: why it is missing; empty if it is there.
    """

    label: str
    name: str
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    error: str = ""


def collect(
    run: Run, folder: Path, *, said: Callable[[Saved], None] = lambda saved: None
) -> list[Saved]:
    """Collect the traces and the history of a run.

    Traces that cannot be had are noted in the manifest and stop nothing; those of resources that
    were never started are not missed.

    Args:
        run: the run.
        folder: where to; it is made, and files of the same names in it are replaced.
        said: called after each trace.

    Returns:
        What was collected, and what is missing.

    Raises:
        FileMissing: this machine cannot write there.
        InvalidValue: a FIFO or the like has the name of a file there.
    """
    try:
        return _collect(run, folder, said)
    except OSError as error:
        raise FileMissing(
            f"cannot write into {str(folder)!r}: {error.strerror or error}",
            hint="name a folder that you may write to, with room for all outputs",
        ) from error


def _collect(run: Run, folder: Path, said: Callable[[Saved], None]) -> list[Saved]:
    folder.mkdir(parents=True, exist_ok=True)
    outputs = Outputs(run)
    records = run.records()
    saved = []
    for record in records:
        for name in outputs.names(record):
            item = _save(outputs, record, name, folder)
            if not item.error or has_started(record):
                saved.append(item)
                said(item)
    _write_events(run, folder / "events.jsonl")
    manifest = _manifest(run, records, saved)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    with open_to_write(folder / "manifest.json") as file:
        file.write(text.encode() + b"\n")
    return saved


def _save(outputs: Outputs, record: ResourceRecord, name: str, folder: Path) -> Saved:
    """Copy one trace, block by block."""
    path = folder / record.label / name
    digest, length = hashlib.sha256(), 0
    if path.exists():
        require_regular(path, path.stat().st_mode)
    try:
        blocks = outputs.read(record, name)
        first = next(blocks, b"")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_to_write(path) as file:
            while first:
                digest.update(first)
                length += file.write(first)
                first = next(blocks, b"")
    except NepiqError as error:
        path.unlink(missing_ok=True)
        return Saved(record.label, name, error=str(error))
    relative = str(path.relative_to(folder))
    return Saved(record.label, name, relative, length, digest.hexdigest())


def _write_events(run: Run, path: Path) -> None:
    with open_to_write(path) as file:
        for event in history(run):
            told = {name: value for name, value in asdict(event).items() if value}
            file.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")


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
