"""linux::Interface: a network interface that a host has."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ....errors import AnswerError, HostError, InvalidValue
from ....model import (
    Action,
    Attribute,
    Connection,
    Context,
    Flag,
    device_name,
    link_alias,
)
from .altered import Wanted, altered, moved, restoring
from .any_interface import AnyInterface
from .channel import Channel
from .found import Found, Network, look, routes_of
from .values import InterfaceName, Ipv4, Ipv6, Mac, PrefixLength


class _Given(Attribute[bool]):
    """A truth value of which False is another thing than none."""

    __slots__ = ()
    keeps_default = True


class Interface(AnyInterface, rtype="linux::Interface", aliases=("LinuxInterface",)):
    """A network interface that a machine has already, such as a card.

    It is the one that ``deviceName``, ``mac``, ``ip4`` or ``ip6`` names, the first of these that is
    given; else the first that is up and carries neither the default route nor the connection by
    which the machine is reached, if there is another one, and is no loopback. All attributes are
    reported after the deployment.

    Attributes that are given are set on the interface, and what they were before comes back at the
    release. Two resources cannot change the same interface.
    """

    ip4 = Attribute(Ipv4, help="Its IPv4 address; added if it has another.", flags=Flag.DESIGN)
    mask4 = Attribute(
        PrefixLength,
        help="The mask of ip4, as 255.255.255.0, or the length of its prefix; 24 for a new one.",
        range=(0, 32),
        flags=Flag.DESIGN,
    )
    ip6 = Attribute(Ipv6, help="Its IPv6 address; added if it has another.", flags=Flag.DESIGN)
    mask6 = Attribute(
        PrefixLength,
        help="The length of the prefix of ip6; 64 for a new one.",
        range=(0, 128),
        flags=Flag.DESIGN,
    )
    up = _Given(bool, help="Whether it is up; left as it is if not given.")
    fromMachine = Attribute(
        bool,
        False,
        help="Of an emulated host: it is one of the machine, which gets it back at the release.",
        flags=Flag.DESIGN,
    )
    former = Attribute(
        str,
        help="The addresses that it had before the deployment.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )
    channel = Connection(Channel, help="The network that it belongs to.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that an interface to be moved is named, and has an emulated host to go to."""
        del conditional
        if not self.fromMachine:
            return
        if not self.node.emulates:
            raise InvalidValue(
                "fromMachine is for interfaces of emulated hosts: connect it to one",
                where=self.label,
            )
        if not (self.deviceName or self.mac):
            raise InvalidValue(
                "give it deviceName= or mac= of the machine's interface", where=self.label
            )

    @property
    def _mark(self) -> str:
        return device_name(self.run_id, self.guid)

    def do_deploy(self, context: Context) -> None:
        """Find it, and set what is given."""
        # What an earlier attempt has changed must not be taken for how it was.
        if context.attempt > 1:
            context.host.unconfigure()
        if self.fromMachine:
            self._move(context)
        network = look(context)
        found = self._find(network)
        self.former = " ".join(it.ip for it in found.addresses)
        wanted = Wanted(
            mac=self.given("mac"),
            mtu=self.given("mtu"),
            up=self.given("up"),
            addresses=self._addresses(),
        )
        self._report(self._alter(context, network, found, wanted))

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change ``up`` and ``mtu`` of the interface."""
        if name in ("up", "mtu") and self.deviceName:
            network = look(context)
            found = network.named(self.deviceName)
            wanted = Wanted(up=value) if name == "up" else Wanted(mtu=value)
            self._alter(context, network, found, wanted, anew=False)

    def _move(self, context: Context) -> None:
        """Move it from the machine into the emulated host."""
        machine = look(context, machine=True)
        name, mac = self.deviceName, self.mac or ""
        found = machine.named(name) if name else machine.with_mac(mac)
        _refuse_our_own(machine, found, "moved")
        routes = routes_of(context, found.name, machine=True)
        alias, inside = link_alias(self.run_id, self.guid), self.node.network_namespace()
        context.host.configure(moved(found, alias, inside, found.name, routes))
        self.fill(deviceName=InterfaceName(found.name))

    def _find(self, network: Network) -> Found:
        if self.deviceName:
            return network.named(self.deviceName)
        if self.mac:
            return network.with_mac(self.mac)
        for ip in (self.ip4, self.ip6):
            found = network.with_ip(ip) if ip else None
            if found is not None:
                return found
        return network.data_interface()

    def _addresses(self) -> list[str]:
        given = self.given
        pairs = ((given("ip4"), given("mask4"), 24), (given("ip6"), given("mask6"), 64))
        return [f"{ip}/{usual if mask is None else mask}" for ip, mask, usual in pairs if ip]

    def _alter(
        self,
        context: Context,
        network: Network,
        found: Found,
        wanted: Wanted,
        *,
        anew: bool = True,
    ) -> Found:
        """Change the interface, and return it as it is then."""
        if wanted.up is False and found.up:
            _refuse_our_own(network, found, "set down")
        routes = routes_of(context, found.name) if wanted.takes_routes(found) else ()
        alias = link_alias(self.run_id, self.guid)
        former = [it for it in found.addresses if it.ip in self.former.split()]
        changes = altered(
            replace(found, addresses=former), self._own_mark(found), alias, wanted, routes
        )
        if wanted.up is False and found.up:
            self.lose(restoring(found, found.name, routes))
        elif wanted.up and not found.up:
            changes += self.regained()
        if not changes:
            return found
        shown = context.host.configure(
            changes,
            anew=anew and not self.fromMachine,
            report=f"ip -j -d address show dev {found.name}",
        )
        try:
            (after,) = json.loads(shown)
            return Found.read(after)
        except (LookupError, TypeError, ValueError) as error:
            raise AnswerError(f"ip shows {shown[:80]!r} of {found.name}: {error!r}") from None

    def _own_mark(self, found: Found) -> str:
        """The name by which it is changed; one that was moved here is only ours."""
        return found.name if self.fromMachine else self._mark

    def _report(self, found: Found) -> None:
        self.fill(deviceName=InterfaceName(found.name), mtu=found.mtu, up=found.up)
        if found.mac:
            self.fill(mac=Mac(found.mac))
        if (four := found.address(4)) is not None:
            ip = self.given("ip4") or four.ip
            self.fill(ip4=Ipv4(ip), mask4=PrefixLength(found.prefix_of(ip)).mask)
        if (six := found.address(6)) is not None:
            ip = self.given("ip6") or six.ip
            self.fill(ip6=Ipv6(ip), mask6=PrefixLength(found.prefix_of(ip)))


def _refuse_our_own(network: Network, found: Found, what: str) -> None:
    """Raise an error for the interface by which the machine is reached.

    Raises:
        HostError: it is that one.
    """
    if found.name in network.busy:
        raise HostError(
            f"{found.name} cannot be {what}: {network.hostname} is reached by it, or has its "
            "default route there",
            hint="choose another interface by deviceName",
        )
