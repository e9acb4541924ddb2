"""Sessions with hosts over SSH."""

from __future__ import annotations

import threading

from ....controller.model.durations import Deadline
from ..answers import OUTPUT
from ..channel import Patience
from ..session import Completed, give_up
from .channel import SshChannel
from .connection import Connection


class SshSession:
    """A session over an SSH connection that is shared with others.

    The user's login shell on the host runs the commands. It must take the command language of
    POSIX, as sh, dash, bash, ksh and zsh do.

    Args:
        connection: with the host; it is made when it is first used, and again when it was lost.
        home: absolute directory under which ``.nepiq`` lies; the login home if empty.
    """

    def __init__(self, connection: Connection, *, home: str = "") -> None:
        self._connection, self._home = connection, home

    @property
    def home(self) -> str:
        """The directory of ``.nepiq``; "" for the login home."""
        return self._home

    @property
    def closed(self) -> bool:
        """True once it is closed; a lost connection is made again."""
        return self._connection.closed

    @property
    def host_key(self) -> str:
        """The key that the host has proved to have, as ``KIND BASE64``; empty before that."""
        return self._connection.host_key

    def check(self) -> None:
        """Raise if the host is known not to answer; see :meth:`Session.check`."""
        self._connection.check()

    def execute(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        deadline: Deadline,
        cancel: threading.Event | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        """Run a command to its end; see :meth:`Session.execute`."""
        give_up(deadline, cancel)
        channel = self._connection.run(command, Patience(deadline, cancel), lasting=False)
        try:
            done = channel.collect(stdin, most)
        except BaseException:
            channel.close(farewell=0.0)
            raise
        channel.free()
        return done

    def open(
        self,
        command: str,
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
    ) -> SshChannel:
        """Start a command and talk with it; see :meth:`Session.open`."""
        return self._connection.run(command, Patience(deadline, cancel, silence), lasting=True)

    def close(self) -> None:
        """Close the connection, and with it all other sessions that use it."""
        self._connection.close()
