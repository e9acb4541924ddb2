"""The ends of a link, as interfaces in network namespaces."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable


class LinkEnd(NamedTuple):
    """An interface on a host.

    Attributes:
        device: its name.
        netns: the name of its network namespace; empty for that of the host itself.
    """

    device: str
    netns: str = ""

    @property
    def where(self) -> str:
        """Options of ip(8) and tc(8) for its network namespace, with a blank before them."""
        return f" -n {self.netns}" if self.netns else ""


@runtime_checkable
class Linked(Protocol):
    """A resource that has ends of links: an interface has one, a link two."""

    def link_ends(self) -> list[LinkEnd]:
        """Return them; their names are known once it is deployed."""
