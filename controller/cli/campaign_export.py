"""``nepiq campaign export``: the rows of a campaign as a file, or all of it as an RO-Crate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidValue
from ..reports.words import plural

if TYPE_CHECKING:
    from ..campaign.campaign import Campaign

_METHODS = {".csv": "to_csv", ".jsonl": "to_jsonl", ".parquet": "to_parquet"}


def export(  # noqa: PLR0913, PLR0917 - the options of the command
    name: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Name of the campaign.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help=".csv, .jsonl or .parquet.")
    ] = None,
    crate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a new folder with an RO-Crate instead of a file."),
    ] = None,
    artifact: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A crate with a short run of ten minutes for reviewers."),
    ] = None,
    license: Annotated[  # noqa: A002 - the name of the option
        str, typer.Option(metavar="SPDX", help="Its license, as CC-BY-4.0, or a URL.")
    ] = "",
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where campaign fetch has brought the collected files."),
    ] = None,
    author: Annotated[
        str, typer.Option(help="As 'Ada Lovelace <ada@example.org> 0000-0002-1825-0097'.")
    ] = "",
    organization: Annotated[
        str, typer.Option(help="As 'University of London https://ror.org/04cw6st05'.")
    ] = "",
    rocrate: Annotated[
        str, typer.Option(metavar="VERSION", help="Version of RO-Crate: 1.1, 1.2 or 1.3.")
    ] = "1.2",
    reviewed: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A file of the crate that has no secrets."),
    ] = None,
) -> None:
    """Write the rows of a campaign to a file, or all of it to an RO-Crate.

    An RO-Crate is a folder to publish. nepiq rerun repeats the campaign from it.
    """
    from ..campaign.campaign import Campaign

    target = crate or artifact
    if sum(path is not None for path in (file, crate, artifact)) != 1:
        raise InvalidValue("one of a file, --crate and --artifact is needed")
    if target is not None and not license:
        raise InvalidValue("a crate needs a license", hint="as --license CC-BY-4.0")
    with Campaign.attach(name) as campaign:
        if file is not None:
            _write_rows(campaign, file)
        if target is not None:
            campaign.to_crate(
                target,
                license,
                folder=folder,
                author=author,
                organization=organization,
                version=rocrate,
                reviewed=reviewed or (),
                artifact=artifact is not None,
            )
            sys.stderr.write(f"crate in {target}\n")


def _write_rows(campaign: Campaign, file: Path) -> None:
    method = _METHODS.get(file.suffix)
    if method is None:
        kinds = ", ".join(_METHODS)
        raise InvalidValue(f"no format has the suffix {file.suffix!r}", hint=f"choose {kinds}")
    table = campaign.table()
    getattr(table, method)(file)
    sys.stderr.write(f"{plural(len(table), 'row')} in {file}\n")
