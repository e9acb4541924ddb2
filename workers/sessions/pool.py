"""The sessions of one worker process."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ...controller.errors import HostError
from ...controller.model.login import Login
from ...controller.model.resource import Placement
from .local import LocalSession
from .secret import hide_references
from .session import Session

if TYPE_CHECKING:  # loaded with the first host over SSH: Paramiko is a fifth of a worker's start
    from .ssh import Connection, SshSession


class Placed(Protocol):
    """A resource manager that provides a host, as far as sessions are concerned."""

    def placement(self) -> Placement:
        """The machine from which the host is reached."""

    def login(self) -> Login:
        """The login, if the host is not the worker machine itself."""


class SessionPool:
    """One session per host, user and home, shared by all who act there, reopened when lost.

    Sessions that differ in nothing but the home share their connection; so do all hosts behind
    one gateway the connection with that.

    Args:
        machine: name of this worker machine, for messages.
        ssh_config: the ssh_config file to use; those of ssh(1) if empty.
    """

    def __init__(self, machine: str = "here", ssh_config: str = "") -> None:
        self._machine, self._ssh_config = machine, ssh_config
        self._local: dict[str, LocalSession] = {}
        self._remote: dict[tuple[Connection, str], SshSession] = {}
        self._connections: dict[Login, Connection] = {}
        self._lock = threading.RLock()
        self._closed = False

    def session(self, node: Placed) -> Session:
        """A session with the host of a node. Over SSH it connects when it is used.

        Raises:
            HostError: the pool is closed.
        """
        home = str(getattr(node, "home", "") or "")
        with self._lock:
            if self._closed:
                raise HostError("the worker is going down")
            if node.placement().local:
                local = self._local.get(home)
                if local is None or local.closed:
                    local = self._local[home] = LocalSession(home=home)
                return local
            from .ssh import SshSession

            connection = self.connection(node.login())
            remote = self._remote.get((connection, home))
            if remote is None:
                remote = self._remote[connection, home] = SshSession(connection, home=home)
            return remote

    def connection(self, login: Login) -> Connection:
        """The connection with a machine, whether it is made already or not.

        Raises:
            HostError: the pool is closed.
        """
        with self._lock:
            if self._closed:
                raise HostError("the worker is going down")
            connection = self._connections.get(login) or self._proven(login)
            if connection is None:
                from .ssh import Connection

                hide_references(login)
                connection = Connection(login, self._machine, self.connection, self._ssh_config)
                self._connections[login] = connection
            return connection

    def _proven(self, login: Login) -> Connection | None:
        """Return an open connection made before the host's key was on record, with that key."""
        connection = self._connections.get(replace(login, server_key=""))
        if connection is None or not connection.alive or connection.host_key != login.server_key:
            return None
        return connection

    def standings(self) -> dict[str, int]:
        """Return the number of connections by state: ``open``, ``silent``, ``lost``."""
        with self._lock:
            connections = list(self._connections.values())
            local = sum(not session.closed for session in self._local.values())
        counted = Counter(connection.standing for connection in connections)
        counted["open"] += local
        return {name: count for name, count in counted.items() if name and count}

    def rest(self, seconds: float) -> None:
        """Disconnect from machines that nothing has used for so long."""
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            connection.rest(seconds)

    def close(self) -> None:
        """Close every session, and open no more."""
        with self._lock:
            self._closed = True
            sessions, connections = [*self._local.values()], [*self._connections.values()]
            self._local.clear()
            self._remote.clear()
            self._connections.clear()
        for session in sessions:
            session.close()
        for connection in connections:
            connection.close()
