"""The hosts that resources act on: for each the nearest one along connections that wait."""

from __future__ import annotations

from collections.abc import Callable

from .resource import Resource


class NearestHosts:
    """The hosts of the resources of a description, each looked for once.

    Args:
        resource: returns the resource with a guid.
    """

    def __init__(self, resource: Callable[[int], Resource]) -> None:
        self._resource = resource
        self._found: dict[int, int | None] = {}

    def forget(self) -> None:
        """Look for all of them again, since connections have changed."""
        self._found.clear()

    def of(self, guid: int) -> int | None:
        """Return the host of a resource: itself for a host, None if there is none."""
        if guid not in self._found:
            self._found[guid] = self._search(guid)
        return self._found[guid]

    def _search(self, guid: int) -> int | None:
        front, seen = [guid], {guid}
        for here in front:
            item = self._resource(here)
            if item.cls.provides_host:
                return here
            for peer in item.awaited():
                if peer not in seen:
                    seen.add(peer)
                    front.append(peer)
        return None
