"""The feed of an output: its end, and what is added while a browser shows it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..experiment.logs import Following, can_follow
from ..experiment.waiting import FINISHED
from . import answers
from .messages import FLUSH, ThreadFeed, message

if TYPE_CHECKING:
    from ..engine import Run


class TailFeed(ThreadFeed):
    """The end of one output.

    It keeps the last 64 kB, and sends at most as much every 0.2 s: of an output that grows faster,
    a part is left out, and the page is told how much.

    Args:
        run: the run.
        guid: the resource.
        name: the output.
    """

    def __init__(self, run: Run, guid: int, name: str) -> None:
        super().__init__("nepiq-web-tail")
        self._run, self._guid, self._output = run, guid, name
        self._state: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._added, self._left_out = "", 0
        self._following: Following | None = None

    def contents(self, last: str) -> Sequence[bytes]:
        """Return the end of the output."""
        del last
        return [message("text", {**self._state, "all": True})]

    def close(self) -> None:
        """Stop reading, also on the host."""
        super().close()
        with self._lock:
            following, self._following = self._following, None
        if following is not None:
            following.stop()

    def follow(self, over: threading.Event) -> None:
        """Read the end of the output, then what is added until the resource ends."""
        record = self._run.record(self._guid)
        running = can_follow(record, self._output) and record.state not in FINISHED.states
        state = answers.output(self._run, self._guid, self._output)
        if running and "error" in state and "STARTED" not in record.milestones:
            state = {"text": "", "size": 0}
        state["running"] = running and "error" not in state
        with self._lock:
            self._added, self._left_out = "", 0
        self.publish(over, self._replace, state)
        if not state["running"]:
            return
        following = Following(self._run, [record], piece=self._output, offset=state["size"])
        with self._lock:
            if over.is_set():
                return
            self._following = following
        for _, _, text in following.lines():
            self._add(over, answers.shown(text))
        self.publish(over, self._finish)

    def _add(self, over: threading.Event, text: str) -> None:
        """Add text; have the event loop send it soon, unless it is about to send earlier text."""
        with self._lock:
            is_first = not self._added
            added = self._added + text
            self._added = added[-answers.END :]
            self._left_out += len(added) - len(self._added)
        if is_first:
            self.publish(over, self._schedule)

    # -- in the event loop --------------------------------------------------------------------

    def _replace(self, state: dict[str, Any]) -> list[bytes]:
        self._state = state
        return [message("text", {**state, "all": True})]

    def _schedule(self) -> list[bytes]:
        self._loop.call_later(FLUSH, self._flush)
        return []

    def _flush(self) -> None:
        for text in self._collect():
            self.send(text)

    def _collect(self) -> list[bytes]:
        with self._lock:
            added, self._added = self._added, ""
            left_out, self._left_out = self._left_out, 0
        if not added:
            return []
        text = added if left_out else (self._state["text"] + added)[-answers.END :]
        self._state = {**self._state, "text": text, "size": None}
        told = {"all": False, "text": added, "left_out": left_out, "running": True}
        return [message("text", told)]

    def _finish(self) -> list[bytes]:
        self._state = {**self._state, "running": False}
        return [*self._collect(), message("end", {})]
