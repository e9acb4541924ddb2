"""``nepiq campaign compare``: the differences between two campaigns, or the levels of a factor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors.text import escaped
from .console import print_json
from .runs import AsJson

if TYPE_CHECKING:
    from ..campaign.table import Table

_ROWS = ".jsonl"


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="CAMPAIGN", help="A campaign, its crate, or a file of its rows (.jsonl)."
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Another one.")] = "",
    by: Annotated[
        str, typer.Option(help="Instead of another: the parameter whose values are compared.")
    ] = "",
    against: Annotated[str, typer.Option(help="Compare others with this value only.")] = "",
    each: Annotated[
        list[str] | None,
        typer.Option(help="A difference for each value of this parameter; may be repeated."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be repeated.")
    ] = None,
    margin: Annotated[
        str, typer.Option(help="The greatest difference that does not matter, as 5% or 0.2.")
    ] = "",
    confidence: Annotated[float, typer.Option(help="Of intervals and answers.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Show the differences between two campaigns, or between the values of a parameter.

    Runs with common seeds are compared in pairs.
    """
    from ..campaign import comparison as comparisons
    from ..description.files.yaml_format import resolve

    comparison = comparisons.compare(
        _table(first),
        _table(second) if second else None,
        by=by,
        against=resolve(against) if against else None,
        each=each or (),
        metrics=metric or (),
        margin=resolve(margin) if margin else None,
        confidence=confidence,
    )
    if as_json:
        print_json(comparison.to_data())
    else:
        typer.echo(escaped(str(comparison)))


def _table(name: str) -> Table:
    from ..campaign.campaign import Campaign
    from ..campaign.crate.crate import Crate
    from ..campaign.crate.layout import METADATA
    from ..campaign.table import Table

    if name.endswith(_ROWS):
        return Table.read(name)
    if (Path(name) / METADATA).is_file():
        return Crate(name).table()
    with Campaign.attach(name) as campaign:
        rows = list(campaign.rows())
    return Table.of_rows(lambda: rows)
