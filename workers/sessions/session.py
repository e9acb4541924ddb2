"""Sessions and channels: the interface of every connection to a host."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ...controller.errors import Cancelled, DeadlineError
from ...controller.model.durations import Deadline
from ...controller.model.host import LineChannel
from .answers import OUTPUT, USER_LINE

#: An Event cannot be waited for together with a stream, so it is looked at this often, in seconds.
TICK = 0.05
#: Seconds after a failed attempt to reach a host without another attempt.
PAUSE = 1.0


def give_up(deadline: Deadline | None, cancel: threading.Event | None) -> None:
    """Raise if there is no time left, or no wish.

    Raises:
        Cancelled: ``cancel`` is set.
        DeadlineError: the deadline has passed.
    """
    if cancel is not None and cancel.is_set():
        raise Cancelled
    if deadline is not None and deadline.expired:
        raise DeadlineError


@dataclass(frozen=True)
class Completed:
    """The outputs and the exit code of a command.

    Attributes:
        code: its exit code, as a POSIX shell reports it (128 + n for signal n).
        stdout: everything written to standard output.
        stderr: everything written to standard error.
        sent, received: when the command was sent and its end received, in seconds since the
            epoch by this machine's clock; 0 if unknown.
    """

    code: int
    stdout: bytes
    stderr: bytes
    sent: float = 0.0
    received: float = 0.0


class Channel(LineChannel, Protocol):
    """A duplex channel to a program on a host: lines as resources see it, and plain bytes."""

    @property
    def complaint(self) -> str:
        """The end of what the program wrote to standard error so far."""

    @property
    def pending(self) -> bool:
        """True if ``lines()`` has another line that has arrived already."""

    def lines(self, most: int = USER_LINE, passed_over: int = 0) -> Iterator[bytes]:
        """Its lines; one with more than ``most`` bytes is an error, or one that is passed over."""

    def read(self, wanted: int = 1) -> bytes:
        """The next block of its output, as soon as there is one; empty at the end.

        Args:
            wanted: bytes that a channel may wait for, a part of a second, before it returns those
                that are there. More may be returned, or fewer.

        Raises:
            HostError: nothing came for the time of ``silence``, or the connection was lost.
        """

    def write(self, data: bytes | memoryview) -> None:
        """Write all of ``data`` to its input.

        Raises:
            HostError: the program has ended or closed its input, or the channel is closed.
        """

    def finish(self) -> None:
        """Close its input: there is no more to come."""

    def code(self) -> int:
        """Its exit code, once its output has ended.

        Raises:
            HostError: the connection was lost, so nobody can say.
        """


class Session(Protocol):
    """A connection that a worker holds to a host. All methods may be called from any thread."""

    @property
    def home(self) -> str:
        """Absolute directory on the host under which ``.nepiq`` lies; "" for the login home."""

    @property
    def closed(self) -> bool:
        """True once it is closed, so that another must be opened."""

    @property
    def host_key(self) -> str:
        """The key that the host has proved to have, as ``KIND BASE64``; empty where none is."""

    def check(self) -> None:
        """Raise HostSilent if the host is known not to answer, so that a step comes back later.

        Raises:
            HostSilent: it does not answer at this moment, or somebody else is connecting to it.
        """

    def execute(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        deadline: Deadline,
        cancel: threading.Event | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        """Run a command to its end, which is when both its outputs have been closed.

        A process that the command leaves in the background must therefore have its outputs
        redirected, as with ssh(1).

        Args:
            command: text for a POSIX shell, of less than 128 kB.
            stdin: bytes for its standard input.
            deadline: when it must have ended.
            cancel: what ends it early when set.
            most: bytes that both outputs may have together.

        Raises:
            AnswerError: it wrote more; it was killed.
            DeadlineError: it had not ended by the deadline; its process group was killed.
            Cancelled: ``cancel`` was set; its process group was killed.
            HostError: the host cannot be reached.
        """

    def open(
        self,
        command: str,
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
        silence: float | None = None,
    ) -> Channel:
        """Start a command and talk with it, by lines or by bytes.

        ``lines()`` of the channel may be called again: it goes on where it stopped.

        Args:
            command: text for a POSIX shell, of less than 128 kB.
            deadline: when reading and writing give up with DeadlineError; never if None.
            cancel: what makes them give up with Cancelled when set.
            silence: seconds without output after which reading raises HostError; never if
                None.

        Raises:
            HostError: the host cannot be reached, or the session is closed.
        """

    def close(self) -> None:
        """End the session and every channel and command in it."""
