"""What tests of experiments on the shared installation are made of."""

from __future__ import annotations

from typing import Any

from tests.e2e.installation import Installation

from nepiq.controller import ExperimentController


class Lab:
    """Makes experiments on the module's stack, and releases what a test has left."""

    def __init__(self, installation: Installation) -> None:
        self.settings = installation.settings()
        self.made: list[ExperimentController] = []

    def experiment(self, exp_id: str = "lab", **options: Any) -> ExperimentController:
        made = ExperimentController(exp_id, settings=self.settings, quiet=True, **options)
        self.made.append(made)
        return made

    def attach(self, run_id: str) -> ExperimentController:
        made = ExperimentController.attach(run_id, settings=self.settings)
        self.made.append(made)
        return made


def null(ec: ExperimentController, label: str, **attributes: Any) -> int:
    return ec.register_resource("nepiq::Null", label=label, **attributes)


def node(ec: ExperimentController) -> int:
    return ec.register_resource("linux::Node", label="here")


def app(ec: ExperimentController, label: str, command: str, **attributes: Any) -> int:
    return ec.register_resource(
        "linux::Application", label=label, command=command, connectedTo="here", **attributes
    )


def reached_at(ec: ExperimentController, guid: int, state: str) -> float:
    record = next(r for r in ec._replica.current.records() if r.guid == guid)
    return record.milestones[state]
