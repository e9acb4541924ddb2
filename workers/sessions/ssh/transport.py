"""An SSH connection: Paramiko's Transport, with what many threads and large files need."""
# ruff: noqa: SLF001 - what Paramiko has no public way for is done here, and only here

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_DATA,
    cMSG_CHANNEL_OPEN,
    cMSG_GLOBAL_REQUEST,
)
from paramiko.message import Message

from ..channel import Patience
from .openings import OPENING, ChannelRefused, Opening, Openings
from .packets import LONGEST_MESSAGE, Blocks, Burst, Packets

# Errors are raised with their place; tracebacks in the log of Paramiko add nothing.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

#: Bytes on their way to us in one channel before the host waits for us.
WINDOW = 4 << 20
#: Seconds without traffic after which the host is sent a keepalive request.
KEEPALIVE = 15.0

# Questions that may stay without answer (ssh_config(5), ServerAliveCountMax). TCP notices a lost
# host sooner; not so where a gateway is between.
_UNANSWERED = 2
# How often in a row TCP has repeated what it sent: after 0.2 and 0.6 s (RFC 6298), later where the
# way is longer. It is tcpi_retransmits, the third byte of struct tcp_info.
_REPEATED = 2
# The host asks for new keys when it is time (sshd_config(5), RekeyLimit: after 2^32 blocks of
# AES). Where Paramiko asks by itself, a channel that the host closes meanwhile makes the thread
# that reads wait for itself, until a timeout breaks the connection.
_NEVER = 1 << 60


#: The type of channel in which programs run (RFC 4254, section 6.1).
SESSION = "session"


class WireLost(Exception):
    """A connection that has ended, or does not answer."""


class ChannelMessage(Message):
    """A message of one channel, which is dropped if the channel is closed when it is to go out."""

    channel: paramiko.Channel


class ChannelBurst(Burst, ChannelMessage):
    """Several messages of one channel, which are dropped together."""


class Wire(paramiko.Transport):
    """One SSH connection.

    OpenSSH drops a connection in which a message arrives for a channel that both sides have
    closed. Paramiko builds messages under the channel's lock and sends them outside of it, so
    that one of them may follow the CLOSE. Those of :class:`ChannelMessage` never do.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(
            sock,
            default_window_size=WINDOW,
            packetizer_class=Packets,
        )
        self._raw = sock
        self._aborted = False
        self._openings = Openings()
        self._unanswered = 0
        packetizer: Any = self.packetizer
        packetizer.REKEY_BYTES = packetizer.REKEY_PACKETS = _NEVER

    def settle(self) -> None:
        """After the handshake: wake only for messages and for keepalive requests."""
        self.sock.settimeout(KEEPALIVE)
        self.packetizer.set_keepalive(KEEPALIVE, self._ask_for_life)

    def run(self) -> None:
        """Read messages until the end, in Paramiko's thread."""
        # The last thing is to close what it reads; a way through a gateway may be lost by then.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            super().run()

    def close(self) -> None:
        """Close it at once, also while its thread waits for the other side."""
        self.abort()
        super().close()

    def abort(self) -> None:
        """End the connection soon, without waiting."""
        self._aborted = True
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if isinstance(self._raw, socket.socket):
                self._raw.shutdown(socket.SHUT_RDWR)
            else:
                self._raw.close()

    @property
    def usable(self) -> bool:
        """Whether channels can be opened in it."""
        return self.is_active() and not self._aborted

    @property
    def channels(self) -> int:
        """The number of open channels, tunnels included."""
        own: Any = self
        return len(own._channels)

    @property
    def stalled(self) -> bool:
        """Whether the other side has for half a second or more acknowledged nothing that was sent.

        Not known, and false, where the system does not tell (tcp(7), TCP_INFO of Linux).
        """
        raw = self._raw
        if isinstance(raw, paramiko.Channel):  # through a gateway
            return bool(getattr(raw.transport, "stalled", False))
        if not isinstance(raw, socket.socket) or not hasattr(socket, "TCP_INFO"):
            return False
        try:
            info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)
        except OSError:  # it is closed
            return False
        return len(info) == 3 and info[2] >= _REPEATED

    def lost(self) -> WireLost:
        """Return the error of a connection that has ended."""
        error = self.saved_exception  # get_exception() would tell one thread only
        if isinstance(error, EOFError) and not str(error):
            return WireLost("the other side ended it")
        return WireLost(str(error) or type(error).__name__ if error else "it was closed")

    # -- the login ----------------------------------------------------------------------------

    def ask_for_methods(self, user: str, event: threading.Event) -> None:
        """Log in with nothing, which a server answers with the methods that it accepts."""
        self._authenticate().auth_none(user, event)

    def answer_prompts(
        self, user: str, answers: Callable[[list[str]], list[bytes]], event: threading.Event
    ) -> None:
        """Log in with answers to the server's prompts (RFC 4256).

        Args:
            user: the user.
            answers: is given the prompts, and returns as many answers; called by another thread.
            event: set when the server has decided.
        """

        def respond(_title: str, _text: str, fields: list[tuple[str, bool]]) -> list[bytes]:
            return answers([prompt for prompt, _ in fields])

        self._authenticate().auth_interactive(user, respond, event)

    def _authenticate(self) -> Any:
        handler = paramiko.auth_handler.AuthHandler(self)
        self.auth_handler = handler
        return handler

    def forget_password(self) -> None:
        """Drop the password that Paramiko keeps after a login."""
        handler: Any = self.auth_handler
        handler.password = handler.interactive_handler = None

    # -- opening channels ---------------------------------------------------------------------

    def open(
        self, kind: str, parts: tuple[int | str, ...], patience: Patience, leave: Callable[[], None]
    ) -> paramiko.Channel:
        """Open a channel. A thread that gives up waiting disturbs no other.

        Args:
            kind: the type of channel (RFC 4254, section 5.1).
            parts: what belongs to that.
            patience: how long it is waited for.
            leave: is called once when the channel counts no more for the other side: it was
                refused, or closed. Not if the connection is lost.

        Raises:
            ChannelRefused: the other side refuses.
            WireLost: the connection is lost.
            DeadlineError, Cancelled: patience is at an end.
        """
        opening = self._ask_to_open(kind, parts, leave)
        try:
            while not opening.answered.wait(patience.seconds(1.0)) and self.is_active():
                patience.check()
                if self.overdue:
                    self.abort()
                    raise WireLost(f"no channel was opened within {OPENING:g} s")
        except BaseException:
            self._openings.abandon(opening)
            raise
        if opening.refusal is not None:
            raise opening.refusal
        if not self.is_active():
            raise self.lost()
        return opening.channel

    @property
    def overdue(self) -> bool:
        """Whether a channel should have been opened long ago."""
        return self._openings.overdue

    def _ask_to_open(
        self, kind: str, parts: tuple[int | str, ...], leave: Callable[[], None]
    ) -> Opening:
        own: Any = self
        with own.lock:
            if not self.is_active():
                raise self.lost()
            number = own._next_channel()
            channel: Any = paramiko.Channel(number)
            opening = Opening(channel, leave)
            own._channels.put(number, channel)
            own.channel_events[number] = opening.answered  # set by Paramiko, also at the end
            own.channels_seen[number] = True
            channel._set_transport(self)
            channel._set_window(WINDOW, own.default_max_packet_size)
            if kind == SESSION:  # what goes through a gateway is read by Paramiko
                channel.in_buffer, channel.in_stderr_buffer = Blocks(), Blocks()
            self._openings.ask(number, opening)
        message = Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string(kind)
        for value in (number, WINDOW, own.default_max_packet_size, *parts):
            _add(message, value)
        try:
            own._send_user_message(message)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise WireLost(str(error) or type(error).__name__) from error
        if not self.is_active():  # it may have ended before Paramiko knew of the event
            raise self.lost()
        return opening

    def _parse_channel_open_success(self, message: Message) -> None:
        number = message.get_int()
        message.rewind()
        super()._parse_channel_open_success(message)  # type: ignore[misc]
        self._openings.opened(number)

    def _parse_channel_open_failure(self, message: Message) -> None:
        number, code, reason = message.get_int(), message.get_int(), message.get_text()
        self._openings.refused(number, ChannelRefused(code, reason))
        message.rewind()
        super()._parse_channel_open_failure(message)  # type: ignore[misc]
        self.get_exception()  # the thread that waits has it; others must not find it

    def parted(self, channel: paramiko.Channel) -> bool:
        """Whether the other side has closed a channel, rather than been lost."""
        return not self._openings.holds(channel.chanid)

    @staticmethod
    def _take_leave(channel: Any, message: Message) -> None:
        wire: Wire = channel.transport
        leave = wire._openings.closed(channel.chanid)
        channel._handle_close(message)
        if leave is not None:
            leave()

    # -- messages -----------------------------------------------------------------------------

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
            _add(message, part)
        self._send_user_message(message)  # type: ignore[attr-defined]

    def send_data(self, channel: paramiko.Channel, data: memoryview, most: int) -> None:
        """Send data of a channel, ``most`` bytes in a message, unless it is closed by then."""
        burst = ChannelBurst()
        burst.channel = channel
        head = cMSG_CHANNEL_DATA + channel.remote_chanid.to_bytes(4, "big")
        chunks = (data[at : at + most] for at in range(0, len(data), most))
        burst.payloads = [(head, len(chunk).to_bytes(4, "big"), chunk) for chunk in chunks]
        self._send_user_message(burst)  # type: ignore[attr-defined]

    def _send_message(self, data: Message) -> None:
        # Called with a lock that lets only one message out at a time. Channel.closed is set
        # before the CLOSE is sent, so nothing that passes here comes after it.
        if isinstance(data, ChannelMessage) and data.channel.closed:
            return
        super()._send_message(data)  # type: ignore[misc]

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
        channel._handle_request(message)

    @staticmethod
    def _take_output(channel: Any, message: Message) -> None:
        _check_window(channel)
        channel._feed(message)

    @staticmethod
    def _take_complaint(channel: Any, message: Message) -> None:
        _check_window(channel)
        channel._feed_extended(message)

    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_DATA: _take_output.__func__,  # type: ignore[attr-defined]
        MSG_CHANNEL_EXTENDED_DATA: _take_complaint.__func__,  # type: ignore[attr-defined]
        MSG_CHANNEL_CLOSE: _take_leave.__func__,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _answer_request.__func__,  # type: ignore[attr-defined]
    }

    # -- signs of life ------------------------------------------------------------------------

    def _ask_for_life(self) -> None:
        """Send a keepalive request, which every server answers, if only with no."""
        if not self.clear_to_send.is_set():  # keys are changed now
            return
        if self._unanswered == _UNANSWERED:
            raise EOFError(f"no sign of life for {(_UNANSWERED + 1) * KEEPALIVE:g} s")
        self._unanswered += 1
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_user_message(message)  # type: ignore[attr-defined]

    def _parse_request_failure(self, message: Message) -> None:
        self._unanswered = 0
        super()._parse_request_failure(message)  # type: ignore[misc]

    def _parse_request_success(self, message: Message) -> None:
        self._unanswered = 0
        super()._parse_request_success(message)  # type: ignore[misc]


def _check_window(channel: Any) -> None:
    """End the connection if the server sends more than it was allowed to."""
    if len(channel.in_buffer) + len(channel.in_stderr_buffer) > WINDOW + LONGEST_MESSAGE:
        raise paramiko.SSHException("it sent more than it was allowed to")


def _add(message: Message, part: int | str | bytes) -> None:
    if isinstance(part, bool):
        message.add_boolean(part)
    elif isinstance(part, int):
        message.add_int(part)
    else:
        message.add_string(part)
