"""Streams of server-sent events, and the browsers that receive them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
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


class Subscribers:
    """The browsers that receive the same messages."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def send(self, text: bytes) -> None:
        """Send a message to all; disconnect a browser that does not read."""
        for queue in list(self._queues):
            if queue.qsize() >= _FULL:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(text)

    async def stream(self, first: list[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield first messages, then those that are sent, and a comment in a silence."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for text in first:
            queue.put_nowait(text)
        self._queues.add(queue)
        try:
            while True:
                try:
                    text_or_end = await asyncio.wait_for(queue.get(), BEAT)
                except asyncio.TimeoutError:
                    text_or_end = b": beat\n\n"
                if text_or_end is None:
                    return
                yield text_or_end
        finally:
            self._queues.discard(queue)
