"""``nepiq plan``: the steps and commands of a deployment, without executing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidValue
from ..errors.text import escaped
from .child import is_description
from .console import print_json, print_message
from .runs import AsJson

if TYPE_CHECKING:
    from ..reports.plan.planner import PlannedDeployment


def plan(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A Python script, or a description."),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Arguments of the script.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print which commands would run on which host. No machine and no Redis is contacted.

    Hooks run against simulated hosts that record commands. A script runs too: its deployments are
    recorded, waits return at once and outputs are empty. A script that needs results is planned
    up to that point.
    """
    if is_description(file) and arguments:
        raise InvalidValue(
            f"{str(file)!r} is a description, which takes no arguments",
            hint="write options of nepiq plan before the file",
        )
    plans, reason = (
        _plans_of_description(file) if is_description(file) else _plans_of_script(file, arguments)
    )
    if as_json:
        print_json(plans)
    else:
        from ..reports.plan.text import text

        typer.echo(escaped("\n\n".join(text(item) for item in plans)))
    if reason:
        print_message(f"the script needs results to continue: {reason}")


def _plans_of_description(file: Path) -> tuple[list[PlannedDeployment], str]:
    from ..description.files.store import describe
    from ..reports.plan.planner import Planner

    description, warnings = describe(file, complete=True)
    for warning in warnings:
        print_message(warning)
    return [Planner(description).plan()], ""


def _plans_of_script(
    file: Path, arguments: list[str] | None
) -> tuple[list[PlannedDeployment], str]:
    from .dry_run import DryRunController, dry_run

    plans: list[PlannedDeployment] = []

    def record(ec: DryRunController, guids: list[int], together: bool) -> None:
        plans.append(ec.plan_deployment(guids, together=together))

    return plans, dry_run(file, arguments or [], record)
