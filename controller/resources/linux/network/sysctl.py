"""linux::Sysctl: a setting of the kernel of a host."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from ....errors import InvalidValue
from ....model import Action, Attribute, Change, Connection, Context, Flag
from ..node import Node
from .configured import Configured


class Key(str):
    """The name of a setting, as sysctl(8) reads it."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Key:
        """Return the name."""
        text = value if isinstance(value, str) else ""
        if not re.fullmatch(r"\w+([./][\w:-]+)+", text, re.ASCII):
            raise InvalidValue("must be the name of a setting, as net.ipv4.ip_forward")
        return cls(text)


class Setting(str):
    """The value of a setting: numbers or words on one line."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Setting:
        """Return the value as text."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise InvalidValue("must be a number or text on one line")
        return cls(text)


class Sysctl(Configured, rtype="linux::Sysctl"):
    """A setting of the kernel of a machine, or of the network of an emulated host.

    A release restores what the value was, unless another resource, run or user of nepiq on that
    machine has set it too: then the latest of their values counts, until the last one is released.
    After sysctl(8).
    """

    key = Attribute(Key, help="Its name, as net.ipv4.ip_forward.", flags=Flag.DESIGN, required=True)
    value = Attribute(Setting, help="Its value.", required=True)
    node = Connection(Node, required=True, help="The machine or emulated host.")

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that an emulated host has such a setting of its own."""
        del conditional
        if self.node.emulates and not re.match(r"net[./]", self.key):
            raise InvalidValue(
                f"{self.key} is a setting of the whole machine",
                where=self.label,
                hint="connect it to the machine; emulated hosts have settings net.* of their own",
            )

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the setting."""
        del context
        return [Change(f"{self.key}={self.value}", tool="sysctl")]

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Set another value."""
        if name == "value":
            change = Change(f"{self.key}={Setting.parse(value)}", tool="sysctl")
            context.host.configure([change], anew=False)
