"""Markdown of the reference pages that are made from the code: commands and resource types.

``docs/conf.py`` adds it to the pages of ``docs/reference`` when the site is built.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tool_tables import cell, plain

from nepiq.controller.model import Attribute, Connection, Figure, Flag, registry
from nepiq.controller.model.resource import ResourceManager
from nepiq.controller.resources import CATALOGUE


def commands() -> str:
    """Return a section for each verb of ``nepiq``."""
    import typer
    from typer.cli import get_docs_for_click

    from nepiq.controller.cli.app import make_app

    command = typer.main.get_command(make_app())
    context = command.make_context("nepiq", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="nepiq")
    # The sections themselves are the list of commands; typer cuts the lines of its own.
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text)
    text = re.sub(r"^Example:  (.*)$", r"Example: `\1`", text, flags=re.MULTILINE)
    return text.partition("\n")[2]


def types() -> str:
    """Return a section for each resource type of the catalogue."""
    return "\n".join(line for rtype in CATALOGUE for line in _type(registry.find(rtype)))


def _type(cls: type[ResourceManager]) -> Iterator[str]:
    yield f"## {cls.rtype}\n"
    yield plain(inspect.cleandoc(cls.__doc__ or "")) + "\n"
    inherited = ResourceManager.attributes
    own = [item for name, item in cls.attributes.items() if name not in inherited]
    given = [item for item in own if not item.flags & (Flag.NO_WRITE | Flag.RESERVED)]
    reported = [
        item for item in own if Flag.NO_WRITE in item.flags and Flag.RESERVED not in item.flags
    ]
    yield from _table("attribute | values | meaning", map(_attribute, given))
    yield from _table("reported | values | meaning", map(_attribute, reported))
    yield from _table("connection | to | meaning", map(_connection, cls.connections.values()))
    traces = (f"`{trace.name}` | {cell(trace.help)}" for trace in cls.traces.values())
    yield from _table("trace | content", traces)


def _table(head: str, rows: Iterable[str]) -> Iterator[str]:
    lines = [f"| {row} |" for row in rows]
    if lines:
        yield f"| {head} |\n|{'---|' * (head.count('|') + 1)}"
        yield from lines
        yield ""


def _attribute(item: Attribute[Any]) -> str:
    remarks = [cell(item.help)]
    if item.required:
        remarks.append("Required.")
    elif item.default not in (None, "", False) and Flag.NO_WRITE not in item.flags:
        remarks.append(f"Default: `{cell(str(item.default))}`.")
    return f"`{item.name}` | {_values(item)} | {' '.join(remarks)}"


def _values(item: Attribute[Any]) -> str:
    if item.allowed:
        return ", ".join(f"`{value}`" for value in item.allowed)
    kind = _KINDS.get(item.kind, item.kind.__name__)
    if isinstance(item, Figure) and item.unit:
        return f"{kind}, {cell(item.unit)}"
    low, high = item.range or (None, None)
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    if low is not None or high is not None:
        return f"{kind}, {'from' if high is None else 'up to'} {low if high is None else high}"
    return kind


def _connection(item: Connection[Any]) -> str:
    remarks = [cell(item.help)]
    if item.required:
        remarks.append("Required.")
    return f"`{item.name}` | {_link(item.rtype)} | {' '.join(remarks)}"


def _link(rtype: str) -> str:
    """Return a type, with a link to its section if it has one."""
    anchor = rtype.lower().replace(":", "")
    return f"[{rtype}](#{anchor})" if rtype in CATALOGUE else rtype


_KINDS: dict[type, str] = {str: "text", int: "whole number", float: "number", bool: "true, false"}

PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/commands": commands,
    "docs/reference/types": types,
}
