"""Boot step that adds nepiq's leases, sweeper and exit watcher to a Celery worker."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from redis.exceptions import RedisError

from ...controller.engine.messaging.celery_app import queue
from ...controller.engine.messaging.queues import of_worker, site_of
from ...controller.errors import ClockError, EmbeddedError, NepiqError, ProtocolMismatch
from ...controller.model import registry
from ...controller.services import embedded
from ...controller.services.restarter import READY
from ...controller.settings import Settings
from ..runtime import context
from ..runtime.prometheus_metrics import PrometheusMetrics
from ..upkeep.exit_watcher import Watcher
from ..upkeep.remnants import Remnants
from ..upkeep.sweeper import Sweeper
from . import drain

log = logging.getLogger("nepiq.worker")

if TYPE_CHECKING:

    class _Step:
        def __init__(self, parent: Any, **options: Any) -> None: ...

else:
    _Step = bootsteps.StartStopStep


class NepiqStep(_Step):
    """The boot step that runs nepiq's threads from before the first step until after the last.

    Celery stops its components in reverse order of start: the consumer, this step, the pool.
    """

    requires = frozenset({"celery.worker.components:Pool"})

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._sweeper: Sweeper | None = None
        self._watcher: Watcher | None = None
        self._runtime: context.Runtime | None = None
        # Removed from the environment: applications on this machine must not inherit it.
        self._daemon = os.environ.pop(embedded.DAEMON_PID, "")

    def start(self, parent: Any) -> None:
        """Connect, import what the settings list, and start the threads.

        Raises:
            SystemExit: the worker may not take part; the reason is on stderr.
        """
        settings = Settings.from_environment()
        registry.load_imports(settings.imports)
        queues = _queues(parent)
        runtime = context.Runtime(settings, parent.hostname, queues, parent.concurrency)
        runtime.remnants = Remnants(runtime)
        try:
            runtime.join()
        except (ClockError, ProtocolMismatch) as error:
            runtime.close()
            sys.stderr.write(f"nepiq: {error}\n")
            # An exit code of its own: after other failures the worker is restarted.
            raise SystemExit(error.exit_code) from error
        self._runtime = runtime
        runtime.on_pause = _Consumption(parent, queues).pause
        context.install(runtime)
        if settings.metrics:
            runtime.metrics = _serve_metrics(runtime)
        runtime.heartbeat()
        runtime.watcher = self._watcher = Watcher(runtime)
        self._sweeper = Sweeper(runtime)
        for thread in (runtime.lease_renewer, self._sweeper, self._watcher):
            thread.start()
        _notify_restarter()
        log.info("serving %s", ", ".join(sorted(queues)), extra={"action": "worker_started"})

    def stop(self, parent: Any) -> None:
        """Requeue steps that have not begun, finish the others, and end the threads."""
        if self._runtime is None:
            return
        self._restart_daemon(self._runtime.settings)
        drain.give_back(self._runtime, parent)
        self._end_upkeep()
        finished = drain.finish(self._runtime)
        self._end(self._runtime)
        if not finished:
            drain.leave()

    def _restart_daemon(self, settings: Settings) -> None:
        """Restart the daemon of the local services if it was killed, so that runs continue."""
        try:
            embedded.revive(settings.state_home, settings.imports, self._daemon)
        except EmbeddedError as error:
            log.warning("cannot restart the local services: %s", error)

    def terminate(self, parent: Any) -> None:
        """End the worker without finishing its steps; their leases expire."""
        if self._runtime is not None:
            self._end_upkeep()
            self._end(self._runtime)

    def _end_upkeep(self) -> None:
        """End the exit watcher and the sweeper, so that other workers take over."""
        threads = [thread for thread in (self._watcher, self._sweeper) if thread is not None]
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join(timeout=5.0)

    def _end(self, runtime: context.Runtime) -> None:
        runtime.lease_renewer.end()
        runtime.lease_renewer.join(timeout=5.0)
        try:
            runtime.unregister()
        except (RedisError, OSError) as error:
            log.warning("cannot unregister this worker: %s", error, extra={"action": "drain"})
        runtime.close()
        context.install(None)
        self._runtime = None


def _queues(parent: Any) -> list[str]:
    """Add this worker's own queue for each site; return the names of all that it consumes."""
    app_queues = parent.app.amqp.queues
    shared = [queue.name for queue in app_queues.consume_from.values()]
    own = [of_worker(name, parent.hostname) for name in shared if site_of(name)]
    for name in own:
        app_queues.select_add(queue(name))
    return [*shared, *own]


def _notify_restarter() -> None:
    """Notify the restarter process that this worker serves."""
    text = os.environ.pop(READY, "")
    if text:
        with contextlib.suppress(OSError):  # the restarter may not read it
            os.write(int(text), b".")
            os.close(int(text))


class _Consumption:
    """The queues that a worker consumes, which only its event loop may change.

    Args:
        parent: Celery's worker.
        queues: names of the queues.
    """

    def __init__(self, parent: Any, queues: list[str]) -> None:
        self._parent = parent
        self._queues = queues

    def pause(self, paused: bool) -> None:
        """Make the event loop cancel or resume the consumption of all queues."""
        hub = getattr(self._parent, "hub", None)
        if hub is not None:
            hub.call_soon(self._change, paused)

    def _change(self, paused: bool) -> None:
        consumer = self._parent.consumer
        change = consumer.cancel_task_queue if paused else consumer.add_task_queue
        for name in self._queues:
            change(name)


def _serve_metrics(runtime: context.Runtime) -> PrometheusMetrics:
    try:
        metrics = PrometheusMetrics(runtime)
    except NepiqError as error:
        log.error("%s", error, extra={"action": "metrics_failed"})  # noqa: TRY400 - the traceback adds nothing
        raise SystemExit(error.exit_code) from None
    log.info("metrics at %s", metrics.url, extra={"action": "metrics_served"})
    return metrics
