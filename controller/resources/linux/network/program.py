"""The program of the relay as one file, which ``python3`` runs."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib import resources

_START = b"from relay.__main__ import main\n\nmain()\n"


@cache
def archive() -> bytes:
    """Return the program as a ZIP archive, the same for the same sources."""
    package = resources.files(f"{__package__}.relay")
    files = {f"relay/{f.name}": f.read_bytes() for f in package.iterdir() if f.name[-3:] == ".py"}
    files["__main__.py"] = _START
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(files):
            target.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return data.getvalue()
