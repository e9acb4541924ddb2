"""How a client reaches the engine: through a Redis that was named, or the embedded stack."""

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

    from ..engine import Run, RunInfo, Stack
    from ..services.embedded import Embedded


class Access:
    """A client's way to the engine; joins or starts the embedded stack if no Redis is named.

    Args:
        settings: where Redis is; the environment's by default.
        worker: work will be submitted, so start the embedded local worker too; False for who
            only reads.

    Raises:
        EmbeddedError: the embedded stack did not start.
    """

    def __init__(self, settings: Settings | None = None, *, worker: bool = True) -> None:
        self.settings = settings or Settings.from_environment()
        self.embedded: Embedded | None = None
        if self.settings.embedded:
            from ..services.embedded import join

            home = self.settings.state_home
            self.embedded = join(home, worker=worker, imports=self.settings.imports)
            place = self.embedded.place
            self.settings = replace(
                self.settings, broker_url=place.broker_url, state_url=place.state_url
            )
        with uninterrupted():
            from ..engine import Stack

            # An embedded stack that was killed is back in seconds.
            self.stack: Stack = Stack(self.settings, tries=24 if self.embedded else 8)
            if worker:
                self.stack.publisher.prepare()

    @contextmanager
    def kept(self) -> Iterator[Access]:
        """Close it at the end of the block only if that ends with an error."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def failure(self) -> NepiqError | None:
        """Why the embedded stack cannot carry anything out, if it cannot."""
        return self.embedded.failure() if self.embedded else None

    def require_workers(self, run: Run, names: Iterable[str], seconds: float = 0.0) -> None:
        """Return when each queue has a live worker.

        The embedded worker is on its way, or :meth:`failure` says why not.

        Raises:
            NoWorker: one has none within ``seconds``.
        """
        wanted = set(names)
        if self.embedded:
            settings = self.settings
            wanted -= {queues.COMMON, queues.of_machine(settings.machine)}
            wanted -= {queues.of_site(site) for site in settings.sites}
        if wanted:
            run.require_workers(wanted, seconds)

    def missing_worker(self, run: Run, name: str) -> NoWorker | None:
        """The error that says that nobody serves a queue at this moment, if so."""
        try:
            self.require_workers(run, [name])
        except NoWorker as error:
            return error
        return None

    def close(self) -> None:
        """Let go of Redis and of the embedded stack."""
        self.stack.close()
        if self.embedded:
            self.embedded.close()


def runs(settings: Settings | None) -> list[RunInfo]:
    """Return all runs that Redis still holds, the latest first."""
    access = Access(settings, worker=False)
    try:
        with contact():
            return access.stack.runs()
    finally:
        access.close()
