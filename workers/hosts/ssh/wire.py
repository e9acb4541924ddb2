"""An SSH connection: Paramiko's Transport, with what many threads and large files need."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_FAILURE, MSG_CHANNEL_REQUEST
from paramiko.message import Message

# What goes wrong is raised, and told with its place; Paramiko's own tracebacks help nobody.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

#: Bytes on their way to us in one channel before the host waits for us.
WINDOW = 4 << 20
#: Seconds without traffic after which a sign of life is sent, for the sake of firewalls.
KEEPALIVE = 15.0

# GCM needs no separate MAC, which makes it the fastest of what both sides know.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# The host asks for new keys when it is time (sshd_config(5), RekeyLimit: after 2^32 blocks of
# AES). Where Paramiko asks by itself, a channel that the host closes meanwhile makes the thread
# that reads wait for itself, until a timeout breaks the connection.
_NEVER = 1 << 60


class ChannelMessage(Message):
    """A message of one channel, which is dropped if the channel is closed when it is to go out."""

    channel: paramiko.Channel


class Wire(paramiko.Transport):
    """One SSH connection.

    OpenSSH drops a connection in which a message arrives for a channel that both sides have
    closed. Paramiko builds messages under the channel's lock and sends them outside of it, so
    that one of them may follow the CLOSE. Those of :class:`ChannelMessage` never do.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, default_window_size=WINDOW)
        self._raw = sock
        self._after: Callable[[], None] = lambda: None
        # Channels in which the host refused what was asked.
        self.refused: set[int] = set()
        self._partings: dict[int, Callable[[], None]] = {}
        packetizer: Any = self.packetizer
        packetizer.REKEY_BYTES = packetizer.REKEY_PACKETS = _NEVER
        security = self.get_security_options()
        ciphers = [name for name in security.ciphers if name not in _CIPHERS]
        security.ciphers = (*_CIPHERS, *ciphers)

    def run(self) -> None:
        """Read messages until the connection ends, then tell whoever wants to know."""
        try:
            super().run()
        finally:
            self._after()

    def settle(self, after: Callable[[], None]) -> None:
        """Now that it is set up: wake only for messages, and for a sign of life now and then.

        Args:
            after: called when the connection has ended.
        """
        self._after = after
        self.sock.settimeout(KEEPALIVE)
        self.set_keepalive(int(KEEPALIVE))

    def close(self) -> None:
        """Close it at once, also while its thread waits for the other side."""
        if isinstance(self._raw, socket.socket):
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)
        super().close()

    def send_of(self, channel: paramiko.Channel, kind: bytes, *parts: int | bytes) -> None:
        """Send a message of a channel, unless that is closed by then.

        Args:
            channel: the channel.
            kind: the message's number (RFC 4254, section 9), one byte.
            parts: what follows the number of the channel: integers, booleans as one byte, text.
        """
        message = ChannelMessage()
        message.channel = channel
        message.add_byte(kind)
        message.add_int(channel.remote_chanid)
        for part in parts:
            if isinstance(part, bool):
                message.add_boolean(part)
            elif isinstance(part, int):
                message.add_int(part)
            else:
                message.add_string(part)
        self._send_user_message(message)  # type: ignore[attr-defined]

    def when_closed(self, channel: paramiko.Channel, action: Callable[[], None]) -> None:
        """Call ``action`` when the host has closed a channel that has just been opened.

        Not before that has it room for another session.
        """
        self._partings[channel.chanid] = action

    @staticmethod
    def _refuse(channel: Any, message: Message) -> None:
        channel.transport.refused.add(channel.chanid)
        channel._request_failed(message)  # noqa: SLF001 - what Paramiko does

    @staticmethod
    def _take_leave(channel: Any, message: Message) -> None:
        channel._handle_close(message)  # noqa: SLF001 - what Paramiko does
        action = channel.transport._partings.pop(channel.chanid, None)  # noqa: SLF001 - a Wire
        if action is not None:
            action()

    @staticmethod
    def _answer_request(channel: Any, message: Message) -> None:
        """Keep the signal that ended a program, which Paramiko drops (RFC 4254, section 6.10)."""
        if message.get_text() == "exit-signal":
            message.get_boolean()
            number = getattr(signal, f"SIG{message.get_text()}", 0)
            channel.exit_status = 128 + int(number)
            channel.status_event.set()
            return
        message.rewind()
        message.get_int()
        channel._handle_request(message)  # noqa: SLF001 - what Paramiko does with the others

    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]  # noqa: SLF001
        MSG_CHANNEL_FAILURE: _refuse.__func__,  # type: ignore[attr-defined]
        MSG_CHANNEL_CLOSE: _take_leave.__func__,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _answer_request.__func__,  # type: ignore[attr-defined]
    }

    def _send_message(self, data: Message) -> None:
        # Called with a lock that lets only one message out at a time. Channel.closed is set
        # before the CLOSE is sent, so nothing that passes here comes after it.
        if isinstance(data, ChannelMessage) and data.channel.closed:
            return
        super()._send_message(data)  # type: ignore[misc]
