"""Netlink: messages to the kernel, and the answers to them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator

REQUEST, ACK, EXCLUSIVE, CREATE, APPEND = 1, 4, 0x200, 0x400, 0x800
ROUTE, NETFILTER = 0, 12  # protocols of netlink
QUEUE, TABLES = 3, 10  # subsystems of nfnetlink
NEW_LINK, DELETE_LINK = 16, 17

libc = ctypes.CDLL(None, use_errno=True)

header = struct.Struct("=IHHIIBBH")  # of a message, and of nfnetlink
four_bytes = struct.Struct(">I")
attribute_header = struct.Struct("=HH")
_link = struct.Struct("=IHHIIBxHiII")


class Refused(Exception):
    """A request that cannot be carried out; ``number`` is the error number of the kernel, or 0."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute of a message."""
    return attribute_header.pack(len(value) + 4, kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that has others."""
    return attribute(kind | 0x8000, b"".join(attributes))


def number(kind: int, value: int) -> bytes:
    """Return an attribute that has a number of four bytes, as netfilter writes it."""
    return attribute(kind, four_bytes.pack(value & 0xFFFFFFFF))


def native(kind: int, value: int, size: str = "I") -> bytes:
    """Return an attribute that has a number, as routing writes it."""
    return attribute(kind, struct.pack("=" + size, value))


def text(kind: int, value: str) -> bytes:
    """Return an attribute that has a text."""
    return attribute(kind, value.encode() + b"\0")


def message(kind: int, flags: int, family: int, value: int, *attributes: bytes) -> bytes:
    """Return a message of nfnetlink."""
    body = b"".join(attributes)
    size = header.size + len(body)
    return header.pack(size, kind, REQUEST | flags, 0, 0, family, 0, socket.htons(value)) + body


def link_message(
    kind: int, flags: int, index: int, *attributes: bytes, set_up: bool = False
) -> bytes:
    """Return a message about an interface."""
    body, up = b"".join(attributes), int(set_up)
    size = _link.size + len(body)
    return _link.pack(size, kind, REQUEST | ACK | flags, 0, 0, 0, 0, index, up, up) + body


def batch(*messages: bytes) -> bytes:
    """Return messages of nf_tables as one transaction."""
    return b"".join([message(16, 0, 0, TABLES), *messages, message(17, 0, 0, TABLES)])


def connect(protocol: int) -> socket.socket:
    """Return a netlink socket in the network namespace of this thread."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    link.bind((0, 0))
    return link


def changes_of_links() -> socket.socket:
    """Return a socket that receives the changes of all interfaces, without waiting."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)
    link.bind((0, 1))  # RTMGRP_LINK
    link.setblocking(False)
    return link


def confirm(link: socket.socket, what: str, request: bytes) -> None:
    """Send messages, the last of which requests an acknowledgement, and read that.

    Raises:
        Refused: the kernel refused one of them.
    """
    link.settimeout(10.0)
    link.send(request)
    # The kernel reports all that it refuses, and no other message.
    code = -struct.unpack_from("=i", link.recv(65536), 16)[0]
    link.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while code and link.recv(65536):
            pass
    if code:
        raise Refused(f"{what}: {os.strerror(code)}", code)


@contextlib.contextmanager
def within(namespace: int, what: str) -> Iterator[None]:
    """Have this thread in another network namespace for a while.

    Args:
        namespace: an open file that stands for it.
        what: its name in errors.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.setns(namespace, 0x40000000):  # CLONE_NEWNET
            code = ctypes.get_errno()
            raise Refused(f"cannot enter network namespace {what}: {os.strerror(code)}", code)
        try:
            yield
        finally:
            libc.setns(home, 0x40000000)
    finally:
        os.close(home)
