"""Directories of an experiment and its run on this machine, filled when the run is released."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.redis_errors import contact
from ..errors import DescriptionError, NotAllowed
from .ownership import uninterrupted
from .replica import Replica

if TYPE_CHECKING:
    from .collectors import CollectedOutput

log = logging.getLogger("nepiq.experiment")

COLLECTOR = "nepiq::Collector"
"""The type of resources that name outputs to bring here at a release."""


class RunStorage:
    """The directories of an experiment; Collectors and ``persist`` fill them.

    Args:
        replica: the run.
        local_dir: the directory below which experiments have theirs; by default one of this user
            among the temporary files.
        persist: save the description at the release of the run.

    Attributes:
        given_dir: ``local_dir`` as an absolute path; None if it was not given.
        persist: as given.
    """

    def __init__(
        self, replica: Replica, local_dir: str | os.PathLike[str] | None, *, persist: bool
    ) -> None:
        self._replica = replica
        self._description = replica.description
        self._default: Path | None = None
        self.given_dir = None if local_dir is None else Path(local_dir).absolute()
        self.persist = persist

    @property
    def local_dir(self) -> str:
        """The directory below which experiments have theirs."""
        if self.given_dir is not None:
            return str(self.given_dir)
        with self._description.lock:
            if self._default is None:
                self._default = _own_directory()
            return str(self._default)

    @property
    def exp_dir(self) -> str:
        """The directory of all runs of the experiment; it need not exist."""
        return str(Path(self.local_dir) / self._description.exp_id)

    @property
    def run_dir(self) -> str:
        """The directory of the run; it need not exist.

        Raises:
            NotAllowed: there is no run yet.
        """
        run_id = self._replica.known_run
        if not run_id:
            raise NotAllowed(
                "there is no run yet, and so no directory of it", hint="deploy() first"
            )
        return str(Path(self.exp_dir) / run_id)

    @contextlib.contextmanager
    def collecting(self, guids: Sequence[int] | None) -> Iterator[None]:
        """Collect what Collectors name, around the release of the run or of some resources."""
        link = self._replica.link
        if link is None:
            yield
            return
        outputs = self._outputs(guids)
        if outputs:
            with uninterrupted():
                from .collectors import collect

            directory = Path(self.run_dir)
            with contact():
                collect(link.run, [item for item in outputs if item.removed], directory)
            yield
            with contact():
                collect(link.run, [item for item in outputs if not item.removed], directory)
        else:
            yield
        if self.persist and guids is None:
            self._save_description()

    def _outputs(self, guids: Sequence[int] | None) -> list[CollectedOutput]:
        """Return the outputs that Collectors among some resources name, of all for None.

        An error is logged: it must not keep the run from being released.
        """
        try:
            self._replica.learn()
            with self._description.lock:
                collectors = [
                    item.guid
                    for item in self._description.resources()
                    if item.cls.rtype == COLLECTOR and (guids is None or item.guid in guids)
                ]
                if not collectors:
                    return []
                with uninterrupted():
                    from .collectors import outputs_of

                return outputs_of(self._description, collectors)
        except DescriptionError as error:
            log.warning("outputs were not collected: %s", error)
            return []

    def _save_description(self) -> None:
        with uninterrupted():
            from ..description.files.store import save_in

        self._replica.learn()
        self._replica.recall_conditions()
        save_in(Path(self.run_dir), f"{self._description.exp_id}.yaml", self._description)


def _own_directory() -> Path:
    """Return a directory that no other user can have prepared (CWE-379)."""
    path = Path(tempfile.gettempdir()) / f"nepiq-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        stat = path.lstat()
        if stat.st_uid == os.getuid() and path.is_dir() and not path.is_symlink():
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="nepiq-"))
