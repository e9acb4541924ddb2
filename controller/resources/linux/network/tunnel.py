"""Tunnels between two Taps or Tuns: their base, and linux::GRETunnel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from ....errors import InvalidValue
from ....model import Action, Change, Connection, Context, Later, ResourceManager
from .endpoint import machines
from .tuntap import TunTap


class Tunnel(ResourceManager, rtype="linux::Tunnel"):
    """A tunnel between two interfaces of the same kind, a Tap or Tun on each of two machines.

    It acts on no machine itself: its ends do what is to be done on theirs. A subclass says what
    that is. The tunnel is READY when packets can travel.

    Attributes:
        header: bytes that it adds to a packet, beside the outer IP header.
    """

    internal = True
    does_io = False
    endless = True
    header: ClassVar[int] = 0

    ends = Connection(TunTap, required=True, many=True, help="The two interfaces.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has two ends which fit."""
        del conditional
        if len(self.ends) != 2:
            raise InvalidValue("connect it to two interfaces", where=self.label)
        one, two = self.ends
        for name, values in (
            ("kind", (one.mode, two.mode)),
            ("pi", (one.pi, two.pi)),
            ("greKey", (one.greKey, two.greKey)),
        ):
            if values[0] != values[1]:
                raise InvalidValue(
                    f"its two interfaces differ in {name}: {values[0]}, {values[1]}",
                    where=self.label,
                )

    def opposite(self, end: TunTap) -> TunTap | None:
        """Return the other end, if there is one."""
        return next((it for it in self.ends if it.guid != end.guid), None)

    def awaited_by(self, end: TunTap) -> Collection[ResourceManager]:
        """Return the resources that must be READY before an end is deployed."""
        raise NotImplementedError

    def kind(self, end: TunTap) -> str:
        """Return how ip-link(8) makes the interface of an end; empty for a TUN or TAP interface."""
        del end
        return ""

    def further(self, end: TunTap, device: str) -> Sequence[Change]:
        """Return changes that follow those of the interface of an end.

        Args:
            end: the end.
            device: a name of its interface.
        """
        del end, device
        return ()

    def join(self, end: TunTap, context: Context) -> Later | None:
        """Connect an end, whose interface is made, to the other one."""

    def leave(self, context: Context) -> None:
        """End what :meth:`join` has left running for an end."""


class GRETunnel(Tunnel, rtype="linux::GRETunnel"):
    """A tunnel of the kernel: Ethernet frames of two Taps, or IP packets of two Tuns, in GRE.

    Their ``greKey`` tells it from others. After RFC 2784, RFC 2890 and ip-link(8), "IPIP, GRE".
    """

    internal = False
    header = 8  # with a key

    def awaited_by(self, end: TunTap) -> Collection[ResourceManager]:
        """Return the machine of the other end, which reports its address."""
        return machines(self.opposite(end))

    def kind(self, end: TunTap) -> str:
        """Return the kind with its options."""
        way = end.way()
        family = "ip6" if ":" in way.remote else ""
        local = f" local {way.local}" if way.local else ""
        # The option that IPv6 adds else takes room of the packets (RFC 2473).
        more = " encaplimit none" if family else ""
        return f"{family}{end.gre}{local} remote {way.remote} key {end.greKey}{more}"
