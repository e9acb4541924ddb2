"""A file that is replaced as a whole: readers see the former content or the new one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..engine.transfer.regular_files import require_regular
from ..errors import FileMissing


@contextmanager
def replaced(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a file beside ``path``, which takes its place once it is complete and on disk.

    Its directory is created. After an error, the former file stays.

    Raises:
        FileMissing: it cannot be written.
        InvalidValue: ``path`` exists and is not a regular file.
    """
    target = Path(path)
    part = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            require_regular(target, target.stat().st_mode)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileMissing(
            f"cannot write {str(target)!r}: {error.strerror or error}",
            hint="choose a writable directory with enough space",
        ) from error
