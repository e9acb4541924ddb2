"""One end of a UDP tunnel: carries packets between a TUN or TAP interface and a UDP socket.

It is run on a host as ``python3 - NAME=VALUE...`` by Python 3.7 or newer, and needs no other file.
An end without a remote address listens and prints ``port N``; the other calls it and prints
``joined`` when it is answered.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import time

TUNSETIFF = 0x400454CA  # of linux/if_tun.h, as the flags
IFF_TUN, IFF_TAP, IFF_NO_PI = 1, 2, 0x1000
#: More than any packet.
LARGEST = 65536
#: Bytes that the socket may hold; the kernel may allow less.
BUFFER = 4 << 20
#: Packets that are carried in one direction before the other one has its turn.
TURN = 64
#: Seconds without packets after which the end that calls says hello, so that firewalls and
#: translations of addresses on the way remember the tunnel.
SILENCE = 20.0
#: Errors that say that the interface is gone; others lose a packet, as networks do.
GONE = (errno.EBADFD, errno.EBADF, errno.ENODEV)


class End:
    """An end whose interface and socket are open.

    Args:
        interface: the file of the interface.
        sock: the UDP socket.
        word: what both ends recognise each other by.
    """

    def __init__(self, interface: int, sock: socket.socket, word: str) -> None:
        self.interface, self.sock = interface, sock
        self.hello, self.answer = (f"nepiq {it} {word}".encode() for it in ("hello", "answer"))

    def listen(self) -> None:
        """Wait for the first hello, and keep to its sender."""
        say(f"port {self.sock.getsockname()[1]}")
        while True:
            data, sender = self.sock.recvfrom(LARGEST)
            if data == self.hello:
                self.sock.connect(sender)
                self.sock.send(self.answer)
                return

    def call(self, remote: str, port: int, patience: float) -> None:
        """Say hello until the other end answers."""
        self.sock.connect((remote, port))
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                self.sock.send(self.hello)
                ready = select.select([self.sock], [], [], 0.2)[0]
                if ready and self.sock.recv(LARGEST) == self.answer:
                    say("joined")
                    return
            except OSError:
                time.sleep(0.2)  # nobody listens there, or there is no way
        sys.exit(f"no answer from {remote} port {port} by UDP within {patience:g} s")

    def carry(self, *, calls: bool) -> None:
        """Carry packets in both directions until the interface is gone."""
        self.sock.setblocking(False)
        poll = select.epoll()
        poll.register(self.interface, select.EPOLLIN)
        poll.register(self.sock, select.EPOLLIN)
        while True:
            ready = [file for file, _ in poll.poll(SILENCE)]
            if self.interface in ready:
                self._send()
            if self.sock.fileno() in ready:
                self._receive()
            if not ready and calls:
                with contextlib.suppress(OSError):
                    self.sock.send(self.hello)

    def _send(self) -> None:
        interface, read, send = self.interface, os.read, self.sock.send
        for _ in range(TURN):
            try:
                data = read(interface, LARGEST)
            except OSError as error:
                leave_if_gone(error)
                return
            try:
                send(data)
            except OSError:
                continue  # lost

    def _receive(self) -> None:
        interface, write, receive = self.interface, os.write, self.sock.recv
        for _ in range(TURN):
            try:
                data = receive(LARGEST)
            except OSError:
                return
            try:
                if data == self.hello:
                    self.sock.send(self.answer)
                elif data != self.answer:
                    write(interface, data)
            except OSError as error:
                leave_if_gone(error)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def leave_if_gone(error: OSError) -> None:
    """End the program if an error says that the interface is gone."""
    if error.errno in GONE:
        sys.exit("the interface is gone")


def open_interface(name: str, mode: str, *, pi: bool) -> int:
    """Return the file of an interface that exists."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = (IFF_TAP if mode == "tap" else IFF_TUN) | (0 if pi else IFF_NO_PI)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return file


def open_socket(remote: str, local: str, port: int) -> socket.socket:
    """Return a UDP socket; at a local address if the host has that."""
    family = socket.AF_INET6 if ":" in (remote or local) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    try:
        sock.bind((local, port))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            sys.exit(f"cannot listen at {local or 'all addresses'} port {port}: {error.strerror}")
        sock.bind(("", port))
    return sock


def main() -> None:
    """Carry packets as the arguments say."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    remote, port = given["remote"], int(given["port"])
    interface = open_interface(given["device"], given["mode"], pi=given["pi"] == "True")
    end = End(interface, open_socket(remote, given["local"], 0 if remote else port), given["word"])
    if remote:
        end.call(remote, port, float(given["patience"]))
    else:
        end.listen()
    end.carry(calls=bool(remote))


if __name__ == "__main__":
    main()
