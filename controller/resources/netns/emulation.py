"""linux::netns::Emulation: the emulated network of a machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidValue
from ...model import Attribute, Change, Connection, Context, Flag
from ..linux.network.configured import Configured
from ..linux.node import Node as LinuxNode


class HostLines(tuple[str, ...]):
    """Lines of hosts(5) without comments, ``10.0.0.1 alpha``: a list, or text of several lines."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> HostLines:
        """Return the lines, each an address and names."""
        lines = value.split("\n") if isinstance(value, str) else value
        if not isinstance(lines, (list, tuple)):
            raise InvalidValue("must be lines of hosts(5), as 10.0.0.1 alpha")
        return cls(_line(line) for line in lines if line != "")


def _line(line: object) -> str:
    address, *names = line.split() if isinstance(line, str) else [""]
    try:
        ipaddress.ip_address(address)
    except ValueError:
        names = []
    if not names:
        raise InvalidValue("must be lines of hosts(5), as 10.0.0.1 alpha")
    return " ".join([address, *names])


class Emulation(Configured, rtype="linux::netns::Emulation"):
    """The emulated network of a machine: what its emulated hosts have in common.

    Emulated hosts are connected to it instead of the machine, or to the machine itself.
    """

    encloses = True

    forward = Attribute(
        bool,
        True,
        help="Whether all hosts that are connected to it forward packets, as in NEPI.",
        flags=Flag.DESIGN,
    )
    hosts = Attribute(
        HostLines,
        "",
        help="Further lines of /etc/hosts in its hosts, as of those that are on other machines.",
        flags=Flag.DESIGN,
    )
    verbose = Attribute(bool, False, help="No effect, for NEPI's scripts.", flags=Flag.DESIGN)
    node = Connection(LinuxNode, required=True, help="The machine.")

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the further names."""
        del context
        return [Change(line, line, "hosts", "") for line in self.hosts]
