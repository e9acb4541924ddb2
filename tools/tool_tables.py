"""Writes the tables of docs/tools.md from the declarations of the types."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from wrap import wrap

from nepiq.controller.model import Attribute, Figure, Flag, Trace, registry
from nepiq.controller.resources import CATALOGUE
from nepiq.controller.resources.linux.tools import Option, Tool

PAGE = Path(__file__).parents[1] / "docs" / "tools.md"
HEAD = "## Types\n"


def page(text: str) -> str:
    """Return a page with its tables made anew."""
    return wrap(text.partition(HEAD)[0] + HEAD + "\n" + "\n".join(_sections()))


def _sections() -> Iterator[str]:
    for rtype in CATALOGUE:
        cls = registry.find(rtype)
        if issubclass(cls, Tool):
            yield from _section(cls)


def _section(cls: type[Tool]) -> Iterator[str]:
    yield f"### {cls.rtype}\n"
    yield plain(inspect.cleandoc(cls.__doc__ or "")) + "\n"
    own = {name: item for name, item in cls.attributes.items() if name in vars(cls)}
    base = cls.__mro__[1]
    if base is not Tool and base.rtype:
        yield f"It has the attributes and figures of {base.rtype} too.\n"
    elif base is not Tool:
        own = {name: item for name, item in cls.attributes.items() if name not in Tool.attributes}
        own |= {name: item for name, item in cls.attributes.items() if name in vars(cls)}
    given = [item for item in own.values() if Flag.NO_WRITE not in item.flags]
    reported = [item for item in own.values() if Flag.NO_WRITE in item.flags]
    if given:
        yield "| attribute | option | meaning |\n|---|---|---|"
        yield from (_row(item) for item in given)
        yield ""
    if reported:
        yield "| reported | unit | meaning |\n|---|---|---|"
        for item in reported:
            unit = item.unit if isinstance(item, Figure) else ""
            yield f"| `{item.name}` | {unit} | {cell(item.help)} |"
        yield ""
    traces = [item for item in vars(cls).values() if isinstance(item, Trace)]
    if traces:
        yield "| trace | content |\n|---|---|"
        yield from (f"| `{item.name}` | {cell(item.help)} |" for item in traces)
        yield ""


def _row(item: Attribute[object]) -> str:
    switch = f"`{item.switch}`" if isinstance(item, Option) and item.switch else ""
    default = "" if item.default in (None, "", False) else f" Default: `{item.default}`."
    allowed = [value for value in item.allowed or () if value]
    choice = f" One of {', '.join(f'`{value}`' for value in allowed)}." if allowed else ""
    return f"| `{item.name}` | {switch} | {cell(item.help)}{choice}{default} |"


def cell(text: str) -> str:
    """Return text in the form of a cell of a table."""
    return plain(text).replace("|", r"\|")


def plain(text: str) -> str:
    """Return text with the markup of docstrings in the form of the pages."""
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)


def main() -> int:
    """Write the page, or with --check compare it; 1 if it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    text = PAGE.read_text()
    made = page(text)
    if options.check:
        return int(made != text)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
