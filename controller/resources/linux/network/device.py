"""The base of types that make a network interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ....errors import HostError
from ....model import Attribute, Change, Context, Flag, device_name, link_alias
from .altered import restoring
from .any_interface import AnyInterface
from .found import look_at, routes_of
from .kernel import require_link_kind
from .values import InterfaceName, Ipv4, Ipv6, Mac, PrefixLength

_NEWER = "install an iproute2 with ip -j (4.13 or newer) on that host"


class Device(AnyInterface):
    """A network interface that the resource makes on its node, which may be an emulated host.

    A subclass returns how it is made. On a machine it gets a name that no other run has, unless
    ``deviceName`` is given; a name that is taken is refused, and the interface that has it is left
    alone. Its alias (ip-link(8)) says to which run and resource it belongs.
    """

    ip = Attribute(Ipv4, help="Its IPv4 address.", flags=Flag.DESIGN)
    prefix = Attribute(
        PrefixLength, 24, help="Length of the prefix of ip.", range=(0, 32), flags=Flag.DESIGN
    )
    ip6 = Attribute(Ipv6, help="Its IPv6 address.", flags=Flag.DESIGN)
    prefix6 = Attribute(
        PrefixLength, 64, help="Length of the prefix of ip6.", range=(0, 128), flags=Flag.DESIGN
    )
    up = Attribute(bool, True, help="Whether it is up.")

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
        """Return the changes that make the interface under the name of ``_device``.

        Raises:
            HostError: the kernel of the host has no links of the kind.
        """
        name, kind = self._device, self.kind(context)
        require_link_kind(context.host.facts, kind.partition(" ")[0])
        below = self.below()
        over = f" link {below}" if below else ""
        return [Change(f"link add{over} {name} type {kind}", f"link del {name}")]

    def below(self) -> str:
        """Return the name of the interface on top of which it is made; empty if on none."""
        return ""

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
            yield Change(f"address add {self._address()} dev {name}")
        if self.ip6:
            yield Change(f"address add {self.ip6}/{self.prefix6} dev {name} nodad")
        if self.up:
            yield Change(f"link set {name} up")

    def _address(self) -> str:
        """Return its IPv4 address as ip-address(8) reads it."""
        return f"{self.ip}/{self.prefix}"

    def report(self) -> str:
        """Return the command that shows it."""
        return f"ip -j link show dev {self.deviceName or self._device}"

    def made(self, report: str) -> None:
        """Take over name, MAC address and MTU.

        Raises:
            HostError: ip shows nothing, as in a plan, or in a form that is not known.
        """
        if not report:
            name = self.deviceName or self._device
            self.fill(deviceName=InterfaceName(name))  # for those that are connected to it
            raise HostError(
                f"ip shows nothing of {name}; its MAC address and MTU are reported", hint=_NEWER
            )
        try:
            (shown,) = json.loads(report)
            name, mtu, mac = shown["ifname"], shown["mtu"], shown.get("address")
        except (ValueError, LookupError, TypeError):
            raise HostError(
                f"ip shows {report[:80]!r} of the interface",
                hint=_NEWER,
            ) from None
        self.fill(deviceName=InterfaceName(name), mtu=mtu)
        if mac:
            self.fill(mac=Mac(mac))

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change ``up`` and ``mtu`` of the interface.

        Addresses and routes that go when it is set down are there again when it is set up.
        """
        device, changes = self.deviceName or self._device, []
        if name == "mtu":
            changes = [Change(f"link set {device} mtu {value}")]
        elif name == "up" and value:
            changes = [Change(f"link set {device} up"), *self.regained()]
        elif name == "up":
            found = look_at(context, device)
            if found.up:
                self.lose(restoring(found, device, routes_of(context, device, ours=True)))
            changes = [Change(f"link set {device} down")]
        if changes:
            context.host.configure(changes, anew=False)
