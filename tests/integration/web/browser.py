"""A browser of the live page, as far as a test needs one: requests, a cookie, event streams."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """A response."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.text)


class Stream:
    """A stream of server-sent events."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self._response = response
        self.last = ""

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield the kind and data of each event."""
        kind = ""
        while line := self._response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last = value
            elif name == "data":
                yield kind, json.loads(value)
        raise AssertionError("the stream has ended")

    def until(self, kind: str, fits: Callable[[Any], object] = lambda data: True) -> Any:
        """Return the data of the next event of a kind that fits."""
        for here, data in self.events():
            if here == kind and fits(data):
                return data
        raise AssertionError("not reached")


class Browser:
    """A browser.

    Args:
        port: the server.
        token: the token in the link; empty for none.
    """

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.cookie = ""
        if token:
            reply = self.get(f"/?token={token}")
            self.cookie = reply.headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Return the response to a request."""
        with self._requested(path, method, headers) as response:
            return Reply(response.status, response.headers, response.read().decode())

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Stream]:
        """Open a stream."""
        with self._requested(path, "GET", headers) as response:
            yield Stream(response)

    @contextmanager
    def _requested(
        self, path: str, method: str, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            cookie = {"Cookie": self.cookie} if self.cookie else {}
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={**cookie, **names})
            yield connection.getresponse()
        finally:
            connection.close()
