"""Feeds of server-sent events: messages for all browsers that show the same page."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

BEAT = 15.0
"""Seconds without a message after which a comment is sent, which finds lost connections."""

_FULL = 500
"""Messages that wait for a browser before it is disconnected; it reconnects by itself."""


def message(kind: str, data: Any, number: str = "") -> bytes:
    """Return an event of a stream.

    Args:
        kind: its type.
        data: its data, sent as JSON.
        number: its id, which the browser sends when it connects again.
    """
    identity = f"id: {number}\n" if number else ""
    text = json.dumps(data, separators=(",", ":"))
    return f"{identity}event: {kind}\ndata: {text}\n\n".encode()


class Feed:
    """Messages for browsers, from a source that is open while there are browsers.

    Its methods belong to the event loop. A derived class opens and closes the source, and returns
    what a browser receives first.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._browsers = 0
        self._ready = asyncio.Event()
        self._has_ended = False

    @property
    def is_used(self) -> bool:
        """True while a browser shows the page."""
        return self._browsers > 0

    def open(self) -> None:
        """Open the source; it calls :meth:`loaded` when :meth:`first` has something to return."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the source."""
        raise NotImplementedError

    def first(self, last: str) -> list[bytes]:
        """Return the first messages for a browser.

        Args:
            last: id of the last message that it has received; empty for none.
        """
        raise NotImplementedError

    def loaded(self) -> None:
        """Let browsers receive messages."""
        self._ready.set()

    def send(self, text: bytes) -> None:
        """Send a message to all browsers; disconnect one that does not read."""
        for queue in list(self._queues):
            if queue.qsize() >= _FULL:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(text)

    def end(self) -> None:
        """End the streams of all browsers; the server ends."""
        self._has_ended = True
        self._ready.set()
        for queue in self._queues:
            queue.put_nowait(None)

    def call(self, function: Callable[[], None]) -> None:
        """Have the event loop call a function; another thread may do this."""
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(function)

    async def stream(self, last: str = "") -> AsyncIterator[bytes]:
        """Yield the messages for one browser, and a comment in a silence."""
        self._browsers += 1
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        try:
            if self._browsers == 1:
                self._ready = asyncio.Event()
                self.open()
            await self._ready.wait()
            if self._has_ended:
                return
            for text in self.first(last):
                queue.put_nowait(text)
            self._queues.add(queue)
            while True:
                try:
                    item = await asyncio.wait_for(queue.get(), BEAT)
                except asyncio.TimeoutError:
                    item = b": beat\n\n"
                if item is None:
                    return
                yield item
        finally:
            self._queues.discard(queue)
            self._browsers -= 1
            if not self._browsers:
                self.close()
