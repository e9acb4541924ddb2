"""Files that reports are written into."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileMissing


def write(file: Path, content: bytes) -> str:
    """Write a file, its directory too; return its absolute path.

    Raises:
        FileMissing: this machine cannot write it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise FileMissing(
            f"cannot write {str(file)!r}: {error.strerror or error}",
            hint="name a place that you may write to",
        ) from error
    return str(file.resolve())
