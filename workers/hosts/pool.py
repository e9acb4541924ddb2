"""The sessions of one worker process."""

from __future__ import annotations

import threading
from typing import Protocol

from ...controller.errors import HostError
from ...controller.model.resource import Placement
from .local import LocalSession
from .session import Session


class Placed(Protocol):
    """A resource manager that provides a host, as far as sessions are concerned."""

    def placement(self) -> Placement:
        """Where the host is reached from."""


class SessionPool:
    """One session per kind and address, shared by all who act there, reopened when lost."""

    def __init__(self) -> None:
        """Make a pool without sessions."""
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()
        self._closed = False

    def session(self, node: Placed) -> Session:
        """A living session with the host of a node.

        Raises:
            HostError: the host cannot be reached, or the pool is closed.
        """
        if not node.placement().local:
            raise HostError(
                "only hosts that are the worker machine itself can be reached",
                hint='use hostname="localhost"',
            )
        home = str(getattr(node, "home", "") or "")
        key = ("local", home)
        with self._lock:
            if self._closed:
                raise HostError("the worker is going down")
            session = self._sessions.get(key)
            if session is None or session.closed:
                session = self._sessions[key] = LocalSession(home=home)
            return session

    def close(self) -> None:
        """Close every session, and open no more."""
        with self._lock:
            self._closed = True
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.close()
