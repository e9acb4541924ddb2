"""The base of configuration that refers to an interface."""

from __future__ import annotations

from collections.abc import Collection

from ....errors import HostError, InvalidValue
from ....model import Action, Attribute, Connection, Flag
from ..node import Node
from .any_interface import AnyInterface
from .configured import Configured
from .values import InterfaceName


class OnInterface(Configured):
    """Configuration of a node that refers to an interface, by name or by a connection."""

    device = Attribute(
        InterfaceName,
        help="Name of the interface, if it is not connected to a resource.",
        flags=Flag.DESIGN,
    )
    interface = Connection(AnyInterface, waits=True, help="The interface.")
    node = Connection(
        Node, waits=True, help="The machine or emulated host; that of the interface if not given."
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it is clear where it is, and on which interface."""
        del conditional
        if self.interface is None and self.node is None:
            raise InvalidValue("connect it to an interface or to a node", where=self.label)
        if self.interface is not None and self.device:
            raise InvalidValue(
                "it has device= and is connected to an interface: give one of them",
                where=self.label,
            )
        if (
            self.interface is not None
            and self.node is not None
            and self.interface.node.guid != self.node.guid
        ):
            raise InvalidValue(
                f"{self.interface.label} is on {self.interface.node.label}, "
                f"not on {self.node.label}",
                where=self.label,
            )

    @property
    def host(self) -> Node:
        """The machine or emulated host."""
        host = self.node or (self.interface.node if self.interface else None)
        if host is None:
            raise HostError("it is connected to no node", where=self.label)
        return host

    def device_name(self) -> str:
        """Return the name of the interface; empty if there is none."""
        if self.interface is None:
            return self.device or ""
        if not self.interface.deviceName:
            raise HostError(f"{self.interface.label} has no interface yet", where=self.label)
        return self.interface.deviceName
