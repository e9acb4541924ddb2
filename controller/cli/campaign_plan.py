"""``nepiq campaign plan``: the points of a campaign and the commands of one run, not executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors.text import escaped, quoted
from ..reports.words import duration, plural
from .console import print_json, print_message
from .runs import AsJson

if TYPE_CHECKING:
    from ..campaign.campaign_file import CampaignFile
    from ..campaign.space import Point
    from ..reports.plan.planner import PlannedDeployment

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUES",
        help="Values of a parameter, as rate=1,2,5 or 'n=range(1,9)'; may be repeated.",
    ),
]

Repetitions = Annotated[
    int | None,
    typer.Option(min=1, help="Number of runs at each point, in place of what the file says."),
]


def plan(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A description with a campaign: .yaml or .json.")
    ],
    settings: Settings = None,
    repetitions: Repetitions = None,
    as_json: AsJson = False,
) -> None:
    """Print the points of a campaign, the hosts that it needs, and the commands of its first run.

    No machine and no Redis is contacted.
    """
    from ..campaign.campaign_file import read
    from ..reports.plan.planner import Planner
    from ..reports.plan.text import text

    campaign = read(file, settings or (), repetitions)
    for warning in campaign.warnings:
        print_message(warning)
    run = Planner(campaign.describe(0, 0)).plan()
    if as_json:
        print_json({**_summary(campaign, run), "first_run": run})
    else:
        lines = [*_lines(campaign, run), "", "The run of the first point:", "", text(run)]
        typer.echo(escaped("\n".join(lines)))


def _summary(campaign: CampaignFile, run: PlannedDeployment) -> dict[str, Any]:
    from ..campaign.space import point_id

    plan, space = campaign.plan, campaign.plan.space
    return {
        "exp_id": campaign.exp_id,
        "points": len(space),
        "repetitions": plan.repetitions,
        "runs": plan.runs,
        "first": {"id": point_id(space[0]), **space[0]},
        "last": {"id": point_id(space[-1]), **space[-1]},
        "hosts": sum(item.is_host for item in run.resources),
        "plan": plan.to_document(),
    }


def _lines(campaign: CampaignFile, run: PlannedDeployment) -> list[str]:
    from ..campaign.space import point_id

    plan, space = campaign.plan, campaign.plan.space
    points, runs = len(space), plan.runs
    repetitions = f"{plural(plan.repetitions, 'run')} at each"
    if plan.least < plan.repetitions and plan.stop:
        repetitions = f"{plan.least} to {plan.repetitions} runs at each"
    added = "".join(
        f"; {plural(len(more), 'added point')}, {plural(count, 'run')} at each"
        for more, count in plan.added
    )
    lines = [
        f"{campaign.exp_id}: {plural(points, 'point')}, {repetitions}{added}: "
        f"{'at most ' if plan.stop else ''}{plural(runs, 'run')}",
        f"first point {point_id(space[0])}  {_point(space[0])}",
        f"last point  {point_id(space[-1])}  {_point(space[-1])}",
    ]
    order = "in the order given"
    if plan.order == "shuffled":
        order = f"in blocks of {plural(points, 'run')}, shuffled by seed {plan.seed}"
    lines.append(f"order: {order}")
    hosts = plural(sum(item.is_host for item in run.resources), "host")
    if plan.parallel is None:
        lines.append(f"a run uses {hosts}")
    else:
        lines.append(f"{plural(plan.parallel, 'run')} at a time, each of which uses {hosts}")
    if plan.timeout is not None:
        longest = -(-runs // (plan.parallel or 1)) * plan.timeout
        lines.append(
            f"a run ends after {duration(plan.timeout)} at most, "
            f"the campaign after {duration(longest)}"
        )
    for item in plan.stop:
        within = item.to_document()["within"]
        lines.append(
            f"a point is complete when the {item.of} of {item.metric} is known "
            f"within {within} at {item.confidence:.12g} confidence"
        )
    return lines


def _point(point: Point) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in point.items()) or "no parameters"


def _value(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and " " not in value
    return value if plain else quoted(value)
