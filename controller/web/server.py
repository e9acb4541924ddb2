"""The server of the live page, on the loopback address of this machine."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn

from ..engine import Backend, threads
from ..errors import InfrastructureError
from ..settings import Settings
from . import PORT
from .app import Pages

ADDRESS = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that ends the streams of browsers first, which would otherwise go on."""

    def __init__(self, config: uvicorn.Config, pages: Pages) -> None:
        super().__init__(config)
        self._pages = pages

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._pages.end()
        await super().shutdown(sockets)


class WebServer:
    """A server of the live page.

    Args:
        settings: the installation, with its URLs.
        port: the port; 0 for any free one.
        token: the password in the links; generated if empty.

    Raises:
        InfrastructureError: the port is in use.
    """

    def __init__(self, settings: Settings, port: int = PORT, token: str = "") -> None:
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.token = token or secrets.token_urlsafe(24)
        # One retry: the page reports at once that Redis is away, and reads again by itself.
        self._backend = Backend(settings, tries=1)
        pages = Pages(self._backend)
        config = uvicorn.Config(
            pages.app(self.token, f"nepiq-{self.port}"),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config, pages)

    def link(self, path: str = "/") -> str:
        """Return the URL of a page, with the token."""
        return f"http://{ADDRESS}:{self.port}{path}?token={self.token}"

    def serve(self) -> None:
        """Serve until SIGTERM or ctrl-C; called in the main thread."""
        # uvicorn raises the signal that has ended it once more.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run(sockets=[self._socket])
        finally:
            self._close()

    @contextlib.contextmanager
    def beside(self) -> Iterator[WebServer]:
        """Serve in a thread within this."""
        thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="nepiq-web", daemon=True
        )
        threads.start(thread)
        try:
            yield self
        finally:
            self._server.should_exit = True
            thread.join()
            self._close()

    def _close(self) -> None:
        self._socket.close()
        self._backend.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InfrastructureError(
            f"cannot serve the page at {ADDRESS}:{port}: {error.strerror or error}",
            hint="choose another port: nepiq web --port 0",
        ) from error
    return listener
