"""Where a resource acts: its host, and the emulated host on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .resource import Resource


class Acting(NamedTuple):
    """Where the hooks of a resource act.

    Attributes:
        host: guid of the host, a host's own for itself; None if there is none.
        inside: guid of the emulated host on that host in which they act, or None.
    """

    host: int | None
    inside: int | None = None


def acting(resources: Mapping[int, Resource], guid: int) -> Acting:
    """Return where a resource acts: on the nearest host along connections that wait.

    It acts in the first emulated host on the way there. An emulated host itself acts on the host.
    """
    front, seen, inside = [guid], {guid}, None
    for here in front:
        item = resources[here]
        if item.cls.provides_host:
            return Acting(here, inside)
        if item.cls.emulates and here != guid and inside is None:
            inside = here
        for peer in item.awaited():
            if peer not in seen:
                seen.add(peer)
                front.append(peer)
    return Acting(None)
