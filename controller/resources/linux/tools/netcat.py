"""linux::NetcatReceiver and linux::NetcatSender: a transfer of bytes over TCP or UDP."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from ....errors import InvalidValue
from ....model import (
    Action,
    Attribute,
    Connection,
    Duration,
    Figure,
    Flag,
    Outputs,
    Readiness,
    RelativePath,
    Trace,
)
from .options import Option, Program, Target
from .servers import Client, Server

_RESULT = re.compile(r"^(bytes|nanoseconds|sha256) (\w+)$", re.MULTILINE)


class NetcatReceiver(Server, rtype="linux::NetcatReceiver"):
    """A receiver of one transfer, by nc(1) of OpenBSD, into a file of its run directory.

    It is STARTED when it listens and FINISHED when the sender has closed the connection. A receiver
    of UDP runs until the stop, since UDP has no end.
    """

    program = Program("nc", package="netcat-openbsd", version="-h")
    startedWhen = Attribute(
        Readiness,
        "output:^(Listening|Bound) on",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )
    file = Attribute(
        RelativePath, "received", help="The file, in the run directory.", flags=Flag.DESIGN
    )
    checksum = Attribute(
        bool, False, help="Compute the SHA-256 of the bytes at the end.", flags=Flag.DESIGN
    )

    udp = Option(bool, "-u", help="Use UDP.")
    ipv4 = Option(bool, "-4", help="Use IPv4 only.")
    ipv6 = Option(bool, "-6", help="Use IPv6 only.")
    receiveBuffer = Option(int, "-I", help="Size of the receive buffer, in bytes.", range=(1, None))
    wait = Option(Duration, "-w", help="Idle time after which it ends, in whole seconds.")

    bytes = Figure(int, unit="B", help="Bytes received.")
    sha256 = Figure(str, help="Their SHA-256, with checksum.")

    received = Trace(help="The bytes, unless file gives it another name.")

    def call(self) -> str:
        """Return the call of nc, whose port is a variable of the shell."""
        words = [*self.program, "-n", "-v", "-l", *self.option_words(), *self.extra]
        bound = f"{shlex.quote(self.bind)} " if self.bind else ""
        return f'{shlex.join(words)} {bound}"$port"'

    def wrapped(self, call: str) -> str:
        """Return the text for sh that receives, and counts what has come."""
        file = shlex.quote(self.file)
        return (
            f"trap : TERM\n{self.choice()}{call} >{file}\ncode=$?\n"
            f'echo "bytes $(wc -c <{file})"\n{_digest(file, self.checksum)}exit $code'
        )

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the number of bytes, and their SHA-256."""
        found = dict(_RESULT.findall(outputs.text()))
        figures: dict[str, Any] = {"sha256": found.get("sha256")}
        if "bytes" in found:
            figures["bytes"] = int(found["bytes"])
        return figures


class NetcatSender(Client, rtype="linux::NetcatSender"):
    """A sender of one transfer, by nc(1) of OpenBSD: of a file on its host, or of zeros.

    Connect it to a linux::NetcatReceiver: it starts once that listens, and finds its port. Or set
    ``target`` and ``port``.
    """

    alternatives = (("target", "port"),)

    program = Program("nc", package="netcat-openbsd", version="-h")
    file = Attribute(
        str,
        help="File to send: a path on the host, absolute or in the run directory.",
        flags=Flag.DESIGN,
    )
    size = Attribute(
        int, help="Without file: number of zeros to send.", range=(0, None), flags=Flag.DESIGN
    )
    checksum = Attribute(
        bool, False, help="Compute the SHA-256 of the bytes after sending.", flags=Flag.DESIGN
    )

    udp = Option(bool, "-u", help="Use UDP; it ends a second after the last byte.")
    ipv4 = Option(bool, "-4", help="Use IPv4 only.")
    ipv6 = Option(bool, "-6", help="Use IPv6 only.")
    sendBuffer = Option(int, "-O", help="Size of the send buffer, in bytes.", range=(1, None))
    source = Option(Target, "-s", help="Source address.")
    sourcePort = Option(int, "-p", help="Source port.", range=(1, 65535))
    tos = Option(str, "-T", help="Type of service, a number or a name.")
    ttl = Option(int, "-M", help="Time to live of the packets.", range=(1, 255))
    connectTimeout = Option(
        Duration, "-w", help="Time to wait for the connection, in whole seconds."
    )
    lineInterval = Option(Duration, "-i", help="Pause after each line, in whole seconds.")

    bytes = Figure(int, unit="B", help="Bytes sent.")
    seconds = Figure(float, unit="s", help="Time from the start to the end of the connection.")
    bitsPerSecond = Figure(float, unit="bit/s", help="Mean rate.")
    sha256 = Figure(str, help="SHA-256 of the bytes, with checksum.")

    receiver = Connection(
        NetcatReceiver, waits=False, follows=True, help="The receiver; it starts before."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a sender without a receiver, or without one thing to send.

        Raises:
            InvalidValue: that is so.
        """
        super().validate(conditional)
        if not self.command and bool(self.file) == (self.size is not None):
            raise InvalidValue("set either file or size", where=self.label)

    def operands(self) -> list[str]:
        """Return address and port of the receiver."""
        target, port = self.endpoint()
        # Without -v nc does not print why it fails; with it, it sends bytes of its own by UDP.
        switches = ["-q", "1"] if self.udp else ["-v", "-N"]
        return [*switches, target, str(port)]

    def wrapped(self, call: str) -> str:
        """Return the text for sh that sends, and measures the time."""
        if self.file:
            file = shlex.quote(self.file)
            sending, count = f"{call} <{file}", f"$(wc -c <{file})"
            digest = _digest(file, self.checksum)
        else:
            zeros = f"head -c {self.size} /dev/zero"
            sending, count = f"{zeros} | {call}", str(self.size)
            digest = f'sum=$({zeros} | sha256sum) && echo "sha256 ${{sum%% *}}"\n'
            digest = digest if self.checksum else ""
        return (
            f"began=$(date +%s%N)\n{sending}\ncode=$?\nended=$(date +%s%N)\n"
            f'[ $code = 0 ] || exit $code\necho "bytes {count}"\n'
            f'echo "nanoseconds $((ended - began))"\n{digest}exit 0'
        )

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return bytes, time and rate."""
        found = dict(_RESULT.findall(outputs.text()))
        if not {"bytes", "nanoseconds"} <= set(found):
            return {}
        size, took = int(found["bytes"]), int(found["nanoseconds"]) / 1e9
        return {
            "bytes": size,
            "seconds": took,
            "bitsPerSecond": size * 8 / took if took > 0 else None,
            "sha256": found.get("sha256"),
        }


def _digest(file: str, wanted: bool) -> str:
    return f'sum=$(sha256sum <{file}) && echo "sha256 ${{sum%% *}}"\n' if wanted else ""
