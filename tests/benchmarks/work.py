"""What a start does in a workload, for the peers; nepiq's side does the same in its hooks."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

NOTHING = ""
SLEEP = "sleep"
SHELL = "shell"
SLEEP_SECONDS = 0.02

Stamps = Mapping[int, tuple[float, float]]
"""By index of the start: when its body was entered, and left."""


def perform(work: str) -> None:
    """Do the work."""
    if work == SLEEP:
        time.sleep(SLEEP_SECONDS)
    elif work == SHELL:
        subprocess.run(["sh", "-c", "true"], check=True)


def hops(stamps: Stamps) -> list[float]:
    """From the end of each body in a chain to the entry of the next."""
    return [stamps[at + 1][0] - stamps[at][1] for at in range(len(stamps) - 1)]


def periods(stamps: Stamps) -> list[float]:
    """From the entry of each body in a chain to the entry of the next."""
    return [stamps[at + 1][0] - stamps[at][0] for at in range(len(stamps) - 1)]


def joined(stamps: Stamps) -> float:
    """From the end of the last body but one to the entry of the last, which waited for all."""
    last = max(stamps)
    return stamps[last][0] - max(left for at, (_, left) in stamps.items() if at != last)
