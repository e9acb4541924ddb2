"""``python -m tests.faults.storm --seeds 20``: storms, and a table of how they went."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.testbed import Testbed
from tests.testbed.spaces import missing

from .forecast import Forecast
from .site import HOSTS
from .storm import MACHINES, Outcome, storm


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a table in Markdown."""
    lines = [
        "| seed | what was done | seconds | workers died | messages a step | MB | failed | wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for item in outcomes:
        done = "; ".join(item.faults) or "nothing"
        lines.append(
            f"| {item.seed} | {done} | {item.seconds:.0f} | {item.deaths} | {item.messages:.2f} | "
            f"{item.memory} | {item.failed} | {len(item.problems) or 'nothing'} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Carry out storms; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many (20)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed (0)")
    parser.add_argument("--mild", action="store_true", help="only the first ten kinds of faults")
    parser.add_argument("--folder", type=Path, help="where logs go")
    parser.add_argument("--dry-run", action="store_true", help="say only what would come when")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.dry_run:
        for seed in seeds:
            drawn = Forecast.drawn(seed, random.Random(seed), HOSTS, more=not options.mild)
            print(f"seed {seed}: {drawn}")
        return 0
    lacking = missing()
    if lacking:
        sys.exit(f"storms need {lacking}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="nepiq-storm-"))
    outcomes = []
    with Testbed(hosts=MACHINES, folder=folder / "bed") as bed:
        for seed in seeds:
            outcomes.append(storm(seed, bed, folder / str(seed), more=not options.mild))
            bed.reset()
            last = outcomes[-1]
            print(f"seed {seed}: {last.seconds:.0f} s, {'; '.join(last.faults)}", file=sys.stderr)
            print(f"  {last.memory} MB in memory of a worker at most", file=sys.stderr)
            for problem in last.problems:
                print(f"  WRONG: {problem}", file=sys.stderr)
    print(table(outcomes))
    return int(any(item.problems for item in outcomes))


if __name__ == "__main__":
    sys.exit(main())
