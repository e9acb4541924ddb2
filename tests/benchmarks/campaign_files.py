"""Size and time of a file store with the files of 10 000 runs.

``python -m tests.benchmarks.campaign_files [RUNS]``. Each run has a content of 1 MB that all runs
have, and one of 10 kB of its own.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from nepiq.controller.campaign.file_store import FileStore

COMMON, OWN = 1_000_000, 10_000


def main(runs: int = 10_000) -> None:
    """Fill a store, and print what it takes."""
    common = random.Random(0).randbytes(COMMON)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        store = FileStore(folder)
        began, cpu = time.monotonic(), time.process_time()
        for number in range(runs):
            own = random.Random(number + 1).randbytes(OWN)
            store.add(f"2026{number:016}", [("app", "out", [own]), ("app", "common", [common])])
        print(
            f"filled in {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
        )
        paths = list(Path(folder).rglob("*"))
        sizes = [path.lstat() for path in paths]
        print(f"{len(paths) + 1} inodes")
        print(f"{sum(path.stat().st_size for path in paths if path.is_file()) / 1e6:.1f} MB")
        print(f"{sum(item.st_blocks for item in sizes) * 512 / 1e6:.1f} MB of blocks")
        began = time.monotonic()
        again = FileStore(folder)
        assert len(again.runs()) == runs
        again.path(f"2026{runs - 1:016}", "app", "out")
        print(f"opened in {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        again.prune()
        print(f"pruned in {time.monotonic() - began:.1f} s")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory at most")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
