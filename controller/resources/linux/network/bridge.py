"""linux::Bridge: an Ethernet switch in the kernel of a host."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Connection, Context, Flag
from .any_interface import AnyInterface
from .device import Device


class Bridge(Device, rtype="linux::Bridge"):
    """An Ethernet switch in the kernel: frames are forwarded between its ports.

    After ip-link(8), "BRIDGE Type Support".
    """

    stp = Attribute(
        bool, False, help="Whether it speaks the spanning tree protocol.", flags=Flag.DESIGN
    )
    ports = Connection(AnyInterface, many=True, waits=True, help="Interfaces of the same node.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that its ports are on its node."""
        del conditional
        for port in self.ports:
            if port.node.guid != self.node.guid:
                raise InvalidValue(
                    f"its port {port.label} is on {port.node.label}, not on {self.node.label}",
                    where=self.label,
                )

    def kind(self, context: Context) -> str:
        """Return the kind with its options."""
        del context
        return f"bridge stp_state {int(self.stp)}"

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the bridge with its ports, which its removal sets free."""
        return [
            *super().creation(context),
            *(Change(f"link set {port.deviceName} master {self._device}") for port in self.ports),
        ]
