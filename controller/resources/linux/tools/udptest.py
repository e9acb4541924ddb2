"""linux::UdpTest: measures throughput, loss and jitter of UDP."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any

from ....errors import InvalidValue
from ....model import Action, Attribute, Connection, Flag, Readiness
from .iperf3 import Iperf3Client
from .options import Option

# The six services of hpcbench's -q, as bits of the header: RFC 1349, RFC 2597.
_SERVICES = {"1": "0x10", "2": "0x08", "3": "0x28", "4": "0x38", "5": "0x88", "6": "0x98"}


class Service(str):
    """A type of service by hpcbench's number, from 1 to 6, as the bits of the header."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Service:
        """Return the bits."""
        if value not in _SERVICES and value != "":
            raise InvalidValue("must be a number from 1 to 6, as text")
        return cls(_SERVICES.get(value, ""))


class UdpTest(Iperf3Client, rtype="linux::UdpTest", aliases=("LinuxUdpTest",)):
    """A test of UDP between two resources of this type, one with ``s=True`` as its server.

    NEPI ran udptest of hpcbench here, which is not available any more; this type runs iperf3(1) and
    has NEPI's names for what both can do. The client connects to the server by ``target`` and
    ``p``, so it needs a START condition on it. All options of linux::Iperf3Client apply too.

    hpcbench's tests of latency (``a A e``), its generator (``g``), log and plot (``c o P``), and
    ``B d r`` have no counterpart; linux::Ping and linux::NPing measure latency.
    """

    startedWhen = Attribute(  # noqa: N815 - NEPI's style
        Readiness,
        "output:^(Server listening|nepiq: the test begins)",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )
    s = Attribute(bool, False, help="Be the server.", flags=Flag.DESIGN)
    p = Attribute(int, 5678, help="Port of the server.", range=(1, 65535), flags=Flag.DESIGN)
    udp = Option(bool, "-u", True, help="Use UDP.")
    b = Option(int, "-w", help="Size of the socket's buffers, in bytes.", range=(1, None))
    l = Option(int, "-l", help="Bytes of a datagram.", range=(16, 65507))  # noqa: E741
    m = Option(int, "-n", help="Bytes to send in all.", range=(1, None))
    t = Option(int, "-t", help="Length of the test, in seconds.", range=(1, 86400))
    T = Option(str, "-b", help="Rate to send at, in bits a second; iperf3's default is 1M.")
    i = Option(bool, "--bidir", help="Let both send.")
    q = Option(Service, "-S", "", help="Type of service, from 1 to 6 as in hpcbench.")

    server = Connection("linux::Iperf3Server", waits=False, follows=True, help="Another server.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Refuse a client without a server."""
        if not self.s:
            super().validate(conditional)

    def call(self) -> str:
        """Return the call of iperf3."""
        if self.s:
            words = [*self.program, "-s", "-1", "--forceflush", "-p", str(self.p), *self.extra]
            return shlex.join(words)
        call = super().call()
        return call if self.port or self.server else f"{call} -p {self.p}"

    def wrapped(self, call: str) -> str:
        """Return the text for sh that runs the server, or the test."""
        if self.s:
            return f"exec {call}"
        return f"echo 'nepiq: the test begins' >&2\n{super().wrapped(call)}"
