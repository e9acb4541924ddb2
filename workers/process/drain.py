"""The end of a worker: what it holds goes to the others, and what it carries out is finished.

It comes by SIGTERM, which ``nepiq drain`` has the worker send to itself. By then Celery has
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
_TOLD_EVERY = 10.0
#: Seconds that threads get to notice that their sessions were closed.
_LAST = 3.0


def give_back(runtime: Runtime, parent: Any) -> None:
    """Return at once what has not begun: messages with an ETA, and those that wait for a thread.

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
            consumer.channel.qos.restore_unacked()
            queues.hand_over(runtime.stack.broker, runtime.own_queues)
        except Exception as error:  # noqa: BLE001 - whatever a broken connection raises
            log.warning("cannot return messages: %s", error, extra={"action": "drain"})
    try:
        runtime.beat()
    except (RedisError, OSError) as error:
        log.warning("cannot tell the others: %s", error, extra={"action": "drain"})


def finish(runtime: Runtime) -> bool:
    """Wait for what is carried out, at most the time that a drain has; then hand it over.

    A step that is handed over begins again on another worker; the fence of its host refuses what
    this one still does.

    Returns:
        False if a thread does not end.
    """
    if _idle_within(runtime.drain_timeout):
        return True
    # If Redis is away the leases run out; that is no reason to wait for it.
    runtime.redis.set_retry(Retry(NoBackoff(), 1))
    leases = runtime.keeper.held()
    log.warning("handing over %d running steps", len(leases), extra={"action": "drain"})
    for lease in leases:
        try:
            lease.run.again(lease.step, lease.token, 0.0, "later")
        except (RedisError, OSError) as error:
            log.warning("cannot hand over: %s", error, extra={"action": "drain"})
        lease.extend(0.0)
        lease.cancel.set()
    runtime.keeper.drop(leases)
    runtime.sessions.close()
    return _idle_within(_LAST)


def leave() -> None:
    """End the process, though a thread goes on."""
    logging.shutdown()
    os._exit(0)


def _idle_within(seconds: float) -> bool:
    end = time.monotonic() + seconds
    told = time.monotonic()
    while state.active_requests:
        now = time.monotonic()
        if now >= end:
            return False
        if now - told > _TOLD_EVERY:
            told = now
            log.info("%d tasks go on", len(state.active_requests), extra={"action": "drain"})
        # Celery gives no event when the last task has ended.
        time.sleep(_TICK)
    return True
