"""linux::UdpTunnel: a tunnel between two machines by UDP, without help of the kernel."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ....errors import HostError, InvalidValue
from ....model import Attribute, Change, Context, Flag, ResourceManager
from .endpoint import machines
from .tunnel import Tunnel
from .tuntap import Number, TunTap

#: Seconds in which one end has to answer the other.
PATIENCE = 10.0


class Cipher(str):
    """NEPI's name of a cipher. Only PLAIN is left: the others are outdated or were weak."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Cipher:
        """Return PLAIN."""
        if value != "PLAIN":
            raise InvalidValue(
                "must be PLAIN: a linux::UdpTunnel does not encrypt",
                hint="use linux::WireGuard for an encrypted tunnel",
            )
        return cls(value)


class UdpTunnel(Tunnel, rtype="linux::UdpTunnel"):
    """A tunnel that carries the packets of two Taps or two Tuns in UDP packets, unencrypted.

    A program of Python 3 on each machine does so, as root; it needs nothing of the kernel but TUN.
    One end listens; the other one calls it, so that it may be behind a translation of addresses.
    """

    internal = False
    header = 8

    cipher = Attribute(Cipher, "PLAIN", help="Only PLAIN: nothing is encrypted.", flags=Flag.DESIGN)
    cipherKey = Attribute(
        str, help="No effect, for NEPI's scripts: nothing is encrypted.", flags=Flag.DESIGN
    )
    port = Attribute(
        int,
        0,
        help="UDP port of the end that listens, the interface that was registered last; 0: a free "
        "one.",
        range=(0, 65535),
        flags=Flag.DESIGN,
    )
    txQueueLen = Attribute(
        Number,
        help="Packets that the queues of both interfaces hold.",
        range=(0, 10**6),
        flags=Flag.DESIGN,
    )
    bwLimit = Attribute(
        Number,
        help="Greatest rate of each direction in bytes per second.",
        range=(1000, None),
        flags=Flag.DESIGN,
    )

    def awaited_by(self, end: TunTap) -> Sequence[ResourceManager]:
        """Return the end that listens, for the one that calls it, or the machine of the other."""
        called = self._called_by(end)
        return machines(self.opposite(end)) if called is None else [called]

    def _called_by(self, end: TunTap) -> TunTap | None:
        """Return the end that an end calls; None if it is the one that listens."""
        other = self.opposite(end)
        return None if other is None or other.guid < end.guid else other

    def further(self, end: TunTap, device: str) -> Sequence[Change]:
        """Return the length of the queue and the limit of the rate."""
        changes = []
        if self.txQueueLen is not None:
            changes.append(Change(f"link set {device} txqueuelen {self.txQueueLen}"))
        if self.bwLimit is not None:
            burst = max(self.bwLimit // 100, 2 * (end.mtu or 0), 3000)
            changes.append(
                Change(
                    f"qdisc add dev {device} root tbf rate {self.bwLimit}bps burst {burst} "
                    "latency 50ms",
                    tool="tc",
                )
            )
        return changes

    def join(self, end: TunTap, context: Context) -> None:
        """Launch the program of an end; the one that calls has to get an answer.

        Raises:
            HostError: the host has no Python 3, or the other end does not answer.
        """
        if context.host.lacks("python3"):
            raise HostError("the host has no python3", hint="install the package python3")
        called, way = self._called_by(end), end.way()
        port = self.port if called is None else called.port
        what = {
            "device": end.deviceName,
            "mode": end.mode,
            "pi": end.pi,
            "word": self._word(),
            "local": way.local or ("::" if ":" in way.remote else ""),
            "remote": "" if called is None else way.remote,
            "port": port,
            "patience": PATIENCE,
        }
        words = " ".join(shlex.quote(f"{name}={value}") for name, value in what.items())
        launch = context.host.supervise(
            f"exec python3 - {words}",
            stdin=_program(),
            started_when="output:^(port [0-9]+|joined)$",
            start_timeout=PATIENCE + 10,
            sudo=True,
        )
        if launch.exit is not None:
            said = context.host.read("stderr", offset=-500).decode("utf-8", "replace").strip()
            reason = said.splitlines()[-1] if said else launch.exit.reason
            hint = f"let UDP to port {port} of {way.remote} through the firewalls"
            raise HostError(
                f"{self.label}: {reason}", hint=hint if reason.startswith("no answer ") else ""
            )
        if called is None:
            printed = context.host.read("stdout").split()
            end.port = int(printed[printed.index(b"port") + 1])

    def leave(self, context: Context) -> None:
        """End the program."""
        context.host.clear()

    def _word(self) -> str:
        """Return what the ends of this tunnel recognise each other by."""
        return hashlib.sha256(f"{self.run_id} {self.guid}".encode()).hexdigest()[:32]


@cache
def _program() -> bytes:
    return Path(__file__).with_name("udp_tunnel_end.py").read_bytes()
