"""The files of runs in a crate: a file store in it, with each content once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from ...errors import FileMissing
from ..file_store import FileStore


def linked(source: FileStore, folder: Path, run_ids: Collection[str]) -> FileStore:
    """Return a new file store with runs of another one.

    Contents are hard links where both are on one file system, and copies elsewhere.

    Args:
        source: the other store.
        folder: the folder of the new one.
        run_ids: the runs; those that the other store does not have are left out.

    Raises:
        FileMissing: the folder cannot be written, or a content is missing.
    """
    store = FileStore(folder)
    runs = {run_id: source.files(run_id) for run_id in source.runs() if run_id in run_ids}
    try:
        for sha256 in store.lacking(runs):
            target = store.content(sha256)
            target.parent.mkdir(exist_ok=True)
            _link(source.content(sha256), target)
    except OSError as error:
        raise FileMissing(
            f"cannot copy files to {str(folder)!r}: {error.strerror or error}",
            hint="choose a writable directory with enough space",
        ) from error
    store.enter(runs)
    return store


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
