"""Packets of an SSH connection: those of AES-GCM without Paramiko's copies and calls."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import paramiko
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.message import Message
from paramiko.packet import Packetizer

#: What a message may carry here: OpenSSH's limit, more than RFC 4253, section 6.1, asks for.
LONGEST_MESSAGE = 256 << 10

# Bytes that a server may send before it begins to speak SSH.
_LONGEST_GREETING = 64 << 10
# RFC 5647, sections 5.2 and 7.3: a length of 4 bytes is authenticated, and not encrypted.
_LENGTH, _TAG, _UNIT, _LEAST_PADDING = 4, 16, 16, 4
_SEQUENCE = 1 << 32
# The buffer for what has arrived: while little arrives, and while much does.
_SMALL, _LARGE = 16 << 10, LONGEST_MESSAGE + (32 << 10)
# How often in a row little may arrive in the large one.
_MOST_SMALL_FILLS = 64


class Burst(Message):
    """Several messages that leave in one call of the system."""

    payloads: Sequence[tuple[bytes | memoryview, ...]] = ()


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: memoryview, associated_data: memoryview) -> bytes: ...


class _Direction:
    """AES-GCM in one direction (RFC 5647, section 7.1): a fixed part and a counter of messages."""

    def __init__(self, cipher: _Cipher, nonce: bytes) -> None:
        self.cipher = cipher
        self._fixed, self._count = nonce[:4], int.from_bytes(nonce[4:], "big")

    def nonce(self) -> bytes:
        """Return the nonce of the next message."""
        count, self._count = self._count, (self._count + 1) % (1 << 64)
        return self._fixed + count.to_bytes(8, "big")


class Packets(Packetizer):
    """The messages of a connection with a server that may send anything.

    Paramiko handles those of the key exchange and of other ciphers. Here the bytes of many
    messages are received by one call, and data is copied once on its way to a channel.

    Args:
        sock: a socket, or a channel through a gateway.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock
        self._is_socket = isinstance(sock, socket.socket)
        self._greeted = 0
        self._inward: _Direction | None = None
        self._outward: _Direction | None = None
        self._received = 0
        # Channels of other threads write, and so does the thread that reads.
        self._writing = threading.RLock()
        self._view = memoryview(bytearray(_SMALL))
        self._start = self._end = self._small_fills = 0

    # -- keys ---------------------------------------------------------------------------------

    def set_inbound_cipher(self, *args: Any, **options: Any) -> None:
        """Switch to new keys for what is received."""
        self._inward = self._direction(self._inward, options, "iv_in")
        super().set_inbound_cipher(*args, **options)

    def set_outbound_cipher(self, *args: Any, **options: Any) -> None:
        """Switch to new keys for what is sent."""
        with self._writing:
            self._outward = self._direction(self._outward, options, "iv_out")
            super().set_outbound_cipher(*args, **options)

    @staticmethod
    def _direction(now: _Direction | None, options: Any, nonce: str) -> _Direction | None:
        if options.get("aead"):
            return _Direction(options["block_engine"], options[nonce])
        if now is not None:  # Paramiko has not counted the messages that its checksums number
            raise paramiko.SSHException("it changed to another kind of cipher")
        return None

    def reset_seqno_in(self) -> None:
        """Begin to count received messages anew."""
        self._received = 0
        super().reset_seqno_in()

    # -- receiving ----------------------------------------------------------------------------

    def read_message(self) -> tuple[int, Message]:
        """Return the number and the rest of the next message."""
        inward = self._inward
        if inward is None:
            kind, message = super().read_message()
        else:
            kind, message = self._opened(inward)
        message.seqno = self._received
        self._received = (self._received + 1) % _SEQUENCE
        return kind, message

    def _opened(self, inward: _Direction) -> tuple[int, Message]:
        self._await(_LENGTH)
        size = int.from_bytes(self._view[self._start : self._start + _LENGTH], "big")
        if not _UNIT <= size <= LONGEST_MESSAGE:
            raise paramiko.SSHException("it sent a message without end, or no SSH at all")
        self._await(_LENGTH + size + _TAG)
        start = self._start
        self._start += _LENGTH + size + _TAG
        length, sealed = self._view[start : start + _LENGTH], self._view[start + _LENGTH :]
        plain = inward.cipher.decrypt(inward.nonce(), sealed[: size + _TAG], length)
        end = len(plain) - plain[0]
        if end < 2:
            raise paramiko.SSHException("it sent an empty message")
        if plain[1] == MSG_CHANNEL_DATA:
            # Its length is in it, so that the padding need not be cut off by a copy.
            message = Message(plain)
            message.packet.seek(2)
            return plain[1], message
        return plain[1], Message(plain[2:end])

    def _await(self, count: int) -> None:
        """Receive until so many bytes are there that have not been used."""
        while self._end - self._start < count:
            self._make_room(count)
            self._end += self._receive(self._view[self._end :])

    def _make_room(self, count: int) -> None:
        """Make room for more; in a larger buffer while much arrives."""
        kept, size = self._end - self._start, len(self._view)
        if kept and self._start + count <= size and self._end < size:
            return
        self._small_fills = 0 if self._end > _SMALL else self._small_fills + 1
        wanted = size
        if count > size or self._end == size:
            wanted = _LARGE
        elif count <= _SMALL and self._small_fills > _MOST_SMALL_FILLS:
            wanted = _SMALL
        rest = bytes(self._view[self._start : self._end])
        if wanted != size:
            self._view = memoryview(bytearray(wanted))
        self._view[:kept] = rest
        self._start, self._end = 0, kept

    def _receive(self, room: memoryview) -> int:
        """Receive bytes, at least one, as Paramiko does for other messages."""
        while True:
            if self.handshake_timed_out():
                raise EOFError
            try:
                if self._is_socket:
                    count = int(self._sock.recv_into(room))
                else:
                    data = self._sock.recv(len(room))
                    count = len(data)
                    room[:count] = data
            except (TimeoutError, BlockingIOError):
                if self.closed:
                    raise EOFError from None
                self._check_keepalive()  # type: ignore[attr-defined]
                continue
            except OSError:
                if self.closed:
                    raise EOFError from None
                raise
            if not count:
                raise EOFError
            return count

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return so many bytes of a message."""
        if n > LONGEST_MESSAGE:
            raise paramiko.SSHException("it sent a message without end, or no SSH at all")
        return bytes(super().read_all(n, check_rekey))

    def _read_timeout(self, timeout: float) -> bytes:
        """Return the next bytes of the greeting."""
        data = bytes(super()._read_timeout(timeout))  # type: ignore[misc]
        self._greeted += len(data)
        if self._greeted > _LONGEST_GREETING:
            raise paramiko.SSHException("it sent a greeting without end")
        return data

    # -- sending ------------------------------------------------------------------------------

    def send_message(self, data: Message) -> None:
        """Send a message, or a :class:`Burst`."""
        with self._writing:
            outward = self._outward
            if outward is None:
                messages = [data]
                if isinstance(data, Burst):
                    messages = [Message(b"".join(parts)) for parts in data.payloads]
                for message in messages:
                    super().send_message(message)
                return
            payloads = data.payloads if isinstance(data, Burst) else ((data.asbytes(),),)
            sealed = b"".join([part for payload in payloads for part in _sealed(outward, payload)])
            self.write_all(memoryview(sealed) if self._is_socket else sealed)


def _sealed(outward: _Direction, payload: Sequence[bytes | memoryview]) -> tuple[bytes, bytes]:
    """Return the length of a packet and the rest of it."""
    padding = -(sum(map(len, payload)) + 1 + _LEAST_PADDING) % _UNIT + _LEAST_PADDING
    plain = b"".join((padding.to_bytes(1, "big"), *payload, os.urandom(padding)))
    length = len(plain).to_bytes(_LENGTH, "big")
    return length, outward.cipher.encrypt(outward.nonce(), plain, length)


class Blocks:
    """The output of a program that no thread has taken yet, in the blocks in which it arrived.

    It has the methods of Paramiko's buffer that a channel calls. One thread feeds it and another
    takes from it.

    Attributes:
        wanted: bytes that have to be there before the event is set, unless it is the end.
    """

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._event: Any = None
        self._closed = False
        self._fed = self._taken = 0
        self.wanted = 1

    def __len__(self) -> int:
        """The number of bytes."""
        return self._fed - self._taken

    def set_event(self, event: Any) -> None:
        """Have an event set whenever a block arrives, and at the end."""
        self._event = event
        if self._closed or self._blocks:
            event.set()

    def feed(self, data: bytes) -> None:
        """Add a block."""
        if data:
            self._fed += len(data)
            self._blocks.append(data)
            if len(self) >= self.wanted:
                self._notify()

    def take(self, most: int) -> bytes:
        """Return the next blocks, about ``most`` bytes of them; empty if there are none."""
        blocks, size = [], 0
        while self._blocks and size < most:
            blocks.append(self._blocks.popleft())
            size += len(blocks[-1])
        self._taken += size
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def close(self) -> None:
        """Note that no more will arrive."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        if self._event is not None:
            self._event.set()
