"""Shutdown of a worker: waiting messages go to other workers, running steps are finished.

It begins with SIGTERM, which a worker sends to itself after ``nepiq drain``. By then Celery has
stopped consuming.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from celery.worker import state
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ...controller.engine.messaging import queues
from ..runtime.context import Runtime

log = logging.getLogger("nepiq.worker")

_TICK = 0.05
_LOG_INTERVAL = 10.0
#: Seconds that threads have to notice that their sessions were closed.
_LAST = 3.0


def give_back(runtime: Runtime, parent: Any) -> None:
    """Return the messages that have not begun: those with an ETA, and those without a thread.

    Args:
        runtime: of this worker.
        parent: Celery's worker.
    """
    runtime.draining = True
    executor = getattr(parent.pool, "executor", None)  # of the threads pool
    if executor is not None:
        executor.shutdown(wait=False, cancel_futures=True)
    consumer = getattr(parent.consumer, "task_consumer", None)
    if consumer is not None:
        try:
            consumer.channel.give_back()
            queues.hand_over(runtime.backend.broker, runtime.own_queues)
        except Exception as error:  # noqa: BLE001 - a broken connection may raise anything
            log.warning("cannot return messages: %s", error, extra={"action": "drain"})
    try:
        runtime.heartbeat()
    except (RedisError, OSError) as error:
        log.warning("cannot send a heartbeat: %s", error, extra={"action": "drain"})


def finish(runtime: Runtime) -> bool:
    """Wait for running steps, at most for the drain timeout; then requeue them.

    A requeued step is retried by another worker; the fence of its host refuses what this worker
    still does.

    Returns:
        False if a thread does not end.
    """
    if _idle_within(runtime.drain_timeout):
        return True
    # Without Redis the leases expire, so there is no reason to wait for it.
    runtime.redis.set_retry(Retry(NoBackoff(), 1))
    leases = runtime.lease_renewer.held()
    log.warning("requeueing %d running steps", len(leases), extra={"action": "drain"})
    for lease in leases:
        try:
            lease.run.again(lease.step, lease.token, 0.0, "later")
        except (RedisError, OSError) as error:
            log.warning("cannot requeue a step: %s", error, extra={"action": "drain"})
        lease.extend(0.0)
        lease.cancel.set()
    runtime.lease_renewer.drop(leases)
    runtime.sessions.close()
    return _idle_within(_LAST)


def leave() -> None:
    """End the process although a thread is still running."""
    logging.shutdown()
    os._exit(0)


def _idle_within(seconds: float) -> bool:
    end = time.monotonic() + seconds
    logged_at = time.monotonic()
    while state.active_requests:
        now = time.monotonic()
        if now >= end:
            return False
        if now - logged_at > _LOG_INTERVAL:
            logged_at = now
            log.info(
                "waiting for %d running tasks",
                len(state.active_requests),
                extra={"action": "drain"},
            )
        # Celery has no event for the end of the last task.
        time.sleep(_TICK)
    return True
