"""Every block of Python of the page of results runs, and its plots show what is in the rows."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nepiq.controller.campaign.file_store import FileStore
from nepiq.controller.campaign.row import Row

if TYPE_CHECKING:
    from tests.conftest import Need

PAGE = Path(__file__).parents[3] / "docs" / "campaigns-results.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Path:
    """The folder of a campaign in which all blocks have run, one after the other."""
    for library, extra in (
        ("matplotlib", "examples"),
        ("pandas", "pandas"),
        ("polars", "polars"),
        ("pyarrow", "parquet"),
        ("scipy", "statistics"),
    ):
        need(library, importlib.util.find_spec(library), f"the extra {extra}")
    made = tmp_path_factory.mktemp("campaign")
    write_campaign(made)
    # As text, so that a figure can be searched for its labels.
    (made / "matplotlibrc").write_text("backend: Agg\nsvg.fonttype: none\n")
    (made / "page.py").write_text("\n".join(blocks("python")))
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=made,
        env={**os.environ, "MPLCONFIGDIR": str(made), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Matplotlib writes to stderr if its first cache of fonts takes more than five seconds.
    assert done.returncode == 0, done.stderr
    (made / "stdout").write_text(done.stdout)
    return made


def write_campaign(folder: Path) -> None:
    chance = random.Random(5)
    store = FileStore(folder / "results")
    lines = []
    for number in range(72):
        protocol, rate = ("olsr", "batman")[number % 2], (6, 24, 54)[number % 3]
        failed = number % 9 == 4
        row = Row(
            "mesh",
            f"p{number % 24}",
            {"protocol": protocol, "rate": rate, "distance": 5.0 * (1 + number // 6 % 4)},
            number // 24 + 1,
            number // 24,
            f"run{number:03}",
            {"ap": "fit01"},
            1.7e9,
            1.7e9 + 5,
            "failed" if failed else "finished",
            "CommandError ping: exited with 2" if failed else "",
            metrics={} if failed else {"rtt": chance.gauss(rate, 1), "loss": chance.random()},
        )
        lines.append(row.to_json() + "\n")
        store.add(row.run_id, [("router", "queue.csv", [b"time,queue\n1,2\n"])])
    (folder / "rows.jsonl").write_text("".join(lines))


def labels(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_the_distribution(folder: Path) -> None:
    shown = labels(folder / "cdf.svg")
    assert {"olsr, 32 runs", "batman, 32 runs", "share of runs"} <= set(shown)
    assert "round-trip time (ms)" in shown


def test_the_intervals(folder: Path) -> None:
    shown = labels(folder / "intervals.svg")
    assert {"olsr", "batman", "6", "24", "54", "rate (Mbit/s)"} <= set(shown)
    assert shown.count("olsr") == 1


def test_the_map(folder: Path) -> None:
    shown = labels(folder / "map.svg")
    assert {"6", "24", "54", "5", "10", "15", "20", "loss (%)"} <= set(shown)
    assert "<image" in (folder / "map.svg").read_text()


def test_the_tables(folder: Path) -> None:
    for name in ("table.csv", "table.jsonl", "table.parquet", "queue.parquet"):
        assert (folder / name).stat().st_size > 0
    assert len((folder / "table.csv").read_text().splitlines()) == 73


def test_the_comparison(folder: Path) -> None:
    shown = (folder / "stdout").read_text()
    rows = re.findall(r"^rtt +(6|24|54) +batman +olsr +3 pairs .*", shown, re.MULTILINE)
    assert rows == ["6", "24", "54"]
    assert "left out: 8 runs not finished" in shown


def test_the_row_on_the_page_is_a_row() -> None:
    (block,) = blocks("json")
    row = Row.from_json(block)
    assert json.loads(row.to_json()) == json.loads(block)
