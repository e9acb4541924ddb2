"""Digests of files and directories of this machine, remembered as long as these do not change."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

#: Greatest number of digests that are remembered.
_MOST = 1000

#: Nanoseconds: a file that was changed so shortly before may be changed again without another time.
_FRESH = 2 * 10**9


class Digest(NamedTuple):
    """A digest.

    Attributes:
        sha256: SHA-256 in hexadecimal.
        size: how many bytes it is of.
    """

    sha256: str
    size: int


class DigestMemo:
    """Digests by path, in a file of the user's cache directory.

    They are looked up by the states of all files (:func:`fingerprint`). A memo that cannot be read
    or written has no effect.

    Args:
        file: where they are stored.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, path: Path, states: str) -> Digest | None:
        """Return the digest of a path whose files have these states; None if it is unknown."""
        known, sha256, size = self._read().get(str(path), ("", "", 0))
        return Digest(sha256, size) if known == states else None

    def put(self, path: Path, states: str, newest: int, digest: Digest) -> None:
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
        entries[str(path)] = (states, *digest)
        text = json.dumps(dict(list(entries.items())[-_MOST:]))
        part = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text)
            part.replace(self._file)

    def _read(self) -> dict[str, tuple[str, str, int]]:
        try:
            entries: Any = json.loads(self._file.read_bytes())
            return {path: (str(one), str(two), int(n)) for path, (one, two, n) in entries.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def fingerprint(states: Iterable[tuple[object, ...]]) -> str:
    """Return a text that is another one if any of the states is."""
    digest = hashlib.sha256()
    for state in states:
        digest.update(repr(state).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
