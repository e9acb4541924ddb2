"""Connections of a client to the engine: a configured Redis, or the local services."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..engine.messaging import queues
from ..engine.redis_errors import contact
from ..errors import NepiqError, NoWorker
from ..settings import Settings
from .ownership import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..engine import Backend, Run, RunInfo
    from ..services.embedded import LocalServices


class Access:
    """A client's connections to the engine; joins or starts the local services by default.

    Args:
        settings: where Redis is; read from the environment by default.
        worker: start the local worker too; False for a client that only reads.

    Raises:
        EmbeddedError: the local services did not start.
    """

    def __init__(self, settings: Settings | None = None, *, worker: bool = True) -> None:
        self.settings = settings or Settings.from_environment()
        self.embedded: LocalServices | None = None
        if self.settings.embedded:
            with uninterrupted():
                from ..services.embedded import join

            home = self.settings.state_home
            self.embedded = join(home, worker=worker, imports=self.settings.imports)
            place = self.embedded.place
            self.settings = replace(
                self.settings, broker_url=place.broker_url, state_url=place.state_url
            )
        with uninterrupted():
            from ..engine import Backend

            # Local services that were killed are restarted within seconds.
            self.backend: Backend = Backend(self.settings, tries=24 if self.embedded else 8)

    @contextmanager
    def kept(self) -> Iterator[Access]:
        """Close the connections if the block ends with an error."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def failure(self) -> NepiqError | None:
        """Return why the local services cannot carry anything out, or None."""
        return self.embedded.failure() if self.embedded else None

    def require_workers(self, run: Run, names: Iterable[str], seconds: float = 0.0) -> None:
        """Return when each queue has a live worker.

        The local worker is not waited for: it starts, or :meth:`failure` returns why not.

        Raises:
            NoWorker: a queue has no worker within ``seconds``.
        """
        wanted = set(names)
        if self.embedded:
            settings = self.settings
            wanted -= {queues.COMMON, queues.of_machine(settings.machine)}
            wanted -= {queues.of_site(site) for site in settings.sites}
        if wanted:
            run.require_workers(wanted, seconds)

    def missing_worker(self, run: Run, name: str) -> NoWorker | None:
        """Return the error of a queue that no worker serves at this moment, or None."""
        try:
            self.require_workers(run, [name])
        except NoWorker as error:
            return error
        return None

    def close(self) -> None:
        """Close the connections to Redis and the local services."""
        self.backend.close()
        if self.embedded:
            self.embedded.close()


def runs(settings: Settings | None) -> list[RunInfo]:
    """Return all runs that Redis still holds, the latest first."""
    access = Access(settings, worker=False)
    try:
        with contact():
            return access.backend.runs()
    finally:
        access.close()
