"""netns::NodeInterface: an interface of an emulated host at a switch."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...errors import InvalidValue
from ...model import Action, Change, Connection, Context, ResourceManager
from ..linux.network.device import Device
from .node import Node
from .switch import BRIDGE, Switch, fitting, spanned


class NodeInterface(Device, rtype="netns::NodeInterface"):
    """An interface of an emulated host, whose other end is a port of a switch. After veth(4).

    An interface of the machine gets into an emulated host as a linux::Interface with
    ``fromMachine``, or as a linux::Macvlan.
    """

    node = Connection(  # type: ignore[assignment]
        Node, required=True, help="The emulated host that has it."
    )
    switch = Connection(Switch, required=True, help="The switch that it is connected to.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that both are on one machine."""
        del conditional
        if self.node.machine.guid != self.switch.machine.guid:
            raise InvalidValue(
                f"{self.node.label} and {self.switch.label} are on different machines",
                where=self.label,
                hint="register a netns::RemoteLink for each end, or use emulate()",
            )

    def awaits(self) -> Collection[ResourceManager]:
        """Return the machines over which its Ethernet extends, which report their addresses."""
        return spanned(self.switch)

    @property
    def _device(self) -> str:
        return str(self.deviceName or f"eth{self.guid}")

    @property
    def _is_named(self) -> bool:
        return True

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the pair of which one end is a port."""
        del context
        name, port = self._device, f"{self.node.label[:8]}{self.guid}"
        ports = self.switch.network_namespace()
        mtu = self.mtu or fitting(self.switch)
        size = f" mtu {mtu}" if mtu else ""
        made = f"link add name {name}{size} type veth peer name {port}{size} netns {ports}"
        return [
            Change(made, f"link del dev {name}"),
            Change(f"link set dev {port} master {BRIDGE} up", netns=ports),
        ]
