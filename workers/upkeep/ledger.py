"""The hosts on which the workers of this machine acted, in files: for when no process knows.

``served/<state>/<data set>/<run>`` in nepiq's state directory has one host a line. The directory
of a state is named by its URL, so that workers with another Redis are not mistaken for it. It is
for people only: what it names is never removed by itself, since another Redis may have come to
the same address meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..hosts.paths import names_a_run

log = logging.getLogger("nepiq.remnants")


class Ledger:
    """The runs that workers of this machine serve, and their hosts.

    Args:
        folder: nepiq's state directory.
        url: of the state.
    """

    def __init__(self, folder: Path, url: str) -> None:
        name = hashlib.sha256(url.encode()).hexdigest()[:12]
        self._folder = folder / "served" / name
        self._complained = False

    def add(self, dataset: str, run_id: str, host: str) -> None:
        """Note a host of a run; a disk that is full or read-only does no harm."""
        file = self._folder / dataset / run_id
        try:
            # Private: the names of hosts and users are nobody else's business.
            served = self._folder.parent
            for folder in (served.parent, served, self._folder, file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{host}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("cannot note hosts in %s: %s", file.parent, error.strerror)

    def drop(self, dataset: str, run_id: str) -> None:
        """A run has ended, or nothing is left of it."""
        with contextlib.suppress(OSError):
            (self._folder / dataset / run_id).unlink(missing_ok=True)
            (self._folder / dataset).rmdir()  # if it was the last

    def runs(self) -> Iterator[tuple[str, str, list[str]]]:
        """All that is noted: data set, run and its hosts."""
        with contextlib.suppress(OSError):
            for file in sorted(self._folder.glob("*/*")):
                hosts = file.read_text("utf-8", "replace").splitlines()
                if names_a_run(file.name):
                    yield file.parent.name, file.name, sorted(set(hosts))
