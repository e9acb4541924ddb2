"""The base of types that make a network interface."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ....errors import HostError
from ....model import Attribute, Change, Connection, Context, Flag, device_name, link_alias
from ..node import Node
from .configured import Configured
from .ends import LinkEnd
from .values import InterfaceName, Ipv4, Ipv6, Mac


class Device(Configured):
    """A network interface that the resource makes on its node, which may be an emulated host.

    A subclass returns how it is made. On a machine it gets a name that no other run has, unless
    ``deviceName`` is given; a name that is taken is refused, and the interface that has it is left
    alone. Its alias (ip-link(8)) says to which run and resource it belongs.
    """

    deviceName = Attribute(
        InterfaceName,
        help="Its name; one that no other run has by default. After the deployment: its name.",
        flags=Flag.DESIGN,
    )
    ip = Attribute(Ipv4, help="Its IPv4 address.", flags=Flag.DESIGN)
    prefix = Attribute(
        int, 24, help="Length of the prefix of ip.", range=(0, 32), flags=Flag.DESIGN
    )
    ip6 = Attribute(Ipv6, help="Its IPv6 address.", flags=Flag.DESIGN)
    prefix6 = Attribute(
        int, 64, help="Length of the prefix of ip6.", range=(0, 128), flags=Flag.DESIGN
    )
    mac = Attribute(
        Mac, help="Its MAC address; after the deployment: the one it has.", flags=Flag.DESIGN
    )
    mtu = Attribute(
        int, help="Largest packet in bytes; after the deployment: as it is.", range=(68, 65535)
    )
    up = Attribute(bool, True, help="Whether it is up.")
    node = Connection(Node, required=True, help="The machine or emulated host that has it.")

    @property
    def _device(self) -> str:
        """The name by which this resource refers to its interface, also once it is renamed."""
        given = self.deviceName if self._is_named else None
        return given or device_name(self.run_id, self.guid)

    @property
    def _is_named(self) -> bool:
        """True if it gets its name at once, since no other run can have the name."""
        return bool(self.node.emulates and self.deviceName)

    def kind(self, context: Context) -> str:
        """Return the kind and its options, as ip-link(8) reads them behind ``type``.

        Raises:
            HostError: the host lacks what it needs.
        """
        raise NotImplementedError

    def creation(self, context: Context) -> Sequence[Change]:
        """Return the changes that make the interface under the name of ``_device``."""
        name = self._device
        return [Change(f"link add {name} type {self.kind(context)}", f"link del {name}")]

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the interface, its name, addresses and state."""
        return [*self.creation(context), *self._marked(), *self._settings()]

    def _marked(self) -> Iterator[Change]:
        """Yield its alias, and the name that the user gave it.

        It keeps the name that only this run has as an alternative one, by which it is removed.
        """
        name = self._device
        if not self.node.emulates:
            yield Change(f"link set {name} alias {link_alias(self.run_id, self.guid)}")
        if self.deviceName and not self._is_named:
            yield Change(f"link set {name} name {self.deviceName}")
            yield Change(f"link property add dev {self.deviceName} altname {name}")

    def _settings(self) -> Iterator[Change]:
        name = self.deviceName or self._device
        if self.mac:
            yield Change(f"link set {name} address {self.mac}")
        if self.mtu:
            yield Change(f"link set {name} mtu {self.mtu}")
        if self.ip:
            yield Change(f"address add {self.ip}/{self.prefix} dev {name}")
        if self.ip6:
            yield Change(f"address add {self.ip6}/{self.prefix6} dev {name} nodad")
        if self.up:
            yield Change(f"link set {name} up")

    def report(self) -> str:
        """Return the command that shows it."""
        return f"ip -j link show dev {self.deviceName or self._device}"

    def made(self, report: str) -> None:
        """Take over name, MAC address and MTU."""
        try:
            (shown,) = json.loads(report)
            name, mtu, mac = shown["ifname"], shown["mtu"], shown.get("address")
        except (ValueError, LookupError, TypeError):
            raise HostError(
                f"ip shows {report[:80]!r} of the interface",
                hint="install an iproute2 with ip -j (4.13 or newer) on that host",
            ) from None
        self.deviceName, self.mtu = InterfaceName(name), mtu
        if mac:
            self.mac = Mac(mac)

    def link_ends(self) -> list[LinkEnd]:
        """Return this interface."""
        netns = self.node.network_namespace() if self.node.emulates else ""
        return [LinkEnd(self.deviceName or self._device, netns)]

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change ``up`` and ``mtu`` of the interface."""
        device = self.deviceName or self._device
        texts = {"up": "up" if value else "down", "mtu": f"mtu {value}"}
        if name in texts:
            context.host.configure([Change(f"link set {device} {texts[name]}")], anew=False)
