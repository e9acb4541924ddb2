"""Where a resource acts: its host, and the emulated host on it; who ends what it leaves there."""

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


def is_left_to_host(resources: Mapping[int, Resource], guid: int, where: Acting) -> bool:
    """Return whether the release of its host does all that its own would, once it has ended.

    What else it is connected to is released between the two, and may need that nothing of it runs.

    Args:
        resources: all resources by guid.
        guid: the resource.
        where: where it acts.
    """
    item = resources[guid]
    if where.host is None or where.host == guid or not item.cls.is_left_to_host(item.attrs):
        return False
    host = resources[where.host]
    if not host.cls.ends_all_first(host.attrs):
        return False
    return all(
        peer == where.host or (peer == where.inside and resources[peer].cls.covered)
        for peer in item.awaited()
    )
