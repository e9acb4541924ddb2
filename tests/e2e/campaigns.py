"""What tests of campaigns are made of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.e2e.installation import Installation

from nepiq.controller import Campaign, ExperimentController, ResourceAction, ResourceState
from nepiq.controller.campaign.summary import PointSummary, summaries

STUDIES = Path(__file__).parents[2] / "examples" / "campaigns"
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


def carry_out(
    installation: Installation, name: str, repetitions: int, *settings: str
) -> list[PointSummary]:
    """The summary of each point of a study with few points; its rows are in a file."""
    options = [word for setting in settings for word in ("--set", setting)]
    # Of a copy: with a file of the git tree, changes that are not committed are scanned and kept.
    study = shutil.copy(STUDIES / f"{name}.yaml", installation.folder)
    command = ("campaign", "run", study, "--repetitions", str(repetitions), *options)
    done = installation.nepiq(*command, timeout=250)
    assert done.code == 0, done.err
    with Campaign.attach(name, settings=installation.settings()) as campaign:
        rows = list(campaign.rows())
    lines = (row.to_json() + "\n" for row in rows)
    (installation.folder / f"{name}.jsonl").write_text("".join(lines))
    return summaries(rows)


def means(points: list[PointSummary], metric: str, **parameters: object) -> list[float]:
    """The means of a metric at the points with these values of parameters."""
    return [
        fmean(point.samples[metric])
        for point in points
        if point.parameters.items() >= parameters.items()
    ]
