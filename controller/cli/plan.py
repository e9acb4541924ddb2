"""``nepiq plan``: what would run where, without touching anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidValue
from ..errors.text import harmless
from .child import is_description
from .console import print_json, say
from .runs import AsJson

if TYPE_CHECKING:
    from ..reports.plan.planner import PlannedDeployment


def plan(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A Python script, or a description."),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Handed to the script.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what would run where, with the exact commands. No machine and no Redis is touched.

    Hooks are rehearsed against hosts that take notes. A script is carried out, but what it
    deploys is only noted, each wait is over at once and no output has anything in it; a script
    that needs results is followed as far as it gets.
    """
    if is_description(file) and arguments:
        raise InvalidValue(
            f"{str(file)!r} is a description, which takes no arguments",
            hint="options of nepiq plan come before it",
        )
    plans, why = _of_description(file) if is_description(file) else _of_script(file, arguments)
    if as_json:
        print_json(plans)
    else:
        from ..reports.plan.text import text

        typer.echo(harmless("\n\n".join(text(item) for item in plans)))
    if why:
        say(f"the script needs results to go on from here: {why}")


def _of_description(file: Path) -> tuple[list[PlannedDeployment], str]:
    from ..description.files.store import describe
    from ..reports.plan.planner import Planner

    description, warnings = describe(file, complete=True)
    for warning in warnings:
        say(warning)
    return [Planner(description).plan()], ""


def _of_script(file: Path, arguments: list[str] | None) -> tuple[list[PlannedDeployment], str]:
    from .dry_run import Rehearsed, rehearse

    plans: list[PlannedDeployment] = []

    def note(ec: Rehearsed, guids: list[int], together: bool) -> None:
        plans.append(ec.planned(guids, together=together))

    return plans, rehearse(file, arguments or [], note)
