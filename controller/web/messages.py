"""Feeds of server-sent events: messages for all browsers that show the same page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ..engine import threads
from ..engine.redis_errors import contact
from ..errors import NepiqError, RedisUnreachable

BEAT = 15.0
"""Seconds without a message after which a comment is sent, which finds lost connections."""

FLUSH = 0.2
"""Seconds in which changes are collected before they are sent to browsers."""

_PAUSE = 0.5

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
        self._browsers = self._coming = 0
        self._ready = asyncio.Event()
        self._has_ended = False

    @property
    def is_used(self) -> bool:
        """True while a browser shows the page, or is about to."""
        return self._browsers + self._coming > 0

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

    def stream(self, last: str = "") -> AsyncIterator[bytes]:
        """Return the messages for one browser, and a comment in a silence.

        Args:
            last: as for :meth:`first`.
        """
        self._coming += 1
        return self._stream(last)

    async def _stream(self, last: str) -> AsyncIterator[bytes]:
        self._coming -= 1
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


class ThreadFeed(Feed):
    """A feed whose source is read by a thread while browsers show the page.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._over = threading.Event()
        self._problem = b""

    def follow(self, over: threading.Event) -> None:
        """Read the source and publish what it has until ``over``; called in the thread.

        It is called anew after Redis was away. Other errors end the feed.
        """
        raise NotImplementedError

    def contents(self, last: str) -> Sequence[bytes]:
        """Return the messages for a browser that connects; ``last`` as for :meth:`first`."""
        raise NotImplementedError

    def open(self) -> None:
        """Begin to read the source."""
        self._over = over = threading.Event()
        self._problem = b""
        thread = threading.Thread(target=self._carry, args=(over,), name=self._name, daemon=True)
        threads.start(thread)

    def close(self) -> None:
        """Stop reading."""
        self._over.set()

    def first(self, last: str) -> list[bytes]:
        """Return the contents, or why there are none."""
        return [self._problem] if self._problem else list(self.contents(last))

    def publish(
        self, over: threading.Event, function: Callable[..., Sequence[bytes]], *args: Any
    ) -> None:
        """Have the event loop call a function that takes over data and returns messages to send.

        Called in the thread; without effect when the thread is not that of this feed any more.
        """

        def call() -> None:
            if over is self._over and not over.is_set():
                messages = function(*args)
                if self._problem:  # browsers may show that Redis is away
                    self._problem, messages = b"", self.contents("")
                for text in messages:
                    self.send(text)
                self.loaded()

        self.call(call)

    def _carry(self, over: threading.Event) -> None:
        while not over.is_set():
            try:
                with contact():
                    self.follow(over)
                return
            except RedisUnreachable as error:
                self._report(over, message("away", {"message": error.message}))
                over.wait(_PAUSE)
            except NepiqError as error:
                self._report(over, message("gone", {"message": str(error)}))
                return

    def _report(self, over: threading.Event, problem: bytes) -> None:
        def call() -> None:
            if over is self._over:
                self._problem = problem
                self.send(problem)
                self.loaded()

        self.call(call)
