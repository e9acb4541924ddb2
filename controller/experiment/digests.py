"""Digests of files and directories of this machine, remembered as long as these do not change."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Greatest number of digests that are remembered.
_MOST = 1000

#: Nanoseconds: a file that was changed so shortly before may be changed again without another time.
_FRESH = 2 * 10**9


class DigestMemo:
    """Digests by path, in a file of the user's cache directory.

    They are looked up by the states of all files (:func:`fingerprint`). A memo that cannot be read
    or written has no effect.

    Args:
        file: where they are stored.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, path: Path, states: str) -> str:
        """Return the digest of a path whose files have these states; empty if it is unknown."""
        entry = self._read().get(str(path))
        return entry[1] if entry is not None and entry[0] == states else ""

    def put(self, path: Path, states: str, newest: int, digest: str) -> None:
        """Remember a digest, unless the files have been changed a moment ago.

        Args:
            path: the file or directory.
            states: the fingerprint of its files before they were read.
            newest: their latest change, in nanoseconds since the epoch.
            digest: the digest.
        """
        if time.time_ns() - newest < _FRESH:
            return
        entries = self._read()
        entries.pop(str(path), None)
        entries[str(path)] = [states, digest]
        text = json.dumps(dict(list(entries.items())[-_MOST:]))
        part = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text)
            part.replace(self._file)

    def _read(self) -> dict[str, list[str]]:
        try:
            entries: Any = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(entries, dict):
            return {}
        return {path: entry for path, entry in entries.items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(x, str) for x in entry)


def fingerprint(states: Iterable[tuple[object, ...]]) -> str:
    """Return a text that is another one if any of the states is."""
    digest = hashlib.sha256()
    for state in states:
        digest.update(repr(state).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
