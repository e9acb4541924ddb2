"""Channels in an SSH connection."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import paramiko
from paramiko.common import (
    cMSG_CHANNEL_EOF,
    cMSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_WINDOW_ADJUST,
)

from ....controller.errors import HostError, HostUnreachable
from ..answers import OUTPUT, Collected, too_long
from ..channel import FAREWELL, LineReader, Patience
from ..session import Completed
from .packets import Blocks
from .transport import WINDOW, Wire

_BLOCK = 1 << 17
# Seconds after which fewer bytes than wanted are passed on.
_GATHERING = 0.5
# Data that leaves in one call of the system.
_BURST = 1 << 17
_COMPLAINT = 2000
# OpenSSH takes packets of 32 kB, their headers included (RFC 4253, section 6.1).
_PACKET = 32_000
# What the host may send unasked; a part of it is given back at a time.
_GIVEN_BACK = WINDOW // 8
# Of the output of a login shell before it runs a command, so much is kept for the error, and
# so much read.
_PREAMBLE, _MOST_PREAMBLE = 2000, 1 << 20


class SshChannel(LineReader):
    """A channel to a program on a host.

    It is read by one thread; the other methods may be called from others.

    Args:
        wire: the connection.
        channel: a session in it, in which nothing runs yet.
        patience: how long it is waited for.
        host: what the host is called in messages.
    """

    def __init__(
        self, wire: Wire, channel: paramiko.Channel, patience: Patience, host: str
    ) -> None:
        super().__init__(patience)
        self._host = host
        self._wire, self._channel = wire, channel
        self._complaint = b""
        self._taken = 0
        self._draining = False  # True while some of the wanted output has not been taken
        self._mark = secrets.token_hex(8)
        self._preamble: bytes | None = b""  # None once the mark has come
        self._preambled = 0  # its bytes so far
        self._sent = 0.0  # when the command was sent
        self._closing = threading.Lock()
        self._closed = False
        # Set when anything happens; cleared before the look that precedes a wait.
        self._bell = threading.Event()
        own: Any = channel
        self._buffers: tuple[Blocks, Blocks] = (own.in_buffer, own.in_stderr_buffer)
        for buffer in self._buffers:
            buffer.set_event(self._bell)

    def begin(self, command: str) -> None:
        """Have the user's shell on the host run a command.

        It first prints a mark that takes a POSIX shell to make. Whatever comes before the mark,
        as from a ``.bashrc``, is no output of the command; if none comes, it did not run.

        Raises:
            HostUnreachable: the connection was lost.
            HostError: the host does not run commands.
            DeadlineError, Cancelled: patience is at an end.
        """
        channel: Any = self._channel
        text = f"printf '%s\\n' {self._mark}$((6*7))\n{command}"
        channel.event.clear()
        channel.event_ready = False
        self._sent = time.time()
        self._send(cMSG_CHANNEL_REQUEST, b"exec", True, text.encode("utf-8", "surrogateescape"))
        quiet = self._patience.quiet()
        while not channel.event.wait(self._patience.seconds(quiet.remaining)):
            self._patience.check()
            if quiet.expired:
                raise self._patience.fallen_silent("")
        if not channel.event_ready:
            if self._wire.is_active():
                raise HostError(f"{self._host} runs no commands", hint="its sshd refused exec")
            raise self._lost()

    @property
    def closed(self) -> bool:
        """True once it was closed on this side."""
        return self._closed

    @property
    def complaint(self) -> str:
        """The end of what the program wrote to standard error so far."""
        return self._complaint.decode("utf-8", "replace").strip()

    def read(self, wanted: int = 1) -> bytes:
        """The next block of output; empty at its end; see :meth:`Channel.read`."""
        quiet = self._patience.quiet()
        waited = False
        while not self._closed:
            self._patience.check()  # also where much comes
            output, complaint = self._take(1 if waited else wanted)
            self._complaint = (self._complaint + complaint)[-_COMPLAINT:]
            arrived = bool(output or complaint)
            output = self._after_mark(output)
            if output:
                return output
            if not arrived and self._ended():
                self._check_end(self._complaint)
                return b""
            if quiet.expired:
                raise self._patience.fallen_silent(self.complaint)
            if not arrived:
                most = quiet.remaining if wanted == 1 else min(quiet.remaining, _GATHERING)
                waited = not self._bell.wait(self._patience.seconds(most))
        return b""

    def collect(self, stdin: bytes, most: int = OUTPUT) -> Completed:
        """Give the program its input, and collect what it leaves behind.

        Args:
            stdin: the input.
            most: bytes that both outputs may have together.

        Raises:
            HostUnreachable: the connection was lost before its end.
            AnswerError: there is more output.
        """
        feeding = None
        if len(stdin) > _GIVEN_BACK:  # the host may want us to read before it reads more
            feeding = threading.Thread(target=self._feed, args=(stdin,), daemon=True)
            feeding.start()
        else:
            self._feed(stdin)
        collected = Collected(most)
        while True:
            output, complaint = self._take()
            collected.add(0, self._after_mark(output))
            collected.add(1, complaint)
            if not output and not complaint:
                if self._ended():
                    break
                self._bell.wait(self._patience.seconds())
            self._patience.check()  # also where much comes
        received = time.time()
        stdout, stderr = collected.outputs()
        self._check_end(stderr[-_COMPLAINT:])
        code = self.code()
        if feeding is not None:
            feeding.join()
        return Completed(code, stdout, stderr, self._sent, received)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of ``data``; see :meth:`Channel.write`."""
        rest = memoryview(data)
        while rest:
            size = self._room(min(len(rest), _BURST))
            if size:
                with self._connected():
                    self._wire.send_data(self._channel, rest[:size], self._packet)
                rest = rest[size:]

    def finish(self) -> None:
        """Close the program's input; see :meth:`Channel.finish`."""
        channel = self._channel
        with channel.lock:
            if channel.closed or channel.eof_sent:
                return
            channel.eof_sent = True
        self._send(cMSG_CHANNEL_EOF)

    def code(self) -> int:
        """The exit code of a program whose output has ended; see :meth:`Channel.code`."""
        quiet = self._patience.quiet()
        while not self._channel.status_event.wait(self._patience.seconds(quiet.remaining)):
            self._patience.check()
            if quiet.expired:
                raise self._patience.fallen_silent(self.complaint)
        code = self._channel.exit_status
        if code >= 0:
            return int(code)
        if self._closed:
            raise HostError("the channel is closed")
        raise self._lost()

    def close(self, farewell: float = FAREWELL) -> None:
        """End the program and free the channel. May be called from another thread.

        Args:
            farewell: seconds that the program has to end by itself once its input is closed.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._bell.set()
        if self._wire.is_active() and not self._channel.closed:
            with contextlib.suppress(HostError):
                self.finish()
                if not self._channel.status_event.wait(farewell):
                    self.kill()
        self.free()

    def kill(self) -> None:
        """Have the program's process group killed (RFC 4254, 6.9; OpenSSH does so since 7.9)."""
        self._send(cMSG_CHANNEL_REQUEST, b"signal", False, b"KILL")

    def free(self) -> None:
        """Free a channel whose program has ended."""
        self._closed = True
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # it is lost
            self._channel.close()

    def _send(self, kind: bytes, *parts: int | bytes) -> None:
        """Send a message of this channel, unless it is closed.

        Raises:
            HostUnreachable: the connection was lost.
        """
        with self._connected():
            self._wire.send_of(self._channel, kind, *parts)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost() from error

    def _take(self, wanted: int = 1) -> tuple[bytes, bytes]:
        """Return what has arrived on both outputs, and reset the bell.

        Args:
            wanted: bytes of output before which it is not taken, nor the bell set.
        """
        stdout, stderr = self._buffers
        self._bell.clear()
        stdout.wanted = 1 if self._draining or self._over else wanted
        output = stdout.take(_BLOCK) if len(stdout) >= stdout.wanted else b""
        self._draining = bool(output and len(stdout))
        complaint = stderr.take(_BLOCK)
        self._taken += len(output) + len(complaint)
        if self._taken >= _GIVEN_BACK and not self._channel.eof_received:
            taken, self._taken = self._taken, 0
            self._send(cMSG_CHANNEL_WINDOW_ADJUST, taken)
        return output, complaint

    def _after_mark(self, output: bytes) -> bytes:
        """Return the part of the output that is the command's.

        Raises:
            AnswerError: the login shell says too much before the command runs.
        """
        if self._preamble is None:
            return output
        self._preambled += len(output)
        preamble = self._preamble + output
        _, mark, rest = preamble.partition(f"{self._mark}42\n".encode())
        self._preamble = None if mark else preamble[-_PREAMBLE:]
        if self._preamble is not None and self._preambled > _MOST_PREAMBLE:
            raise too_long(preamble, _MOST_PREAMBLE, "a greeting of its login shell")
        return rest if mark else b""

    def _check_end(self, complaint: bytes) -> None:
        """Called at the end of the output: whether it is the end, and the command did run.

        Raises:
            HostUnreachable: the connection was lost.
            HostError: the login shell does not run commands.
        """
        if self._closed:
            return
        if not self._channel.eof_received and not self._wire.parted(self._channel):
            raise self._lost()
        if self._preamble is None:
            return
        code = self.code()
        lines = b"\n".join((self._preamble, complaint)).decode("utf-8", "replace").split("\n")
        words = " | ".join(line.strip() for line in lines if line.strip()) or "nothing"
        raise HostError(
            f"the login shell of {self._host} did not run a command: it said {words[-300:]} "
            f"and exited with {code}",
            hint="the user needs a login shell that takes POSIX commands, as sh, bash and zsh "
            "do (getent passwd, chsh)",
        )

    @property
    def _packet(self) -> int:
        """Bytes that one message may carry."""
        most: int = self._channel.out_max_packet_size
        return min(_PACKET, max(1, most - 64))

    def _ended(self) -> bool:
        """Whether the output has ended and all of it was taken; called after an empty take."""
        return self._over and not any(map(len, self._buffers))

    @property
    def _over(self) -> bool:
        """Whether no more output will arrive."""
        return bool(self._channel.eof_received or self._channel.closed)

    def _feed(self, stdin: bytes) -> None:
        # A program need not read its input, and may have ended before it could.
        with contextlib.suppress(HostError):
            self.write(stdin)
            self.finish()

    def _room(self, most: int) -> int:
        """Take up to that many bytes of what the host is ready to receive; wait for some.

        Raises:
            HostError: the program has ended, or the channel was closed.
        """
        channel = self._channel
        with channel.lock:
            if self._closed:
                raise HostError("the channel is closed")
            if channel.closed:
                if channel.exit_status < 0:
                    raise self._lost()
                raise HostError("the program has ended", hint=self.complaint)
            if channel.out_window_size == 0:
                channel.out_buffer_cv.wait(self._patience.seconds(1.0))
            size = min(most, channel.out_window_size)
            channel.out_window_size -= size
        if not size:
            self._patience.check()
        return int(size)

    def _lost(self) -> HostUnreachable:
        why = self._wire.lost()
        return HostUnreachable(
            f"the connection with {self._host} was lost: {why}",
            hint="was it rebooted, or the network cut?",
        )
