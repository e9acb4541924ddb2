"""Changes of an interface that nepiq did not make, undone to what it was.

The first change gives it a second name that only this resource has (ip-link(8), altname), by which
the others are undone, and which tells other runs that it is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....errors import HostError
from ....model import Change
from .found import OURS, Found

#: IPv6 needs links of at least this MTU (RFC 8200, 5); the kernel gives it up below.
_LEAST_OF_IPV6 = 1280
_OUR_NAME = re.compile(r"nq[0-9a-z]{7,13}", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """What an interface shall have; None leaves it as it is.

    Attributes:
        mac: its MAC address.
        mtu: its MTU in bytes.
        up: whether it is up.
        addresses: addresses with the length of their prefix, which are added.
    """

    mac: str | None = None
    mtu: int | None = None
    up: bool | None = None
    addresses: Sequence[str] = ()

    def differs(self, found: Found) -> bool:
        """Return whether anything has to be changed."""
        return bool(
            (self.mac is not None and self.mac != found.mac)
            or (self.mtu is not None and self.mtu != found.mtu)
            or (self.up is not None and self.up != found.up)
            or self.added(found)
        )

    def added(self, found: Found) -> list[str]:
        """Return the addresses that the interface lacks."""
        return [text for text in self.addresses if not found.has(text.partition("/")[0])]

    def takes_routes(self, found: Found) -> bool:
        """Return whether addresses and routes go with a change."""
        lowered = self.mtu is not None and self.mtu < _LEAST_OF_IPV6 <= found.mtu
        return found.up and (self.up is False or lowered)


def _refuse_others(found: Found, mark: str, alias: str) -> None:
    """Raise an error if another resource uses an interface.

    Raises:
        HostError: it does.
    """
    others = [it for it in found.altnames if _OUR_NAME.fullmatch(it) and it != mark]
    if others or (found.alias.startswith(OURS) and found.alias != alias):
        raise HostError(
            f"{found.name} is used by another resource or run: {found.alias or others[0]}",
            hint="wait until that is released, or choose another interface",
        )


def altered(
    found: Found, mark: str, alias: str, wanted: Wanted, routes: Sequence[str]
) -> list[Change]:
    """Return the changes that make an interface as it is wanted.

    Args:
        found: the interface.
        mark: the name that only this resource has; that of the interface if it was moved.
        alias: that of the resource (:func:`~nepiq.controller.model.link_alias`).
        wanted: how it shall be.
        routes: those by it, if ``wanted`` takes them from it.

    Raises:
        HostError: another resource uses it.
    """
    if not wanted.differs(found):
        return []
    _refuse_others(found, mark, alias)
    changes = []
    if mark not in (found.name, *found.altnames):
        add = f"link property add dev {found.name} altname {mark}"
        changes.append(Change(add, f"link property del dev {mark} altname {mark}"))
    if wanted.takes_routes(found):
        changes += _restored(found, mark, routes, 6 if wanted.up is not False else 0)
    if wanted.mac is not None and wanted.mac != found.mac:
        changes.append(
            Change(f"link set {mark} address {wanted.mac}", f"link set {mark} address {found.mac}")
        )
    if wanted.mtu is not None and wanted.mtu != found.mtu:
        changes.append(
            Change(f"link set {mark} mtu {wanted.mtu}", f"link set {mark} mtu {found.mtu}")
        )
    if wanted.up is False and found.up:
        changes.append(Change(f"link set {mark} down", f"link set {mark} up"))
    for text in wanted.added(found):
        changes += added_address(text, found.name, shared=mark != found.name)
    if wanted.up and not found.up:
        changes.append(Change(f"link set {mark} up", f"link set {mark} down"))
    return changes


def moved(
    found: Found, alias: str, namespace: str, name: str, routes: Sequence[str]
) -> list[Change]:
    """Return the changes that move an interface of the machine into an emulated host.

    They are undone before the namespace is removed: the interface goes home, and gets back its
    name, its addresses, its routes and its state. An alias says whose it is meanwhile.

    Args:
        found: the interface, on the machine.
        alias: that of the resource (:func:`~nepiq.controller.model.link_alias`).
        namespace: the network namespace of the emulated host.
        name: its name there.
        routes: those by it on the machine.

    Raises:
        HostError: another resource uses it.
    """
    _refuse_others(found, "", alias)
    home, former = found.name, found.alias.replace('"', "")
    changes = [
        Change(f"link set {home} alias {alias}", f'link set {home} alias "{former}"', netns=""),
        *_restored(found, home, routes, 0, netns=""),
        Change("", f"link set {home} mtu {found.mtu}", netns=""),
    ]
    if found.mac:
        changes.append(Change("", f"link set {home} address {found.mac}", netns=""))
    if found.up:
        changes.append(Change("", f"link set {home} up", netns=""))
    return [
        *changes,
        Change("", f"link set {name} netns 1 name {home}", netns=namespace),
        Change(f"link set {home} netns {namespace} name {name}", netns=""),
    ]


def added_address(text: str, device: str, *, shared: bool) -> list[Change]:
    """Return the changes that add an address with its prefix to an interface.

    Args:
        text: both, as ``10.0.0.1/24``.
        device: the interface.
        shared: others may have addresses there. Those of the same network go with the first of them
            (ip-sysctl of the kernel, promote_secondaries), unless they are told to stay.
    """
    remove = f"address del {text} dev {device}"
    if ":" in text:
        return [Change(f"address add {text} dev {device} nodad", remove)]
    if not shared:
        return [Change(f"address add {text} dev {device}", remove)]
    undo = (
        f"key=/proc/sys/net/ipv4/conf/{device}/promote_secondaries; [ -e $key ] || exit 0; "
        f"read -r former <$key; echo 1 >$key; said=$(ip {remove} 2>&1); echo $former >$key; "
        "case $said in '' | *'Cannot assign'*) ;; *) echo \"$said\"; exit 1 ;; esac"
    )
    return [Change(f"address add {text} dev {device}"), Change("", undo, tool="sh")]


def restoring(found: Found, name: str, routes: Sequence[str], version: int = 0) -> list[str]:
    """Return the commands of ip(8) that restore what goes when an interface goes down.

    Args:
        found: the interface, as it was.
        name: by which it is restored.
        routes: those by it.
        version: 6 for addresses and routes of IPv6 only; 0 for all.
    """
    addresses = [
        f"address replace {it.ip}/{it.prefix} dev {name}{' nodad' if it.version == 6 else ''}"
        for it in found.addresses
        if it.lasting and version in (0, it.version)
    ]
    return addresses + [
        f"route replace {route} dev {name}" for route in routes if not version or ":" in route
    ]


def _restored(
    found: Found, name: str, routes: Sequence[str], version: int, netns: str | None = None
) -> Iterator[Change]:
    """Yield what only undoes: the same, which is carried out in reverse."""
    for line in reversed(restoring(found, name, routes, version)):
        yield Change("", line, netns=netns)
