"""Channels of a connection: those that the other side was asked to open, and the open ones."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import paramiko

from .. import running_time
from ..answers import SAID

#: Seconds that a host may take to open a channel, before the connection counts as lost.
OPENING = 20.0


class ChannelRefused(Exception):
    """The other side opens no channel.

    Attributes:
        code: why, by RFC 4254, section 5.1.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason[:SAID])
        self.code = code


@dataclass
class Opening:
    """A channel that the other side was asked to open.

    Attributes:
        channel: the channel.
        leave: called once when the other side no longer counts the channel.
        answered: set by Paramiko with the answer, or with the end of the connection.
        since: when it was asked.
        refusal: the answer, if it was no.
        abandoned: nobody waits for it any more.
    """

    channel: paramiko.Channel
    leave: Callable[[], None]
    answered: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=running_time.now)
    refusal: ChannelRefused | None = None
    abandoned: bool = False


class Openings:
    """The channels of one connection, by Paramiko's number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[int, Opening] = {}
        # Paramiko forgets a channel that nothing refers to, and its CLOSE with it.
        self._open: dict[int, Opening] = {}

    def ask(self, number: int, opening: Opening) -> None:
        """Note a channel that is about to be asked for."""
        with self._lock:
            self._asked[number] = opening

    def opened(self, number: int) -> None:
        """Note that the other side has opened a channel; close it if it was abandoned."""
        with self._lock:
            opening = self._asked.pop(number, None)
            if opening is not None:
                self._open[number] = opening
        if opening is not None and opening.abandoned:
            opening.channel.close()

    def refused(self, number: int, refusal: ChannelRefused) -> None:
        """Note that the other side opens no channel."""
        with self._lock:
            opening = self._asked.pop(number, None)
        if opening is not None:
            opening.refusal = refusal
            opening.leave()

    def abandon(self, opening: Opening) -> None:
        """Have a channel closed as soon as it is open."""
        with self._lock:
            opening.abandoned = True
            late = opening.channel.chanid in self._open
        if late:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):  # it is lost
                opening.channel.close()

    def closed(self, number: int) -> Callable[[], None] | None:
        """Forget a channel that the other side has closed, and return what to call then."""
        with self._lock:
            opening = self._open.pop(number, None)
        return None if opening is None else opening.leave

    def holds(self, number: int) -> bool:
        """Return whether a channel is open, or the connection was lost before its CLOSE came."""
        with self._lock:
            return number in self._open

    @property
    def overdue(self) -> bool:
        """Whether a channel should have been opened long ago."""
        with self._lock:
            oldest = min((item.since for item in self._asked.values()), default=None)
        return oldest is not None and running_time.now() > oldest + OPENING
