"""The part of an experiment's face that keeps what runs leave on the machine of the script."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..engine.redis_errors import contact
from ..errors import NotAllowed
from .keeping import Keeping

COLLECTOR = "nepiq::Collector"
"""Resources that name what a release is to bring here."""


class Storing(Keeping):
    """Directories of the experiment and its run; Collectors and ``persist`` fill them."""

    _local_dir: Path | None = None
    _persist = False

    @property
    def local_dir(self) -> str:
        """The directory below which experiments have theirs.

        As it was given, or one of this user's own among the temporary files of this machine.
        """
        with self._description.lock:
            if self._local_dir is None:
                self._local_dir = _own_directory()
            return str(self._local_dir)

    @property
    def exp_dir(self) -> str:
        """The directory of all runs of this experiment; it need not exist."""
        return str(Path(self.local_dir) / self._description.exp_id)

    @property
    def run_dir(self) -> str:
        """The directory of this run; it need not exist.

        Raises:
            NotAllowed: there is no run yet.
        """
        run_id = self._live.known_run
        if not run_id:
            raise NotAllowed(
                "there is no run yet, and so no directory of it", hint="deploy() first"
            )
        return str(Path(self.exp_dir) / run_id)

    @property
    def persist(self) -> bool:
        """Whether a release of the run saves the description into :attr:`run_dir`."""
        return self._persist

    def _collects(self) -> bool:
        return any(item.cls.rtype == COLLECTOR for item in self._description.resources())

    @contextlib.contextmanager
    def _stored(self, guids: Sequence[int] | None = None) -> Iterator[None]:
        """Bring here what Collectors name, around the release of a run or of some resources."""
        link = self._live.link
        if link is None:
            yield
            return
        self._live.learn()
        if self._collects():
            from .collectors import collect, wanted

            with self._description.lock:
                some = wanted(self._description, guids)
            place = Path(self.run_dir)
            with contact():
                collect(link.run, [item for item in some if item.removed], place)
            yield
            with contact():
                collect(link.run, [item for item in some if not item.removed], place)
        else:
            yield
        if self._persist and guids is None:
            self.save(Path(self.run_dir) / f"{self._description.exp_id}.yaml")


def _own_directory() -> Path:
    """A directory that nobody else can have prepared (CWE-379)."""
    path = Path(tempfile.gettempdir()) / f"nepiq-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if found.st_uid == os.getuid() and path.is_dir() and not path.is_symlink():
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="nepiq-"))
