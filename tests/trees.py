"""Trees of files, to compare what went with what came."""

from __future__ import annotations

import stat
from pathlib import Path


def seen(top: Path) -> dict[str, object]:
    """What a tree holds: kinds, permissions, times and contents, by name."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        it = path.lstat()
        content: object = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        mode = stat.S_IMODE(it.st_mode)
        found[str(path.relative_to(top))] = (stat.S_IFMT(it.st_mode), mode, it.st_mtime_ns, content)
    return found
