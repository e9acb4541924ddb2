"""Network interfaces that are on a host, as ip(8) shows them, and the choice of one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ....errors import AnswerError, HostError
from ....model import ROUTE_PROTOCOL, Context

#: How the aliases of interfaces begin that nepiq has made or moved (:func:`link_alias`).
OURS = "nepiq:"

#: Kinds of interfaces that lead elsewhere; one without a kind is hardware.
_DATA_KINDS = ("", "veth", "macvlan", "ipvlan", "vlan", "bond", "team", "netdevsim")

#: Protocols of routes that come back without us (rtnetlink(7)).
_BY_THEMSELVES = ("kernel", "ra", "redirect")
#: What ip-route(8) shows of a route, but does not read.
_STATES = re.compile(r" (linkdown|dead|offload|rt_offload|trap|expires \S+)(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class IpAddress:
    """An address of an interface.

    Attributes:
        ip: the address.
        prefix: the length of its prefix.
        lasting: True if somebody configured it; False if it comes and goes with its link.
    """

    ip: str
    prefix: int
    lasting: bool

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.ip else 4


@dataclass(frozen=True)
class Found:
    """An interface of a host.

    Attributes:
        name: its name.
        altnames: its other names (ip-link(8)).
        alias: a text that somebody gave it.
        index: its number; those that came later have greater ones.
        flags: such as ``UP`` and ``LOOPBACK``.
        state: whether frames can pass: ``UP``, ``DOWN``, or ``UNKNOWN`` if the driver does not say.
        kind: as ip-link(8) names it; empty for hardware.
        master: the bridge or bond that it belongs to; empty for none.
        mac: its MAC address; empty if it has none.
        mtu: its MTU in bytes.
        addresses: its addresses.
    """

    name: str
    altnames: Sequence[str]
    alias: str
    index: int
    flags: Sequence[str]
    state: str
    kind: str
    master: str
    mac: str
    mtu: int
    addresses: Sequence[IpAddress]

    @property
    def up(self) -> bool:
        """True if it is switched on, whether or not frames pass."""
        return "UP" in self.flags

    def address(self, version: int) -> IpAddress | None:
        """Return its first address of IPv4 or IPv6, a global one if there is one."""
        fitting = [it for it in self.addresses if it.version == version]
        return min(fitting, key=lambda it: it.ip.startswith("fe80"), default=None)

    def has(self, ip: str) -> bool:
        """Return whether it has an address."""
        return any(it.ip == ip for it in self.addresses)

    def prefix_of(self, ip: str) -> int:
        """Return the length of the prefix of an address that it has."""
        return next(it.prefix for it in self.addresses if it.ip == ip)

    @classmethod
    def read(cls, shown: Any) -> Found:
        """Read one interface of ``ip -j -d address``."""
        info = shown.get("linkinfo") or {}
        return cls(
            name=str(shown["ifname"]),
            altnames=[str(name) for name in shown.get("altnames") or ()],
            alias=str(shown.get("ifalias") or ""),
            index=int(shown["ifindex"]),
            flags=[str(flag) for flag in shown["flags"]],
            state=str(shown.get("operstate") or "UNKNOWN"),
            kind=str(info.get("info_kind") or ""),
            master=str(shown.get("master") or ""),
            mac=str(shown.get("address") or "") if shown.get("link_type") == "ether" else "",
            mtu=int(shown["mtu"]),
            addresses=[
                IpAddress(
                    str(it["local"]),
                    int(it["prefixlen"]),
                    it.get("scope") != "link" and not it.get("dynamic"),
                )
                for it in shown.get("addr_info") or ()
                if "local" in it
            ],
        )


@dataclass(frozen=True)
class Network:
    """What a host has, as far as the choice of an interface depends on it.

    Attributes:
        hostname: its name.
        interfaces: all of them.
        busy: names of those that carry the default route or our connection to the host.
    """

    hostname: str
    interfaces: Sequence[Found]
    busy: frozenset[str]

    def named(self, name: str) -> Found:
        """Return the interface of a name.

        Raises:
            HostError: there is none.
        """
        for it in self.interfaces:
            if name == it.name or name in it.altnames:
                return it
        raise self._none(f"{self.hostname} has no interface {name}")

    def with_mac(self, mac: str) -> Found:
        """Return the interface that has a MAC address.

        Raises:
            HostError: there is none.
        """
        for it in self.interfaces:
            if it.mac == mac:
                return it
        raise self._none(f"no interface of {self.hostname} has the MAC address {mac}")

    def with_ip(self, ip: str) -> Found | None:
        """Return the interface that has an IP address, if there is one."""
        return next((it for it in self.interfaces if it.has(ip)), None)

    def data_interface(self) -> Found:
        """Return the interface that experiments use if they do not name one.

        It is up, and is no loopback and no part of a bridge. It is hardware, or has an address.
        Preferred are, in this order: one that carries neither the default route nor our
        connection, one with an address, hardware, and the one that was there first.

        Raises:
            HostError: there is none.
        """
        usable = [
            it
            for it in self.interfaces
            if it.up
            and it.state in ("UP", "UNKNOWN")
            and "LOOPBACK" not in it.flags
            and it.kind in _DATA_KINDS
            and (not it.kind or it.address(4))
            and not it.master
            and not it.alias.startswith(OURS)
        ]
        if not usable:
            raise self._none(f"no interface of {self.hostname} is up but the loopback")
        return min(
            usable,
            key=lambda it: (it.name in self.busy, not it.address(4), bool(it.kind), it.index),
        )

    def _none(self, message: str) -> HostError:
        names = ", ".join(it.name for it in self.interfaces[:20])
        return HostError(message, hint=f"it has {names}; name one by deviceName")


def look(context: Context, *, machine: bool = False) -> Network:
    """Return the network of the host on which a hook acts.

    Args:
        context: of the hook.
        machine: look at the machine, where the hook acts in an emulated host.

    Raises:
        HostError: it has no ip(8), or one without JSON.
    """
    reached, *shown = _json_lines(
        context,
        """printf '"%s"\\n' "${SSH_CONNECTION-}\"""",
        "ip -j -d address show",
        "ip -j route show default",
        "ip -j -6 route show default",
        machine=machine,
    )
    try:
        interfaces = [Found.read(it) for it in shown[0]]
        busy = {str(it["dev"]) for routes in shown[1:] for it in routes if "dev" in it}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(f"ip shows interfaces in a form that is not known: {error!r}") from None
    ends = str(reached).split()  # addresses and ports of the client and the server
    if len(ends) == 4:
        busy |= {it.name for it in interfaces if it.has(ends[2])}
    return Network(context.host.facts.hostname, interfaces, frozenset(busy))


def look_at(context: Context, name: str) -> Found:
    """Return an interface of the host on which a hook acts, as it is now."""
    shown = _json_lines(context, "echo '\"\"'", f"ip -j -d address show dev {quote(name)}")
    return Found.read(shown[1][0])


def routes_of(
    context: Context, name: str, *, machine: bool = False, ours: bool = False
) -> list[str]:
    """Return the routes by an interface, as ip-route(8) reads them, without those of the kernel.

    Args:
        context: of a hook.
        name: the interface.
        machine: see :func:`look`.
        ours: with the routes of nepiq's resources, which these undo themselves.
    """
    show = f"route show table all dev {quote(name)}"
    commands = [f"ip {family} {show}" for family in ("-4", "-6")]
    text = _STATES.sub("", _run(context, "; ".join(commands), machine=machine))
    left = _BY_THEMSELVES if ours else (*_BY_THEMSELVES, str(ROUTE_PROTOCOL))
    lines = [line.strip() for line in text.splitlines()]
    return [
        line for line in lines if line and not any(f" proto {it} " in f"{line} " for it in left)
    ]


def _json_lines(context: Context, *commands: str, machine: bool = False) -> list[Any]:
    text = _run(context, "; echo; ".join(commands) + "; echo", machine=machine)
    found: list[Any] = []
    decoder, text = json.JSONDecoder(), text.strip()
    try:
        while text:
            item, end = decoder.raw_decode(text)
            found.append(item)
            text = text[end:].lstrip()
    except ValueError:
        found = []
    # Of nothing, some versions show nothing.
    if len(found) < 2 or not found[1]:
        raise HostError(
            f"ip of {context.host.facts.hostname} cannot show interfaces as JSON",
            hint="install the package iproute2, 4.13 or newer, on that host",
        )
    return found


def _run(context: Context, commands: str, *, machine: bool) -> str:
    script = f"PATH=$PATH:/usr/sbin:/sbin; {commands}"
    if machine:
        script = f"nsenter -t 1 -n sh -c {quote(script)}"
    result = context.host.run(script, mutates=False, check=False, sudo=machine)
    if machine and result.code and b"/proc/1/ns/net" in result.stderr:
        reason = result.stderr.decode("utf-8", "replace").strip()
        raise HostError(
            f"the network of the machine {context.host.facts.hostname} cannot be entered: {reason}",
            hint="connect the node to the machine itself; in a container, root has to be allowed "
            "to look at its first process (--cap-add SYS_PTRACE)",
        )
    return result.text
