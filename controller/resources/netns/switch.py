"""netns::Switch: an emulated Ethernet switch."""

from __future__ import annotations

from collections.abc import Collection

from ...errors import InvalidValue
from ...model import Action, Attribute, Change, Connection, Flag, ResourceManager
from ..linux.network.endpoint import narrowest
from ..linux.network.vxlan import HEADER
from ..linux.node import Node as LinuxNode
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

    over = Connection(
        LinuxNode,
        many=True,
        waits=False,
        help="Other machines over which its Ethernet extends: the packets of its links are as "
        "large as fits into a VXLAN between any two of them and its own.",
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check the machines over which its Ethernet extends."""
        super().validate(conditional)
        for machine in self.over:
            if machine.emulates:
                raise InvalidValue(
                    f"{machine.label} is an emulated host; over= has their machines",
                    where=self.label,
                )

    def inside(self, name: str) -> list[Change]:
        """Return the bridge."""
        return [
            Change(f"link add {BRIDGE} type bridge stp_state {int(self.stp)}", netns=name),
            Change(f"link set dev {BRIDGE} up", netns=name),
        ]


def spanned(*nodes: Node) -> list[ResourceManager]:
    """Return the machines over which the Ethernets of those nodes extend that are switches."""
    switches = [node for node in nodes if isinstance(node, Switch) and node.over]
    return [machine for switch in switches for machine in (switch.machine, *switch.over)]


def fitting(*nodes: Node) -> int | None:
    """Return the MTU of a link of those nodes, if it is part of an Ethernet over several machines.

    All links of an Ethernet must have the same: a switch drops what is too large for a port.

    Raises:
        HostError: no address of a machine is known.
    """
    machines = spanned(*nodes)
    return narrowest(machines, HEADER) if machines else None
