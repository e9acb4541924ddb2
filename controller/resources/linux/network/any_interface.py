"""The base of types that stand for a network interface."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ....model import Attribute, Change, Connection, Flag, device_name
from ..node import Node
from .configured import Configured
from .ends import LinkEnd
from .values import InterfaceName, Mac


class AnyInterface(Configured, rtype="linux::AnyInterface", abstract=True):
    """A network interface of a machine or of an emulated host.

    Types that act on an interface have a connection to ``linux::AnyInterface``, which accepts all
    that are derived from this class. When it is READY, its name is ``deviceName``.
    """

    deviceName = Attribute(
        InterfaceName,
        help="Its name; one that no other run has by default. After the deployment: its name.",
        flags=Flag.DESIGN,
    )
    mac = Attribute(
        Mac, help="Its MAC address; after the deployment: the one it has.", flags=Flag.DESIGN
    )
    mtu = Attribute(
        int, help="Largest packet in bytes; after the deployment: as it is.", range=(68, 65535)
    )
    node = Connection(Node, required=True, help="The machine or emulated host that has it.")
    filled = Attribute(
        str,
        help="The attributes that it has filled in itself.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )

    lost = Attribute(
        str,
        help="While it is down: commands that restore its addresses and routes, a line each.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )

    @classmethod
    def reported(cls, stored: Mapping[str, Any]) -> Collection[str]:
        """Return what it has reported, which is not part of a description."""
        return [*super().reported(stored), *str(stored.get("filled") or "").split()]

    def fill(self, **values: Any) -> None:
        """Assign attributes that may have been given, and note those that were not."""
        for name, value in values.items():
            if self.stored(name) is None:
                self.filled = f"{self.filled} {name}".strip()
            setattr(self, name, value)

    def given(self, name: str) -> Any:
        """Return the value of an attribute that users have given; None for any other."""
        filled = self.stored(name) is None or name in self.filled.split()
        return None if filled else getattr(self, name)

    def lose(self, commands: Iterable[str]) -> None:
        """Note the commands of ip(8) that restore what goes when it is set down."""
        self.lost = "\n".join(commands)

    def regained(self) -> list[Change]:
        """Return the changes that restore it when it is up again, as far as that is possible."""
        lines, self.lost = self.lost.splitlines(), ""
        return [Change(f"ip {line} || :", tool="sh") for line in lines]

    def link_ends(self) -> list[LinkEnd]:
        """Return this interface."""
        netns = self.node.network_namespace() if self.node.emulates else ""
        return [LinkEnd(self.deviceName or device_name(self.run_id, self.guid), netns)]
