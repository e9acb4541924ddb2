"""netns::Switch: an emulated Ethernet switch."""

from __future__ import annotations

from ...model import Attribute, Change, Flag
from .node import Node

#: Name of the bridge in the namespace of a switch.
BRIDGE = "switch"


class Switch(Node, rtype="netns::Switch"):
    """An emulated Ethernet switch: a bridge in a network namespace of its own.

    Ends of links that are connected to it are its ports. As in an emulated host, applications can
    run in it, such as a capture on one of its ports. In a namespace of its own neither names nor
    firewall rules of the machine concern it. After ip-link(8), "BRIDGE Type Support".
    """

    ip = None  # taken out, as the next ones
    ip6 = None
    forward = None  # type: ignore[assignment]

    stp = Attribute(
        bool, False, help="Whether it speaks the spanning tree protocol.", flags=Flag.DESIGN
    )

    def inside(self, name: str) -> list[Change]:
        """Return the bridge."""
        return [
            Change(f"link add {BRIDGE} type bridge stp_state {int(self.stp)}", netns=name),
            Change(f"link set dev {BRIDGE} up", netns=name),
        ]
