"""What tests of campaigns are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.installation import Installation

from nepiq.controller import ExperimentController, ResourceAction, ResourceState

STOP, STARTED = ResourceAction.STOP, ResourceState.STARTED


def experiment(installation: Installation, name: str, command: str = "") -> ExperimentController:
    """An application on this machine; without a command, something that ends at once."""
    ec = ExperimentController(name, settings=installation.settings(), quiet=True)
    if not command:
        ec.register_resource("nepiq::Null", label="nothing")
        ec.register_condition("nothing", STOP, "nothing", STARTED)
        return ec
    node = ec.register_resource("linux::Node", label="here")
    ec.register_resource("linux::Application", label="app", command=command, connectedTo=node)
    return ec


def phases(installation: Installation, name: str) -> list[str]:
    """The phases of an experiment's runs."""
    runs = ExperimentController.runs(settings=installation.settings())
    return [run.phase for run in runs if run.exp_id == name]


def series(values: list[Any]) -> Callable[[ExperimentController, int], Any]:
    """A metric that gives one value after another."""
    given = iter(values)
    return lambda ec, run: next(given)
