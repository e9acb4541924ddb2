"""The host of a resource that is connected to none."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from ...controller.errors import NoHostError
from ...controller.model.host import Host


class _Absent:
    """Refuses whatever a hook asks of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise NoHostError(
        f"the resource is connected to no host, so host.{name} cannot be used",
        hint="connect it to a node, and declare that connection in its class",
    )


NO_HOST: Host = cast(Host, _Absent())
"""Raises NoHostError for every use."""
