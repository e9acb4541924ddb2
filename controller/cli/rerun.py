"""``nepiq rerun``: a campaign repeated from its crate, and the comparison of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors.text import escaped
from .campaign_progress import INTERRUPTED, follow
from .console import print_json, print_message
from .runs import AsJson


def rerun(
    crate: Annotated[
        Path,
        typer.Argument(metavar="CRATE", help="A folder from nepiq campaign export --crate."),
    ],
    name: Annotated[
        str, typer.Option(help="Of the new campaign; by default the old one with -rerun.")
    ] = "",
    pool: Annotated[
        str, typer.Option(help="Lease hosts of this pool, in place of those of the crate.")
    ] = "",
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="RUNS", help="Repeat so many runs only.")
    ] = None,
    margin: Annotated[
        str, typer.Option(help="The greatest difference that does not matter, as 5% or 0.2.")
    ] = "",
    confidence: Annotated[float, typer.Option(help="Of intervals and answers.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Repeat a campaign from its crate, and compare the results.

    The exit code is 0 if all metrics agree, and 1 if one differs or is not known.
    """
    from ..campaign.crate.crate import Crate
    from ..campaign.extras import library
    from ..description.files.yaml_format import resolve

    library("scipy", "statistics")  # before hours of runs
    opened = Crate(crate)
    with opened.repeat(name, pool=pool, runs=sample) as campaign:
        if campaign.submit().status().over:
            print_message(f"campaign {campaign.name} has ended before: its rows are compared")
        elif follow(campaign, summary=False) == INTERRUPTED:
            raise typer.Exit(INTERRUPTED)
        found = opened.compare(campaign, resolve(margin) if margin else None, confidence)
    if as_json:
        print_json(found.to_data())
    else:
        typer.echo(escaped(str(found)))
    raise typer.Exit(0 if found.agrees else 1)
