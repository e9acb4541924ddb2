"""A feed of the whole installation, read after events of runs and at least once a second."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine import events
from ..engine.installation import Observer, Overview
from .messages import FLUSH, ThreadFeed, message

if TYPE_CHECKING:
    from ..engine import Backend

LOOK = 1.0
"""Seconds after which the installation is read although no run had an event: what is new, such as
a run, gives none."""


class OverviewFeed(ThreadFeed):
    """Parts of a page about the installation; a part is sent when it has changed.

    Args:
        name: name of the thread.
        backend: the installation.
    """

    def __init__(self, name: str, backend: Backend) -> None:
        super().__init__(name)
        self.backend = backend
        self._last: Mapping[str, Mapping[str, Any]] = {}
        self._now = 0.0

    def parts(self, overview: Overview) -> Mapping[str, Mapping[str, Any]]:
        """Return the data of each part by its kind; called in the thread.

        ``now`` is added, the time by Redis' clock, which does not count as a change.
        """
        raise NotImplementedError

    def contents(self, last: str) -> Sequence[bytes]:
        """Return all parts, whatever a browser has received."""
        del last
        return self._messages(self._last)

    def follow(self, over: threading.Event) -> None:
        """Read the installation until ``over``."""
        observer = Observer(self.backend.settings)
        try:
            while not over.is_set():
                overview = observer.look()
                self.publish(over, self._take, overview.at, self.parts(overview))
                self.wait(overview, over)
        finally:
            observer.close()

    def wait(self, overview: Overview, over: threading.Event) -> None:
        """Wait for an event of an active run; then let more come, to send them together."""
        positions = {run.run_id: run.last for run in overview.runs}
        if not positions:
            over.wait(LOOK)
        elif events.wait(self.backend.redis, positions, LOOK):
            over.wait(FLUSH)

    def _take(self, now: float, parts: Mapping[str, Mapping[str, Any]]) -> list[bytes]:
        changed = {kind: data for kind, data in parts.items() if self._last.get(kind) != data}
        self._now, self._last = now, parts
        return self._messages(changed)

    def _messages(self, parts: Mapping[str, Mapping[str, Any]]) -> list[bytes]:
        return [message(kind, {**data, "now": self._now}) for kind, data in parts.items()]
