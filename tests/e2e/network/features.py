"""What the types of networks need of a kernel, and what of it the tests could use.

``python -m tests.e2e.network.features`` prints the table that the last tests have written.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "build" / "networks"
PAGE = Path(__file__).parents[3] / "docs" / "networks.md"

_ROW = re.compile(r"^\| `(\w+::\w+)` \| (?:`(\w+)`|-) \| ", re.MULTILINE)

#: By type: the kind of links or the module of the kernel that it needs; the page lists them.
NEEDS: dict[str, str] = dict(_ROW.findall(PAGE.read_text().partition("\n## What the kernel")[2]))


def note(rtype: str, outcome: str) -> None:
    """Note what became of a type: ``made and undone``, or ``refused: ...``."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / rtype).write_text(outcome)


def outcomes() -> dict[str, str]:
    """Return what was noted, by type."""
    return {path.name: path.read_text() for path in FOLDER.glob("*") if path.name in NEEDS}


def table() -> str:
    """Return a line for each type: what it needs, and what became of it here."""
    noted = outcomes()
    lines = [
        f"{rtype:20} {NEEDS[rtype] or '-':12} {noted.get(rtype, 'not tried')}" for rtype in NEEDS
    ]
    made = sum(outcome.startswith("made") for outcome in noted.values())
    lines.append(
        f"{made} of {len(NEEDS)} types of networks were made on this kernel, "
        f"{len(noted) - made} refused, {len(NEEDS) - len(noted)} not tried"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
    if os.environ.get("CI") and len(outcomes()) < len(NEEDS):
        sys.exit("under CI each type has to be tried")
