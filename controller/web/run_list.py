"""The feed of the list of runs: active ones with their states, and the latest that ended."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..engine import events, threads
from ..engine.installation import Observer, Overview
from ..engine.redis_errors import contact
from ..errors import RedisUnreachable
from ..errors.text import LONGEST_MESSAGE, escaped, one_line
from .messages import Feed, message

if TYPE_CHECKING:
    from ..engine import Backend, RunInfo

PAGE = 100
"""Ended runs that are listed at a time."""

LOOK = 1.0
"""Seconds after which the installation is read although no run had an event: runs may be new."""

_PAUSE = 0.2


def ended_run(info: RunInfo) -> dict[str, Any]:
    """Return a run for the page."""
    cause: Mapping[str, Any] = info.cause or {}
    error = (cause.get("error") or {}).get("message", "")
    text = f"{cause.get('label', '')}: {error}" if cause else ""
    return {
        "id": info.run_id,
        "name": escaped(info.exp_id),
        "phase": info.phase,
        "created": info.created,
        "cause": one_line(text, LONGEST_MESSAGE),
        "live": info.live,
    }


class ListFeed(Feed):
    """The list of runs, and the thread that follows it while browsers show it.

    Args:
        backend: the installation.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._last = b""
        self._over = threading.Event()

    def open(self) -> None:
        """Begin to follow the list."""
        self._over = over = threading.Event()
        thread = threading.Thread(
            target=self._follow, args=(over,), name="nepiq-web-runs", daemon=True
        )
        threads.start(thread)

    def close(self) -> None:
        """Stop to follow the list."""
        self._over.set()

    def first(self, last: str) -> list[bytes]:
        """Return the whole list, whatever a browser has received."""
        del last
        return [self._last]

    def _send(self, over: threading.Event, text: bytes) -> None:
        """Have the event loop send a message, if it is not the last one."""

        def send() -> None:
            if over is not self._over:
                return
            if text != self._last:
                self._last = text
                self.send(text)
            self.loaded()

        self.call(send)

    # -- in the thread ------------------------------------------------------------------------

    def _follow(self, over: threading.Event) -> None:
        observer = Observer(self._backend.settings)
        try:
            while not over.is_set():
                try:
                    with contact():
                        while not over.is_set():
                            overview = observer.look()
                            self._send(over, message("runs", self._list(overview)))
                            self._wait(overview, over)
                except RedisUnreachable as error:
                    self._send(over, message("away", {"message": error.message}))
                    over.wait(2 * _PAUSE)
        finally:
            observer.close()

    def _wait(self, overview: Overview, over: threading.Event) -> None:
        """Wait for an event of an active run; then let more come, to send them together."""
        positions = {run.run_id: run.last for run in overview.runs}
        if not positions:
            over.wait(LOOK)
        elif events.wait(self._backend.redis, positions, LOOK):
            over.wait(_PAUSE)

    def _list(self, overview: Overview) -> dict[str, Any]:
        backend = self._backend
        infos = {
            info.run_id: info for info in backend.runs_of([run.run_id for run in overview.runs])
        }
        active = [
            {**ended_run(infos[run.run_id]), "phase": run.phase, "states": dict(run.states)}
            for run in reversed(overview.runs)
            if run.run_id in infos
        ]
        latest = backend.runs(PAGE + len(active))
        ended = [ended_run(info) for info in latest if info.run_id not in infos]
        return {
            "active": active,
            "ended": ended[:PAGE],
            "released": overview.released,
            "workers": sum(worker.alive for worker in overview.workers),
            "waiting": sum(overview.queues.values()),
        }
