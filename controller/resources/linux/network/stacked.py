"""linux::Vlan and linux::Macvlan: interfaces on top of another one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Connection, Context, Flag
from .any_interface import AnyInterface
from .device import Device
from .kernel import require_link_kind
from .values import InterfaceName


class Stacked(Device):
    """An interface on top of another one of its node.

    The other one may also be a resource on the machine of an emulated host: then the emulated host
    gets the new one.
    """

    parent = Attribute(
        InterfaceName,
        help="Name of the interface below, if it is not connected to a resource.",
        flags=Flag.DESIGN,
    )
    over = Connection(AnyInterface, waits=True, help="The interface below.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that one interface is named."""
        del conditional
        if bool(self.parent) == (self.over is not None):
            raise InvalidValue("give it parent=, or connect it to an interface", where=self.label)
        if self.over is not None and self.over.node.guid != self.node.guid and not self._leads_in:
            raise InvalidValue(
                f"{self.over.label} is on {self.over.node.label}, not on {self.node.label}",
                where=self.label,
            )

    @property
    def _leads_in(self) -> bool:
        """True if the interface below is on the machine, and this one in an emulated host."""
        over, machine = self.over, getattr(self.node, "node", None)
        return over is not None and machine is not None and over.node.guid == machine.guid

    def below(self) -> str:
        """Return the name of the interface below."""
        return self.parent or (self.over.deviceName if self.over else None) or ""

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the interface, made from the machine if the one below is there."""
        if not self._leads_in:
            return super().creation(context)
        kind, name = self.kind(context), self._device
        require_link_kind(context.host.facts, kind.partition(" ")[0])
        inside = self.node.network_namespace()
        add = f"link add link {self.below()} name {name} netns {inside} type {kind}"
        return [Change(add, netns=""), Change("", f"link del {name}")]


class Vlan(Stacked, rtype="linux::Vlan"):
    """A virtual LAN on top of an interface: its frames carry a tag (IEEE 802.1Q).

    Its MTU is that of the interface below unless mtu is given. After ip-link(8), "VLAN Type
    Support". Not every kernel has it (module 8021q).
    """

    vlan = Attribute(
        int, help="Number of the virtual LAN.", range=(1, 4094), flags=Flag.DESIGN, required=True
    )
    protocol = Attribute(
        str,
        "802.1Q",
        allowed=("802.1Q", "802.1ad"),
        help="802.1ad for an outer tag.",
        flags=Flag.DESIGN,
    )

    def kind(self, context: Context) -> str:
        """Return the kind with its options."""
        del context
        return f"vlan protocol {self.protocol} id {self.vlan}"


class Macvlan(Stacked, rtype="linux::Macvlan"):
    """An interface with a MAC address of its own on top of another one.

    Frames for its address arrive by the interface below. With a parent on the machine, it connects
    an emulated host to the machine's network. The machine itself and its macvlans do not hear each
    other. After ip-link(8), "MACVLAN and MACVTAP Type Support".
    """

    mode = Attribute(
        str,
        "bridge",
        allowed=("bridge", "private", "vepa", "passthru"),
        help="Which macvlans of the same parent hear each other: bridge, all; private, none; "
        "vepa, by way of the switch; passthru, there is one only.",
        flags=Flag.DESIGN,
    )

    def kind(self, context: Context) -> str:
        """Return the kind with its options."""
        del context
        return f"macvlan mode {self.mode}"
