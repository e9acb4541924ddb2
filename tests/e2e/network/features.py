"""What the types of networks need of a kernel, and what of it the tests could use.

``python -m tests.e2e.network.features`` prints the table that the last tests have written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILE = Path(__file__).parents[3] / "build" / "networks.json"

#: By type: the kind of links or the feature, as docs/networks.md names it.
NEEDS = {
    "linux::Address": "",
    "linux::Bridge": "bridge",
    "linux::Channel": "",
    "linux::Firewall": "nf_tables",
    "linux::Interface": "",
    "linux::Macvlan": "macvlan",
    "linux::Nat": "nf_tables",
    "linux::Route": "",
    "linux::Rule": "",
    "linux::Sysctl": "",
    "linux::Vlan": "vlan",
}


def note(rtype: str, outcome: str) -> None:
    """Note what became of a type: ``made and undone``, or ``refused: ...``."""
    FILE.parent.mkdir(exist_ok=True)
    try:
        noted = json.loads(FILE.read_text())
    except (OSError, ValueError):
        noted = {}
    noted[rtype] = outcome
    FILE.write_text(json.dumps(noted, indent=1, sort_keys=True))


def table() -> str:
    """Return a line for each type: what it needs, and what became of it here."""
    try:
        noted = json.loads(FILE.read_text())
    except (OSError, ValueError):
        noted = {}
    lines = [f"| {rtype} | {NEEDS[rtype] or '-'} | {noted.get(rtype, 'not tried')} |" for rtype in NEEDS]
    made = sum(str(outcome).startswith("made") for outcome in noted.values())
    return "\n".join([*lines, f"{made} of {len(NEEDS)} types were made here"])


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
