"""Build functions that workers import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nepiq.controller import ExperimentController


def echoing(ec: ExperimentController, n: int, seed: int) -> None:
    """n applications, each of which prints a number; impossible for n = 2."""
    node = ec.register_resource("linux::Node", label="node", hostname="localhost")
    for number in range(6 // (n - 2)):
        ec.register_resource(
            "linux::Application", label=f"app-{number}", connectedTo=node, command=f"echo {seed}"
        )
