"""Verbs for files with descriptions, which need no Redis: validate, convert, schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..description.files.store import describe, save_description, schema_of_descriptions
from ..errors import DescriptionError, NepiqError
from ..reports.words import plural
from .console import print_error, print_json, print_message


def validate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Descriptions: .yaml, .json or .xml.")
    ],
) -> None:
    """Check descriptions; print ok, or all errors with line and column.

    This checks types, attributes, values, labels, required attributes and connections, and cycles
    of conditions; of a campaign also its space, at enough points for each value of a parameter.
    No host is contacted, and no Redis is needed.
    """
    code = 0
    for path in paths:
        try:
            summary, warnings = _checked(path)
        except NepiqError as error:
            code = max(code, print_error(error))
            continue
        for warning in warnings:
            print_message(warning)
        name = f"{path}: " if len(paths) > 1 else ""
        typer.echo(f"{name}ok: {summary}")
    raise typer.Exit(code)


def _checked(path: Path) -> tuple[str, list[str]]:
    """Check a file; return what it holds, and warnings."""
    from ..campaign.campaign_file import is_campaign, read

    if not is_campaign(path):
        description, warnings = describe(path, complete=True)
        return plural(len(description), "resource"), warnings
    file = read(path)
    resources = len(file.template.to_document().get("resources") or ())
    if file.build is not None:
        resources = len(file.describe(0, 0))
    points = plural(sum(map(len, file.plan.spaces)), "point")
    return f"{plural(resources, 'resource')}, {points}", file.warnings


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A description: .yaml, .json or NEPI's .xml.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="File to write, .yaml or .json; - for stdout.")
    ] = "-",
) -> None:
    """Convert a description to another format, or to the canonical form of its format.

    Comments and attributes that have their default value are dropped.
    """
    if target != "-" and Path(target).exists() and Path(target).samefile(source):
        raise DescriptionError(
            "IN and OUT are the same file", hint="write to another file, then rename it"
        )
    description, warnings = describe(source)
    for warning in warnings:
        print_message(warning)
    text = save_description(description, None if target == "-" else Path(target))
    if target == "-":
        sys.stdout.write(text)


def schema() -> None:
    """Print the JSON Schema of descriptions, for completion and checks in editors.

    It contains the attributes of all resource types that are installed here.
    """
    print_json(schema_of_descriptions())
