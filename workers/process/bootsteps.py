"""What nepiq adds to a Celery worker: its leases, its sweeper and its exit watcher."""

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
from ..runtime.prometheus_metrics import Exposed
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
    """Starts nepiq's threads before the worker consumes, and ends them after its last step.

    Celery stops what was started last first: the consumer, then this, then the pool.
    """

    requires = frozenset({"celery.worker.components:Pool"})

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._sweeper: Sweeper | None = None
        self._watcher: Watcher | None = None
        self._runtime: context.Runtime | None = None
        # Not for the applications on this machine.
        self._keeper = os.environ.pop(embedded.KEEPER, "")

    def start(self, parent: Any) -> None:
        """Connect, import what the settings list, and start the threads.

        Raises:
            SystemExit: the worker may not take part; says why on stderr.
        """
        settings = Settings.from_environment()
        registry.load_imports(settings.imports)
        queues = _queues(parent)
        made = context.Runtime(settings, parent.hostname, queues, parent.concurrency)
        made.remnants = Remnants(made)
        try:
            made.join()
        except (ClockError, ProtocolMismatch) as error:
            made.close()
            sys.stderr.write(f"nepiq: {error}\n")
            # Told apart from an accident, after which the worker is started again.
            raise SystemExit(error.exit_code) from error
        self._runtime = made
        made.on_pause = _Consumption(parent, queues).pause
        context.install(made)
        if settings.metrics:
            made.metrics = _served(made)
        made.beat()
        made.watcher = self._watcher = Watcher(made)
        self._sweeper = Sweeper(made)
        for thread in (made.keeper, self._sweeper, self._watcher):
            thread.start()
        _tell_guardian()
        log.info("serving %s", ", ".join(sorted(queues)), extra={"action": "worker_started"})

    def stop(self, parent: Any) -> None:
        """Hand over what has not begun, finish what has, and end the threads."""
        if self._runtime is None:
            return
        self._revive(self._runtime.settings)
        drain.give_back(self._runtime, parent)
        self._end_lookouts()
        finished = drain.finish(self._runtime)
        self._end(self._runtime)
        if not finished:
            drain.leave()

    def _revive(self, settings: Settings) -> None:
        """Whoever kills the keeper of the embedded stack ends its worker with it, but no run."""
        try:
            embedded.revive(settings.state_home, settings.imports, self._keeper)
        except EmbeddedError as error:
            log.warning("the embedded stack is not started again: %s", error)

    def terminate(self, parent: Any) -> None:
        """The end of a worker that does not finish its steps: their leases run out."""
        if self._runtime is not None:
            self._end_lookouts()
            self._end(self._runtime)

    def _end_lookouts(self) -> None:
        """End what others shall do from now on."""
        threads = [thread for thread in (self._watcher, self._sweeper) if thread is not None]
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join(timeout=5.0)

    def _end(self, ended: context.Runtime) -> None:
        ended.keeper.end()
        ended.keeper.join(timeout=5.0)
        try:
            ended.farewell()
        except (RedisError, OSError) as error:
            log.warning("cannot say farewell: %s", error, extra={"action": "drain"})
        ended.close()
        context.install(None)
        self._runtime = None


def _queues(parent: Any) -> list[str]:
    """What this worker shall consume: what its application says, and its own of each site."""
    served = parent.app.amqp.queues
    shared = [queue.name for queue in served.consume_from.values()]
    own = [of_worker(name, parent.hostname) for name in shared if site_of(name)]
    for name in own:
        served.select_add(queue(name))
    return [*shared, *own]


def _tell_guardian() -> None:
    """Tell whoever restarts this worker that it serves."""
    text = os.environ.pop(READY, "")
    if text:
        with contextlib.suppress(OSError):  # it may not listen
            os.write(int(text), b".")
            os.close(int(text))


class _Consumption:
    """What a worker consumes, which only its event loop may change.

    Args:
        parent: Celery's worker.
        queues: what it serves.
    """

    def __init__(self, parent: Any, queues: list[str]) -> None:
        self._parent = parent
        self._queues = queues

    def pause(self, paused: bool) -> None:
        """Have the loop consume nothing, or everything again."""
        hub = getattr(self._parent, "hub", None)
        if hub is not None:
            hub.call_soon(self._change, paused)

    def _change(self, paused: bool) -> None:
        consumer = self._parent.consumer
        change = consumer.cancel_task_queue if paused else consumer.add_task_queue
        for name in self._queues:
            change(name)


def _served(made: context.Runtime) -> Exposed:
    try:
        served = Exposed(made)
    except NepiqError as error:
        log.error("%s", error, extra={"action": "metrics_failed"})  # noqa: TRY400 - it says all
        raise SystemExit(error.exit_code) from None
    log.info("metrics at %s", served.url, extra={"action": "metrics_served"})
    return served
