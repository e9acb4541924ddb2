"""Size of the crate of a campaign with files, and time and memory of its export.

``python -m tests.benchmarks.crate [RUNS] [POINTS]``. Each run has a content of 1 MB that all runs
have, and one of 10 kB of its own. The store of the files is on the same file system.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nepiq.controller.campaign.crate.content import Content
from nepiq.controller.campaign.crate.files import linked
from nepiq.controller.campaign.crate.terms import Terms
from nepiq.controller.campaign.crate.writer import write
from nepiq.controller.campaign.file_store import FileStore
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.provenance import Provenance
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.space import point_id, run_seed
from nepiq.controller.engine.campaign_records import CampaignRecord

COMMON, OWN = 1_000_000, 10_000
TEMPLATE = {
    "nepiq": 1,
    "resources": {
        "here": {"type": "linux::Node", "hostname": "localhost"},
        "app": {"type": "linux::Application", "node": "here", "command": "./run ${rate} ${size}"},
    },
}


def rows(plan: CampaignPlan) -> Iterator[Row]:
    """Rows with three parameters and two metrics."""
    chance, number = random.Random(0), 0
    for repetition in range(plan.repetitions):
        for point in plan.space:
            yield Row(
                "sweep",
                point_id(point),
                point,
                repetition + 1,
                run_seed(1, repetition),
                name(number),
                {"here": f"fit{number % 40:02}"},
                1.8e9 + number,
                1.8e9 + number + chance.random(),
                metrics={"rate": chance.gauss(20e6, 1e6), "lost": chance.randrange(100)},
            )
            number += 1


def name(number: int) -> str:
    """The id of a run."""
    return f"2026{number:016}"


def plan_of(runs: int, points: int) -> CampaignPlan:
    """A plan of so many runs at so many points."""
    grid = {"rate": f"range({points // 2})", "size": [64, 1500], "mode": ["udp"]}
    return CampaignPlan.of({"space": {"grid": grid}, "repetitions": runs // points})


def export(store: Path, target: Path, runs: int, points: int) -> None:
    """Write the crate, and print what it takes."""
    plan = plan_of(runs, points)
    record = CampaignRecord("sweep", "finished", "", 1.8e9, runs, runs, *[0] * 8, parallel=8)
    ids = {name(number) for number in range(runs)}
    content = Content(
        record,
        "sweep",
        TEMPLATE,
        plan,
        Provenance("2026-11-30T08:00:00+00:00", "ada", {"nepiq": "0.1.0"}),
        [],
        lambda: rows(plan),
        lambda folder: linked(FileStore(store), folder, ids),
    )
    began, cpu = time.monotonic(), time.process_time()
    write(content, target, Terms.parse("CC-BY-4.0"))
    print(f"exported in {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory at most")


def main(runs: int = 10_000, points: int = 100) -> None:
    """Fill a store, export a crate with it, and load its table."""
    common = random.Random(0).randbytes(COMMON)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        store, target = Path(folder, "store"), Path(folder, "crate")
        filled = FileStore(store)
        filled.add("0", [("app", "common", [common])])
        for number in range(runs):
            own = random.Random(number + 1).randbytes(OWN)
            given = [("app", "out", [own]), ("app", "common", [common])]
            filled.add(name(number), given)
        # In a process of its own, so that the memory is that of the export.
        command = [sys.executable, "-m", "tests.benchmarks.crate", "export", str(store)]
        subprocess.run([*command, str(target), str(runs), str(points)], check=True)
        paths = list(target.rglob("*"))
        print(f"{len(paths) + 1} inodes")
        print(f"{sum(path.stat().st_size for path in paths if path.is_file()) / 1e6:.1f} MB")
        for path in sorted(path for path in paths if path.is_file()):
            if "files" not in path.parts:
                print(f"  {path.relative_to(target)}: {path.stat().st_size / 1e6:.2f} MB")
        load(target)


def load(crate: Path) -> None:
    """Print the types of the columns in pandas and polars."""
    import pandas as pd
    import polars as pl

    frame = pd.read_csv(crate / "table.csv", dtype={"point": str, "run_id": str})
    print("pandas, CSV:", dict(frame.dtypes.astype(str)))
    print("polars, Parquet:", dict(pl.read_parquet(crate / "table.parquet").schema))


if __name__ == "__main__":
    if sys.argv[1:2] == ["export"]:
        export(Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
    else:
        main(*map(int, sys.argv[1:]))
