"""linux::Tap and linux::Tun: interfaces whose packets a program reads and writes."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ....errors import HostError, InvalidValue
from ....model import (
    Action,
    Attribute,
    Change,
    Connection,
    Context,
    Flag,
    Later,
    ResourceManager,
    device_name,
)
from .endpoint import Endpoint
from .kernel import require_link_kind
from .values import Ipv4

if TYPE_CHECKING:
    from .tunnel import Tunnel


class Number(int):
    """A whole number, which NEPI's scripts write as text."""

    @classmethod
    def parse(cls, value: Any) -> Number:
        """Return a number that is not negative."""
        text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise InvalidValue("must be a whole number")
        return cls(text)

    def written(self) -> int:
        """Return it as it is stored."""
        return int(self)


class TunTap(Endpoint, rtype="linux::TunTap"):
    """What linux::Tap and linux::Tun share.

    Attributes:
        mode: as ip-tuntap(8) names it.
        gre: the kind of link that is one end of a GRE tunnel (ip-link(8)).
    """

    internal = True
    mode: ClassVar[str] = ""
    gre: ClassVar[str] = ""

    pointopoint = Attribute(
        Ipv4, help="IPv4 address of the interface at the other end.", flags=Flag.DESIGN
    )
    txqueuelen = Attribute(
        Number, help="Packets that its queue holds.", range=(0, 10**6), flags=Flag.DESIGN
    )
    pi = Attribute(
        bool,
        False,
        help="Whether packets are preceded by four bytes of protocol information.",
        flags=Flag.DESIGN,
    )
    greKey = Attribute(
        Number,
        1,
        help="Key of a linux::GRETunnel, the same at both ends.",
        range=(0, 2**32 - 1),
        flags=Flag.DESIGN,
    )
    port = Attribute(
        int, help="The UDP port of a linux::UdpTunnel at this end.", flags=Flag.NO_WRITE
    )

    tunnel = Connection("linux::Tunnel", waits=False, help="The tunnel that it is an end of.")

    @property
    def _device(self) -> str:
        given = self.deviceName if self._is_named else None
        return given or device_name(self.run_id, self.guid, begin=self.mode)

    @property
    def _is_named(self) -> bool:
        return bool(self.node.emulates and self.deviceName)

    @property
    def interface(self) -> str:
        """The name of the interface; before the deployment the one that it gets."""
        return self.deviceName or self._device

    def other(self) -> TunTap | None:
        """Return the other end of its tunnel."""
        tunnel: Tunnel | None = self.tunnel
        return None if tunnel is None else tunnel.opposite(self)

    def awaits(self) -> Collection[ResourceManager]:
        """Return what its tunnel needs of the other end."""
        tunnel: Tunnel | None = self.tunnel
        return () if tunnel is None else tunnel.awaited_by(self)

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that its packets can travel from where it is."""
        del conditional
        if self.tunnel is not None and self.other() is None:
            raise InvalidValue(f"{self.tunnel.label} has no other end", where=self.label)
        if self.tunnel is not None and self.node.emulates:
            raise InvalidValue(
                f"{self.tunnel.label} cannot end in an emulated host",
                where=self.label,
                hint="use linux::VXLAN or linux::WireGuard",
            )

    def kind(self, context: Context) -> str:
        """Return its options, as ip-tuntap(8) reads them."""
        owner = context.host.facts.user
        return f"mode {self.mode}{' pi' if self.pi else ''} user {owner}"

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the interface, which its tunnel may make in another way."""
        tunnel: Tunnel | None = self.tunnel
        name = self._device
        kind = "" if tunnel is None else tunnel.kind(self)
        require_link_kind(context.host.facts, kind.partition(" ")[0] or "tun")
        make = f"link add {name} type {kind}" if kind else f"tuntap add {name} {self.kind(context)}"
        return [Change(make, f"link del {name}")]

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the interface, with an MTU that fits its tunnel."""
        tunnel: Tunnel | None = self.tunnel
        if tunnel is None:
            return super().configuration(context)
        self.fit(self.way())
        return [*super().configuration(context), *tunnel.further(self, self._device)]

    def overhead(self) -> int:
        """Bytes that its tunnel adds, beside the outer IP header."""
        tunnel: Tunnel | None = self.tunnel
        ethernet = 14 if self.mode == "tap" else 0
        return 0 if tunnel is None else tunnel.header + ethernet + (4 if self.pi else 0)

    def _settings(self) -> Iterator[Change]:
        if self.txqueuelen is not None:
            yield Change(f"link set {self.interface} txqueuelen {self.txqueuelen}")
        yield from super()._settings()

    def _address(self) -> str:
        far = f" peer {self.pointopoint}" if self.pointopoint else ""
        return f"{self.ip}{far}/{self.prefix}"

    def do_provision(self, context: Context) -> None:
        """Make the interface."""
        try:
            super().do_deploy(context)
        except HostError as error:
            # What ip-tuntap(8) says where it cannot open the device.
            if not error.message.startswith("ip: open: "):
                raise
            raise HostError(
                f"/dev/net/tun cannot be opened on that host: {error.message[10:].strip()}",
                hint="load the module as root: modprobe tun; in a container, pass the device "
                "/dev/net/tun on",
            ) from None

    def do_deploy(self, context: Context) -> Later | None:
        """Join it to the other end of its tunnel."""
        tunnel: Tunnel | None = self.tunnel
        return None if tunnel is None else tunnel.join(self, context)

    def do_release(self, context: Context) -> None:
        """Leave the tunnel and remove the interface."""
        tunnel: Tunnel | None = self.tunnel
        if tunnel is not None:
            tunnel.leave(context)
        super().do_release(context)


class Tap(TunTap, rtype="linux::Tap"):
    """An interface whose Ethernet frames a program reads and writes.

    After ip-tuntap(8). With a linux::UdpTunnel or linux::GRETunnel, it is one end of an Ethernet
    link to a Tap of another machine.
    """

    internal = False
    mode = "tap"
    gre = "gretap"


class Tun(TunTap, rtype="linux::Tun"):
    """An interface whose IP packets a program reads and writes.

    After ip-tuntap(8). With a linux::UdpTunnel or linux::GRETunnel, it is one end of a link for IP
    packets to a Tun of another machine.
    """

    internal = False
    mode = "tun"
    gre = "gre"
