"""``python -m tests.histories --seeds 100``: carry out random experiments, tell the bad ones."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .session import Session


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first one")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with tempfile.TemporaryDirectory() as folder, Session(Path(folder)) as session:
        bad = session.carry_out(seeds)
    print("\n".join(bad), f"{len(seeds)} seeds, {len(bad)} with problems", sep="\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(_main())
