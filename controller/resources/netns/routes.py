"""netns::Route and netns::Routes: static routes of an emulated host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidValue
from ...model import Attribute, Change, Connection, Context, Flag
from ..linux.network.address import Address
from ..linux.network.any_interface import AnyInterface
from ..linux.network.configured import Configured
from ..linux.network.route import Route as LinuxRoute
from ..linux.network.values import Ip, Network
from .link import PROTOCOLS, Link
from .node import Node

#: Protocol of the routes of netns::Routes, by which one line removes them all.
_TABLE_PROTOCOL = PROTOCOLS[1]


class Route(LinuxRoute, rtype="netns::Route", aliases=("netns::IPv4Route", "netns::IPv6Route")):
    """A route of an emulated host, made when all its interfaces are there.

    It is a linux::Route, which can be connected to an emulated host, too, but has to be connected
    to the interface that it needs.
    """

    links = Connection(
        Link, many=True, waits=True, beside="node", help="Its links; connected by the deployment."
    )
    interfaces = Connection(
        AnyInterface, many=True, waits=True, beside="node", help="Its interfaces, likewise."
    )
    further = Connection(
        Address, many=True, waits=True, beside="interfaces", help="Their addresses, likewise."
    )


class RouteLines(tuple[str, ...]):
    """Routes as ``10.0.0.0/24 via 10.1.0.2``: a list, or text with one on each line."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> RouteLines:
        """Return the routes, each a network and the address of the next router."""
        lines = value.split("\n") if isinstance(value, str) else value
        if not isinstance(lines, (list, tuple)):
            raise InvalidValue("must be routes, as 10.0.0.0/24 via 10.1.0.2")
        return cls(_route(line) for line in lines if line != "")


def _route(line: object) -> str:
    found = re.fullmatch(r"(\S+) via (\S+)", line) if isinstance(line, str) else None
    if found is None:
        raise InvalidValue("must be routes, as 10.0.0.0/24 via 10.1.0.2")
    return f"{Network.parse(found[1])} via {Ip.parse(found[2])}"


class Routes(Configured, rtype="netns::Routes"):
    """The table of static routes of an emulated host, made when all its interfaces are there."""

    routes = Attribute(
        RouteLines,
        required=True,
        help="The routes, as 10.0.0.0/24 via 10.1.0.2, one on each line.",
        flags=Flag.DESIGN,
    )
    unless = Attribute(
        str,
        "",
        help="A program, such as a routing daemon: where the machine has it, no routes are made.",
        flags=Flag.DESIGN,
    )

    node = Connection(Node, required=True, help="The emulated host.")
    links = Connection(
        Link, many=True, waits=True, beside="node", help="Its links; connected by the deployment."
    )
    interfaces = Connection(
        AnyInterface, many=True, waits=True, beside="node", help="Its interfaces, likewise."
    )
    further = Connection(
        Address, many=True, waits=True, beside="interfaces", help="Their addresses, likewise."
    )

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the routes; one line undoes all of an IP version."""
        if self.unless and not context.host.lacks(self.unless):
            return ()
        undo = {
            4: Change("", f"route flush root 0/0 proto {_TABLE_PROTOCOL}"),
            # A line of a batch cannot flush those of IPv6: it has no place for -6.
            6: Change("", f"ip -6 route flush proto {_TABLE_PROTOCOL}", tool="sh"),
        }
        changes: list[Change] = []
        for route in self.routes:
            version = 6 if ":" in route else 4
            if version in undo:
                changes.append(undo.pop(version))
            changes.append(Change(f"route add {route} proto {_TABLE_PROTOCOL}"))
        return changes
