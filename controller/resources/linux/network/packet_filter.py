"""What linux::Firewall and linux::Nat share: values, and an nft table of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ....errors import InvalidValue
from ....model import Change
from .values import Ipv4

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


class NftRules(tuple[str, ...]):
    """Rules of nft(8) without table and chain: a list, or lines of text."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> NftRules:
        """Return the rules, each on one line."""
        rules = value.splitlines() if isinstance(value, str) else value
        if not isinstance(rules, (list, tuple)) or not all(isinstance(it, str) for it in rules):
            raise InvalidValue("must be rules of nft, a line each, as: tcp dport 80 accept")
        stripped = [rule.strip() for rule in rules]
        if any(not rule.isprintable() for rule in stripped):
            raise InvalidValue("must be rules of nft, each on one line")
        return cls(rule for rule in stripped if rule and not rule.startswith("#"))

    def written(self) -> list[str]:
        """Return them as they are stored."""
        return list(self)


class Ports(str):
    """Ports: a number, ``80,443`` or ``8000-8080``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Ports:
        """Return the ports as text."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        parts = text.split(",") if isinstance(text, str) else [""]
        for part in parts:
            found = _PORT.fullmatch(part)
            if not found or not 0 < int(found[1]) <= int(found[2] or found[1]) < 1 << 16:
                raise InvalidValue("must be ports: a number, 80,443 or 8000-8080")
        return cls(text)

    @property
    def nft(self) -> str:
        """Their form in a rule."""
        return f"{{ {self.replace(',', ', ')} }}" if "," in self else str(self)


class Forward(NamedTuple):
    """A port of a host that leads to another machine.

    Attributes:
        protocol: ``tcp`` or ``udp``.
        port: of the host.
        address: of the other machine.
        target: the port there.
    """

    protocol: str
    port: int
    address: str
    target: int


class Forwards(tuple[Forward, ...]):
    """Ports of a host that lead elsewhere: ``8080:10.0.0.2:80``, ``udp:53:10.0.0.3:53``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Forwards:
        """Return the ports of a list, or of text with ``;`` or lines."""
        items = re.split(r"[;\n]", value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(it, str) for it in items):
            raise InvalidValue("must be a list of ports, as 8080:10.0.0.2:80")
        return cls(_forward(item.strip()) for item in items if item.strip())

    def written(self) -> list[str]:
        """Return them as they are stored."""
        return [":".join(map(str, forward)) for forward in self]


def _forward(text: str) -> Forward:
    found = re.fullmatch(r"(?:(tcp|udp):)?([0-9]{1,5}):([0-9.]+):([0-9]{1,5})", text, re.ASCII)
    if not found or not all(0 < int(found[at]) < 1 << 16 for at in (2, 4)):
        raise InvalidValue("must be a list of ports, as 8080:10.0.0.2:80 or udp:53:10.0.0.3:53")
    return Forward(found[1] or "tcp", int(found[2]), Ipv4.parse(found[3]), int(found[4]))


def table(family: str, name: str) -> Change:
    """Return the change that makes an nft table of a resource; its removal is what undoes all."""
    it = f"table {family} {name}"
    return Change(f"create {it}", f"delete {it}", tool="nft")


def chain(table_name: str, hook: str, kind: str, priority: int, policy: str = "accept") -> Change:
    """Return the change that adds a base chain, named after its hook, or changes its policy.

    Args:
        table_name: family and name.
        hook: as nft(8) names it.
        kind: ``filter`` or ``nat``.
        priority: of those of one hook the least comes first.
        policy: what becomes of packets that no rule decides on.
    """
    what = f"type {kind} hook {hook} priority {priority} ; policy {policy} ;"
    return Change(f"add chain {table_name} {hook} {{ {what} }}", tool="nft")


def rules(table_name: str, hook: str, lines: Iterator[str]) -> Iterator[Change]:
    """Yield the changes that add rules to a chain."""
    for line in lines:
        yield Change(f"add rule {table_name} {hook} {line}", tool="nft")
