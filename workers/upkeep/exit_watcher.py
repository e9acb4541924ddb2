"""The exit watcher, which sees to it that each node with a journal is watched.

One worker that reaches a node holds its watch lease, and follows its journal (:mod:`.node_watch`).
Another worker that gets the lease continues from the last recorded offset.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time

from redis.exceptions import RedisError

from ...controller.engine.messaging import queues
from ...controller.engine.run import Run
from ...controller.engine.store import keys
from ..runtime import fault_injection
from ..runtime.context import Runtime
from .node_watch import NodeWatch

log = logging.getLogger("nepiq.watcher")

PERIOD = 1.0
PREFERENCE = 4.0
"""Seconds for which only the preferred worker of a host may take the watch of its node."""


class Watcher(threading.Thread):
    """The thread that finds nodes without a valid watch lease, and watches them.

    Args:
        runtime: of this worker.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="nepiq-watcher", daemon=True)
        self._runtime = runtime
        self._wakeup = threading.Event()
        self._ended = False
        self._watches: dict[tuple[str, int], NodeWatch] = {}
        # Nodes left to their preferred worker, and since when.
        self._deferred: dict[tuple[str, int], float] = {}

    @property
    def followed(self) -> int:
        """The number of nodes whose journals are followed."""
        return sum(watch.is_alive() for watch in list(self._watches.values()))

    def poke(self) -> None:
        """Look for nodes now, since one has just become READY."""
        self._wakeup.set()

    def run(self) -> None:
        """Look for nodes once a second, and after each :meth:`poke`, until :meth:`end`."""
        while not self._ended:
            try:
                self._look()
                self._runtime.sessions.rest(self._runtime.settings.session_idle)
            except (RedisError, OSError) as error:
                log.warning("cannot look for nodes: %s", error, extra={"action": "watch_failed"})
            except Exception:
                log.exception("unexpected error in the watcher", extra={"action": "watch_error"})
            self._wakeup.wait(PERIOD)
            self._wakeup.clear()
        watches = list(self._watches.values())
        for watch in watches:  # one may have started after end()
            watch.end()
        for watch in watches:
            watch.join(timeout=2.0)

    def end(self) -> None:
        """Stop watching and release the leases, so that other workers take over at once."""
        self._ended = True
        self._wakeup.set()
        for watch in list(self._watches.values()):
            watch.end()

    def _look(self) -> None:
        runtime = self._runtime
        self._watches = {key: w for key, w in self._watches.items() if w.is_alive()}
        deferred, self._deferred = self._deferred, {}
        active = keys.active(runtime.settings.broker_name)
        for raw in runtime.members(active):
            run = runtime.run(raw.decode())
            for node in _unwatched(run):
                key = (run.run_id, node)
                route = "" if key in self._watches else _route(run, node)
                if queues.shared(route) not in runtime.queues:
                    continue
                since = deferred.get(key, time.monotonic())
                preferred = runtime.backend.affinity.worker(route)
                if preferred not in ("", runtime.name) and time.monotonic() - since < PREFERENCE:
                    self._deferred[key] = since
                    continue
                fault_injection.point("looking")
                holder = f"{runtime.name} {secrets.token_hex(4)}"
                granted = run.store.watch(node, holder)
                if granted.status == "OK":
                    watch = NodeWatch(runtime, run, node, holder, granted)
                    watch.hold_while(route, preferred)
                    self._watches[key] = watch
                    watch.start()


def _route(run: Run, node: int) -> str:
    """Return ``queue@host`` of the steps on a host; empty if there is no such host."""
    record = run.store.record(node)
    if record is None:
        return ""
    if record.local:
        meta = run.store.meta()
        return queues.of_machine(meta.bindings.get(record.site, "") if meta else "")
    return f"{record.queue}@{record.affinity}" if record.affinity else record.queue


def _unwatched(run: Run) -> list[int]:
    """Return the nodes of a run whose watch leases have expired."""
    watches = run.store.watches()
    if not watches:
        return []
    now = run.store.now()
    return [node for node, until in watches.items() if until <= now]
