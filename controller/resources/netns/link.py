"""netns::Link: a link between two emulated hosts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...errors import InvalidValue
from ...model import Action, Attribute, Change, Connection, Context, Flag, device_name
from ..linux.network.configured import Configured
from ..linux.network.ends import LinkEnd
from .node import Node


class Link(Configured, rtype="netns::Link"):
    """A link between two emulated hosts on one machine: a pair of virtual Ethernet interfaces.

    After veth(4).
    """

    name1 = Attribute(str, help="Name of the interface in the first host.", flags=Flag.DESIGN)
    name2 = Attribute(str, help="Name of the interface in the second host.", flags=Flag.DESIGN)
    ip1 = Attribute(str, help="Address of the first, as 10.0.0.1/30.", flags=Flag.DESIGN)
    ip2 = Attribute(str, help="Address of the second.", flags=Flag.DESIGN)
    ends = Connection(Node, required=True, many=True, help="The two hosts.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has two ends."""
        del conditional
        if len(self.ends) != 2:
            raise InvalidValue("connect it to two emulated hosts", where=self.label)

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the pair, and the addresses."""
        del context
        (name1, left), (name2, right) = self.link_ends()
        changes = [
            Change(f"link add {name1} netns {left} type veth peer name {name2} netns {right}"),
        ]
        for name, address, netns in ((name1, self.ip1, left), (name2, self.ip2, right)):
            undo = f"link del {name}" if netns == left else ""
            changes.append(Change(f"link set {name} up", undo, netns=netns))
            if address:
                changes.append(Change(f"address add {address} dev {name}", netns=netns))
        return changes

    def link_ends(self) -> list[LinkEnd]:
        """Return its interfaces."""
        names = (self.name1, self.name2)
        return [
            LinkEnd(name or device_name(self.run_id, self.guid, side), end.network_namespace())
            for name, side, end in zip(names, "ab", self.ends, strict=True)
        ]
