"""Output files of reports."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileMissing


def write(file: Path, content: bytes) -> str:
    """Write a file, creating its directory; return its absolute path.

    Raises:
        FileMissing: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise FileMissing(
            f"cannot write {str(file)!r}: {error.strerror or error}",
            hint="choose a path that you can write to",
        ) from error
    return str(file.resolve())
