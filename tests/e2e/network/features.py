"""What the types of networks need of a kernel, and what of it the tests could use.

``python -m tests.e2e.network.features`` prints the table that the last tests have written; with
``--write`` it puts their outcomes into the last column of the table in docs/networks.md.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "build" / "networks"
PAGE = Path(__file__).parents[3] / "docs" / "networks.md"

_SECTION = "\n## What the kernel"
_ROW = re.compile(r"^\| `([\w:+ ]+)` \| (?:`(\w+)`|-) \| (.*) \| ([^|]*) \|$", re.MULTILINE)
_HEAD = re.compile(r"^(\| type \|.*\|) [^|]* \|$", re.MULTILINE)

#: By type, or by type and driver: the kind of links or the module of the kernel that it needs; the
#: page lists them.
NEEDS: dict[str, str] = {
    found[1]: found[2] or "" for found in _ROW.finditer(PAGE.read_text().partition(_SECTION)[2])
}


def note(what: str, outcome: str) -> None:
    """Note what became of a type: ``made and undone``, or ``refused: ...``."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / what).write_text(outcome)


def note_made(*whats: str) -> None:
    """Note that these were made and undone."""
    for what in whats:
        note(what, "made and undone")


def outcomes() -> dict[str, str]:
    """Return what was noted, by type."""
    return {path.name: path.read_text() for path in FOLDER.glob("*") if path.name in NEEDS}


def table() -> str:
    """Return a line for each type: what it needs, and what became of it here."""
    noted = outcomes()
    lines = [f"{what:27} {NEEDS[what] or '-':12} {noted.get(what, 'not tried')}" for what in NEEDS]
    made = sum(outcome.startswith("made") for outcome in noted.values())
    lines.append(
        f"{made} of {len(NEEDS)} types of networks were made on this kernel, "
        f"{len(noted) - made} refused, {len(NEEDS) - len(noted)} not tried"
    )
    return "\n".join(lines)


def page() -> str:
    """Return the page with what became of each type in its last column."""
    noted = outcomes()
    before, section, rest = PAGE.read_text().partition(_SECTION)

    def row(found: re.Match[str]) -> str:
        outcome = noted.get(found[1], "not tried").partition(":")[0].removesuffix(" and undone")
        return f"{found[0].rsplit(' | ', 1)[0]} | {outcome} |"

    rest = _ROW.sub(row, rest)
    kernel = ".".join(platform.release().split(".")[:2])
    return before + section + _HEAD.sub(rf"\1 tests on Linux {kernel} |", rest)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
    if "--write" in sys.argv:
        PAGE.write_text(page())
    if os.environ.get("CI") and len(outcomes()) < len(NEEDS):
        sys.exit("under CI each type has to be tried")
