"""netns::Route and netns::Routes: static routes of an emulated host."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from ...errors import InvalidValue
from ...model import Action, Attribute, Change, Connection, Context, Flag
from ...model.configuration import ROUTE_PROTOCOL
from ..linux.network.configured import Configured
from ..linux.network.values import InterfaceName, Ip, Network
from .addresses import IPv4Address, IPv6Address
from .interface import NodeInterface
from .link import Link
from .node import Node
from .remote_link import RemoteLink

#: Protocol of the routes of netns::Routes, by which one line removes them all.
_TABLE_PROTOCOL = ROUTE_PROTOCOL + 1


class _Routing(Configured):
    """Routes of an emulated host, made when all its interfaces are there."""

    node = Connection(Node, required=True, help="The emulated host.")
    links = Connection(
        Link, many=True, waits=True, beside="node", help="Its links; connected by the deployment."
    )
    interfaces = Connection(
        NodeInterface, many=True, waits=True, beside="node", help="Its interfaces, likewise."
    )
    remotes = Connection(
        RemoteLink, many=True, waits=True, beside="node", help="Its links to other machines."
    )
    addresses = Connection(
        IPv4Address, many=True, waits=True, beside="interfaces", help="Their addresses, likewise."
    )
    addresses6 = Connection(
        IPv6Address, many=True, waits=True, beside="interfaces", help="Their IPv6 addresses."
    )


class Route(_Routing, rtype="netns::Route", aliases=("netns::IPv4Route", "netns::IPv6Route")):
    """A route of an emulated host. After ip-route(8)."""

    network = Attribute(
        Ip, help="Address of the network; all addresses by default.", flags=Flag.DESIGN
    )
    prefix = Attribute(
        int,
        help="Length of its prefix; that of one address by default.",
        range=(0, 128),
        flags=Flag.DESIGN,
    )
    nexthop = Attribute(Ip, help="Address of the next router.", flags=Flag.DESIGN)
    device = Attribute(InterfaceName, help="The interface that it leads over.", flags=Flag.DESIGN)
    metric = Attribute(
        int, help="Routes with a lower one are preferred.", range=(0, 2**32 - 1), flags=Flag.DESIGN
    )

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it leads somewhere."""
        del conditional
        if not (self.nexthop or self.device):
            raise InvalidValue("set nexthop or device", where=self.label)
        if self.network and self.prefix is not None:
            try:
                Network.parse(f"{self.network}/{self.prefix}")
            except InvalidValue as error:
                raise InvalidValue(
                    f"{self.network}/{self.prefix} {error.message}", where=self.label
                ) from None

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the route."""
        del context
        network = f"{self.network}/{self.prefix}" if self.prefix is not None else self.network
        words = [
            network or ("::/0" if self.nexthop and self.nexthop.version == 6 else "default"),
            f"via {self.nexthop}" if self.nexthop else "",
            f"dev {self.device}" if self.device else "",
            f"metric {self.metric}" if self.metric is not None else "",
            f"proto {ROUTE_PROTOCOL}",
        ]
        route = " ".join(word for word in words if word)
        return [Change(f"route add {route}", f"route del {route}")]


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


class Routes(_Routing, rtype="netns::Routes"):
    """The table of static routes of an emulated host, made and removed together."""

    routes = Attribute(
        RouteLines,
        required=True,
        help="The routes, as 10.0.0.0/24 via 10.1.0.2, one on each line.",
        flags=Flag.DESIGN,
    )

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return the routes; one line undoes all of IPv4."""
        del context
        changes, flush = [], f"route flush root 0/0 proto {_TABLE_PROTOCOL}"
        for route in self.routes:
            words = f"{route} proto {_TABLE_PROTOCOL}"
            if ":" in route:
                changes.append(Change(f"route add {words}", f"route del {words}"))
            else:
                changes.append(Change(f"route add {words}", flush))
                flush = ""
        return changes
