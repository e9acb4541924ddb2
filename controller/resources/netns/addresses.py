"""netns::IPv4Address and netns::IPv6Address: further addresses of an interface."""

from __future__ import annotations

from collections.abc import Sequence

from ...model import Attribute, Change, Connection, Context, Flag
from ..linux.network.configured import Configured
from ..linux.network.values import Ipv4, Ipv6
from .interface import NodeInterface


class _Address(Configured):
    """An address of an interface of an emulated host."""

    ip: str
    prefix: int
    options = ""

    interface = Connection(NodeInterface, required=True, help="The interface.")

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the address, and the name of the host at it."""
        del context
        device, node = self.interface.deviceName, self.interface.node
        what = f"{self.ip}/{self.prefix} dev {device}"
        names = f"{node.label}-{device}"
        line = f"{self.ip} {names if node.addresses else f'{node.label} {names}'}"
        return [
            Change(f"address add {what}{self.options}", f"address del {what}"),
            Change(line, line, "hosts", ""),
        ]


class IPv4Address(_Address, rtype="netns::IPv4Address"):
    """An IPv4 address of an interface of an emulated host."""

    ip = Attribute(Ipv4, required=True, help="The address.", flags=Flag.DESIGN)
    prefix = Attribute(
        int, 24, help="Length of the network's prefix.", range=(0, 32), flags=Flag.DESIGN
    )


class IPv6Address(_Address, rtype="netns::IPv6Address"):
    """An IPv6 address of an interface of an emulated host."""

    options = " nodad"

    ip = Attribute(Ipv6, required=True, help="The address.", flags=Flag.DESIGN)
    prefix = Attribute(
        int, 64, help="Length of the network's prefix.", range=(0, 128), flags=Flag.DESIGN
    )
