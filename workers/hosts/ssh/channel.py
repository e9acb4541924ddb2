"""Channels in an SSH connection."""

from __future__ import annotations

import contextlib
import threading

import paramiko
from paramiko.common import (
    cMSG_CHANNEL_DATA,
    cMSG_CHANNEL_EOF,
    cMSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_WINDOW_ADJUST,
)

from ....controller.errors import HostError, HostUnreachable
from ..channel import FAREWELL, LineReader, Patience
from ..session import Completed
from .wire import WINDOW, Wire

_BLOCK = 1 << 18
# What a command says first. Start-up files of the login shell may print something before it.
_READY = b"nepiq: ready\n"
_COMPLAINT = 2000
# OpenSSH takes packets of 32 kB, their headers included (RFC 4253, section 6.1).
_PACKET = 32_000
# What the host may send unasked; a part of it is given back at a time.
_GIVEN_BACK = WINDOW // 8


class _Bell:
    """Rings when anything happens in a channel: what Paramiko's buffers take for an event.

    They clear their event when they are empty; two of them share this one, so it is cleared by
    whoever waits, before the look that precedes the wait.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set
        self.wait = self._event.wait
        self.reset = self._event.clear

    def clear(self) -> None:
        """Nothing; see above."""


class SshChannel(LineReader):
    """A channel to a program on a host.

    It is read by one thread; the other methods may be called from others.

    Args:
        wire: the connection.
        channel: a session in it, in which nothing runs yet.
        patience: how long it is waited for.
    """

    def __init__(self, wire: Wire, channel: paramiko.Channel, patience: Patience) -> None:
        super().__init__()
        self._wire, self._channel = wire, channel
        self._patience = patience
        self._complaint = b""
        # What came before the command was ready; None once it is.
        self._noise: bytes | None = b""
        self._taken = 0
        self._closing = threading.Lock()
        self._closed = False
        self._bell = _Bell()
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            buffer.set_event(self._bell)  # type: ignore[arg-type]

    def begin(self, command: str) -> None:
        """Have the user's shell on the host run a command.

        Nothing waits for the host's word that it does: if it does not, it closes the channel.

        Raises:
            HostUnreachable: the connection was lost.
        """
        try:
            text = b"echo nepiq: ready; " + command.encode("utf-8", "surrogateescape")
            self._wire.send_of(self._channel, cMSG_CHANNEL_REQUEST, b"exec", True, text)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost() from error

    @property
    def closed(self) -> bool:
        """True once it was closed on this side."""
        return self._closed

    @property
    def complaint(self) -> str:
        """The end of what the program wrote to standard error so far."""
        return self._complaint.decode("utf-8", "replace").strip()

    def read(self) -> bytes:
        """The next block of output; empty at its end; see :meth:`Channel.read`."""
        quiet = self._patience.quiet()
        while not self._closed:
            output, _, more = self._take()
            if output:
                return output
            if more:
                continue
            if self._ended():
                return b""
            if quiet.expired:
                raise self._patience.fallen_silent(self.complaint)
            self._bell.wait(self._patience.seconds(quiet.remaining))
            self._patience.check()
        return b""

    def collect(self, stdin: bytes) -> Completed:
        """Give the program its input, and collect what it leaves behind.

        Raises:
            HostUnreachable: the connection was lost before its end.
        """
        feeding = None
        if len(stdin) > _GIVEN_BACK:  # the host may want us to read before it reads more
            feeding = threading.Thread(target=self._feed, args=(stdin,), daemon=True)
            feeding.start()
        else:
            self._feed(stdin)
        outputs: list[bytes] = []
        complaints: list[bytes] = []
        while True:
            output, complaint, more = self._take()
            outputs.append(output)
            complaints.append(complaint)
            if more:
                continue
            if self._ended():
                break
            self._bell.wait(self._patience.seconds())
            self._patience.check()
        code = self.code()
        if feeding is not None:
            feeding.join()
        return Completed(code, b"".join(outputs), b"".join(complaints))

    def write(self, data: bytes) -> None:
        """Write all of ``data``; see :meth:`Channel.write`."""
        rest = memoryview(data)
        while rest:
            size = self._room(min(len(rest), _PACKET))
            if size:
                self._wire.send_of(self._channel, cMSG_CHANNEL_DATA, bytes(rest[:size]))
                rest = rest[size:]

    def finish(self) -> None:
        """Close the program's input; see :meth:`Channel.finish`."""
        channel = self._channel
        with channel.lock:
            if channel.closed or channel.eof_sent:
                return
            channel.eof_sent = True
        self._wire.send_of(channel, cMSG_CHANNEL_EOF)

    def code(self) -> int:
        """The exit code of a program whose output has ended; see :meth:`Channel.code`."""
        while not self._channel.status_event.wait(self._patience.seconds()):
            self._patience.check()
        code = self._channel.exit_status
        if code >= 0 and self._noise is not None:
            said = self._noise.decode("utf-8", "replace").strip() or self.complaint
            raise HostError(
                f"the login shell runs no commands: {said[:200] or f'it ended with code {code}'}",
                hint="the user needs a shell such as sh or bash there (getent passwd)",
            )
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
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                self.finish()
                if not self._channel.status_event.wait(farewell):
                    self.kill()
        self._channel.close()

    def kill(self) -> None:
        """Have the program's process group killed (RFC 4254, 6.9; OpenSSH does so since 7.9)."""
        self._wire.send_of(self._channel, cMSG_CHANNEL_REQUEST, b"signal", False, b"KILL")

    def free(self) -> None:
        """Free a channel whose program has ended."""
        self._closed = True
        self._channel.close()

    def _take(self) -> tuple[bytes, bytes, bool]:
        """What has arrived on both outputs, and whether anything has. Resets the bell."""
        self._bell.reset()
        channel = self._channel
        found = []
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            found.append(buffer.read(_BLOCK, 0.0) if buffer.read_ready() else b"")
        more = bool(found[0] or found[1])
        self._complaint = (self._complaint + found[1])[-_COMPLAINT:]
        self._taken += len(found[0]) + len(found[1])
        if self._taken >= _GIVEN_BACK and not channel.eof_received:
            taken, self._taken = self._taken, 0
            self._wire.send_of(channel, cMSG_CHANNEL_WINDOW_ADJUST, taken)
        if self._noise is not None:
            found[0] = self._without_noise(found[0])
        return found[0], found[1], more

    def _without_noise(self, output: bytes) -> bytes:
        """What follows the word that the command is ready; nothing before it has come."""
        noise, ready, rest = ((self._noise or b"") + output).partition(_READY)
        self._noise = None if ready else noise[-_BLOCK:]
        return rest

    def _ended(self) -> bool:
        """Whether the output has ended and all of it was taken; called after an empty take."""
        channel = self._channel
        over = bool(channel.eof_received or channel.closed)
        return over and not (
            channel.in_buffer.read_ready() or channel.in_stderr_buffer.read_ready()
        )

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

    def _lost(self) -> HostError:
        if self._channel.chanid in self._wire.refused:
            hint = "does its sshd allow commands (ForceCommand, the user's shell)?"
            return HostError("the host refuses to run a command", hint=hint)
        error = self._wire.get_exception()
        why = f": {error}" if error and str(error) else ""
        return HostUnreachable(f"the connection with the host was lost{why}")
