"""netns::RemoteLink: one end of a link to an emulated host on another machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ...errors import InvalidValue
from ...model import Action, Change, Connection, Context, ResourceManager
from ..linux.network.endpoint import Way
from ..linux.network.values import InterfaceName
from ..linux.network.vxlan import VXLAN
from .node import Node
from .switch import BRIDGE, Switch, fitting, spanned


class RemoteLink(VXLAN, rtype="netns::RemoteLink"):
    """One end of a link between emulated hosts or switches on two machines.

    It is a linux::VXLAN with what links of emulated networks have: its name is ``eth`` and a number
    by default, its host has a name at its addresses, and it can be a port of a switch.
    """

    node = Connection(  # type: ignore[assignment]
        Node, required=True, help="The emulated host or switch that has it."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has another end, and that ports of switches have no address."""
        super().validate(conditional)
        if (self.ip or self.ip6) and isinstance(self.node, Switch):
            raise InvalidValue(f"a port of {self.node.label} has no address", where=self.label)

    def awaits(self) -> Collection[ResourceManager]:
        """Return all machines over which its Ethernet extends, which report their addresses."""
        return list({it.guid: it for it in (*super().awaits(), *spanned(*self._nodes()))}.values())

    def fit(self, way: Way) -> None:
        """Choose the MTU, unless it is given: what fits to all machines of its Ethernet."""
        given = self.mtu
        super().fit(way)
        if given is None and (size := fitting(*self._nodes())):
            self.fill(mtu=min(size, self.mtu or size))

    def _nodes(self) -> Sequence[Node]:
        return [self.node] if self.peer is None else [self.node, self.peer.node]

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the interface, its place in a switch, and the names at its addresses."""
        if self.deviceName is None:
            self.fill(deviceName=InterfaceName(f"eth{self.guid}"))
        return [*super().configuration(context), *self._in_network()]

    def _in_network(self) -> Iterator[Change]:
        name = str(self.deviceName)
        if isinstance(self.node, Switch):
            yield Change(f"link set dev {name} master {BRIDGE}")
        yield from self.node.names_at(name, filter(None, (self.ip, self.ip6)))

    def joined_hosts(self) -> Sequence[tuple[ResourceManager, Sequence[str]]]:
        """Return the emulated hosts or switches at both ends; addresses are those of this end."""
        here = (self.node, [str(ip) for ip in (self.ip, self.ip6) if ip])
        return [here] if self.peer is None else [here, (self.peer.node, [])]
