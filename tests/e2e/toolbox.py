"""Tools of an experiment, and their figures."""

from __future__ import annotations

from typing import Any

from nepiq.controller import ExperimentController


def figures(ec: ExperimentController, tool: int | str) -> dict[str, Any]:
    """The figures that a tool has."""
    names = ec._description.resource(tool).cls.measured
    return {name: value for name in names if (value := ec.get(tool, name)) is not None}


def tool(
    ec: ExperimentController, kind: str, on: int | str, *peers: int | str, **settings: Any
) -> int:
    """Register a tool on a host, and connect it to peers."""
    made = ec.register_resource(f"linux::{kind}", connectedTo=on, **settings)
    for peer in peers:
        ec.register_connection(made, peer)
    return made
