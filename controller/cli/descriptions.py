"""``nepiq validate``, ``convert`` and ``schema``: descriptions in files, without any Redis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..description.files.store import describe, save_description, schema_of_descriptions
from ..errors import DescriptionError, NepiqError
from ..reports.words import plural
from .console import complain, print_json, say


def validate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Descriptions: .yaml, .json or .xml.")
    ],
) -> None:
    """Check descriptions: say ok, or all that is wrong, with lines and columns.

    Nothing is deployed, and no Redis is needed. Types, attributes, values, labels, what is
    required and what waits for what are checked; whether hosts answer is not.
    """
    code = 0
    for path in paths:
        try:
            description, warnings = describe(path, complete=True)
        except NepiqError as error:
            code = max(code, complain(error))
            continue
        for warning in warnings:
            say(warning)
        name = f"{path}: " if len(paths) > 1 else ""
        typer.echo(f"{name}ok: {plural(len(description), 'resource')}")
    raise typer.Exit(code)


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A description: .yaml, .json or NEPI's .xml.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="The file to write, .yaml or .json; - for stdout.")
    ] = "-",
) -> None:
    """Write a description in another format, or in the form that nepiq itself gives it.

    Comments are lost, and so is what says nothing, such as an attribute with its default.
    """
    if target != "-" and Path(target).exists() and Path(target).samefile(source):
        raise DescriptionError("IN and OUT are one file", hint="write another and move it")
    description, warnings = describe(source)
    for warning in warnings:
        say(warning)
    text = save_description(description, None if target == "-" else Path(target))
    if target == "-":
        sys.stdout.write(text)


def schema() -> None:
    """Print the form of descriptions as JSON Schema, for editors that complete and check.

    It holds the attributes of all resource types that are known here.
    """
    print_json(schema_of_descriptions())
