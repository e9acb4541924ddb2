"""Ledger files of the hosts on which workers of this machine acted, for after a restart.

``served/<state>/<data set>/<run>`` in nepiq's state directory has one host per line. ``<state>``
is a digest of the state's URL, which separates workers of different Redis servers. The files only
inform people: nothing is removed from the listed hosts automatically, since another Redis may
serve the same address by now.
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
    """The recorded runs of this machine's workers, and their hosts.

    Args:
        folder: nepiq's state directory.
        url: of the state.
    """

    def __init__(self, folder: Path, url: str) -> None:
        name = hashlib.sha256(url.encode()).hexdigest()[:12]
        self._folder = folder / "served" / name
        self._warned = False

    def add(self, dataset: str, run_id: str, host: str) -> None:
        """Record a host of a run; an error such as a full disk is only logged."""
        file = self._folder / dataset / run_id
        try:
            # Private: other users must not read names of hosts and users.
            served = self._folder.parent
            for folder in (served.parent, served, self._folder, file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{host}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("cannot record hosts in %s: %s", file.parent, error.strerror)

    def drop(self, dataset: str, run_id: str) -> None:
        """Remove the record of a run that has ended or of which nothing remains."""
        with contextlib.suppress(OSError):
            (self._folder / dataset / run_id).unlink(missing_ok=True)
            (self._folder / dataset).rmdir()  # fails unless it is empty

    def runs(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each recorded run: its data set, id and hosts."""
        with contextlib.suppress(OSError):
            for file in sorted(self._folder.glob("*/*")):
                hosts = file.read_text("utf-8", "replace").splitlines()
                if names_a_run(file.name):
                    yield file.parent.name, file.name, sorted(set(hosts))
