"""What nepiq adds to a Celery worker: its leases, its sweeper and its exit watcher."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from ..controller.errors import NepiqError
from ..controller.model import registry
from ..controller.settings import Settings
from . import runtime
from .metrics import Exposed
from .sweeper import Sweeper
from .watcher import Watcher

log = logging.getLogger("nepiq.worker")

if TYPE_CHECKING:

    class _Step:
        def __init__(self, parent: Any, **options: Any) -> None: ...

else:
    _Step = bootsteps.StartStopStep


class NepiqStep(_Step):
    """Starts nepiq's threads before the worker consumes, and ends them after it has stopped."""

    requires = frozenset({"celery.worker.components:Pool"})

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._threads: list[Any] = []
        self._runtime: runtime.Runtime | None = None

    def start(self, parent: Any) -> None:
        """Connect, import what the settings list, and start the threads."""
        settings = Settings.from_environment()
        registry.load_imports(settings.imports)
        queues = [queue.name for queue in parent.app.amqp.queues.consume_from.values()]
        self._runtime = made = runtime.Runtime(
            settings, parent.hostname, queues, parent.concurrency
        )
        runtime.install(made)
        if settings.metrics:
            made.metrics = _served(made)
        made.beat()
        made.watcher = Watcher(made)
        self._threads = [made.keeper, Sweeper(made), made.watcher]
        for thread in self._threads:
            thread.start()
        log.info("serving %s", ", ".join(sorted(queues)), extra={"action": "worker_started"})

    def stop(self, parent: Any) -> None:
        """End the threads; the pool has finished its steps by then."""
        for thread in reversed(self._threads):
            thread.end()
        if self._runtime is not None:
            for thread in self._threads:
                thread.join(timeout=5.0)
            self._runtime.farewell()
            self._runtime.close()
            runtime.install(None)

    def terminate(self, parent: Any) -> None:
        """The same for a worker that ends at once."""
        self.stop(parent)


def _served(made: runtime.Runtime) -> Exposed:
    try:
        served = Exposed(made)
    except NepiqError as error:
        log.error("%s", error, extra={"action": "metrics_failed"})  # noqa: TRY400 - it says all
        raise SystemExit(error.exit_code) from None
    log.info("metrics at %s", served.url, extra={"action": "metrics_served"})
    return served
