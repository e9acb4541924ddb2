"""Tables keep kinds, order and values in every format, in constant memory."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller import CampaignError, InvalidValue
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.table import Table
from nepiq.controller.errors import FileMissing

if TYPE_CHECKING:
    from tests.conftest import Need

ROWS = [
    Row(
        "c",
        "p1",
        {"rate": 1, "wifi": True},
        1,
        7,
        "r1",
        {"ap": "fit01"},
        1.5,
        3.25,
        metrics={"n": 1},
    ),
    Row(
        "c",
        "p2",
        {"rate": 2, "mode": 'a, "b"\nc', "seed": 9},
        1,
        8,
        "r2",
        {"ap": "fit02", "sta": "fit03"},
        outcome="failed",
        cause="CommandError app: exited with 1",
        attempts=2,
        metrics={"n": None, "delay": 2, "mixed": 1},
        error="x",
    ),
    Row("c", "p3", {"rate": 3, "list": [1, 2]}, 1, 9, "r3", metrics={"delay": 2.5, "mixed": "a"}),
]
NAMES = [
    *("campaign", "point", "rate", "wifi", "mode", "parameter.seed", "list"),
    *("repetition", "seed", "run_id", "host.ap", "host.sta"),
    *("began", "ended", "outcome", "cause", "attempts"),
    *("metric.n", "metric.delay", "metric.mixed", "error"),
]
KINDS = {"wifi": "bool", "rate": "int", "metric.n": "int", "metric.delay": "float"} | {
    "began": "float",
    "ended": "float",
    "metric.mixed": "str",
    "list": "str",
    "repetition": "int",
    "seed": "int",
    "attempts": "int",
    "parameter.seed": "int",
}


@pytest.fixture
def table() -> Table:
    return Table.of_rows(lambda: ROWS)


def column(table: Table, name: str) -> list[Any]:
    return [record[name] for record in table]


def test_columns_have_an_order_and_a_kind(table: Table) -> None:
    assert [column.name for column in table.columns] == NAMES
    assert {
        c.name: c.kind.value for c in table.columns if c.kind.value != "str" or c.name in KINDS
    } == KINDS
    assert len(table) == 3
    assert column(table, "metric.n") == [1, None, None]
    assert column(table, "metric.delay") == [None, 2.0, 2.5]
    assert column(table, "metric.mixed") == [None, "1", "a"]
    assert column(table, "list") == [None, None, "[1, 2]"]
    assert column(table, "wifi") == [True, None, None]
    assert column(table, "parameter.seed") == [None, 9, None]


def test_csv(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    table.to_csv(path)
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == NAMES
    cells = [dict(zip(header, line, strict=True)) for line in lines]
    assert [line["rate"] for line in cells] == ["1", "2", "3"]
    assert [line["wifi"] for line in cells] == ["true", "", ""]
    assert [line["metric.delay"] for line in cells] == ["", "2.0", "2.5"]
    assert cells[1]["mode"] == 'a, "b"\nc'
    assert list(path.parent.iterdir()) == [path]


def test_jsonl(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    table.to_jsonl(path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == list(table)


def test_jsonl_is_read_again(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    table.to_jsonl(path)
    again = Table.read(path)
    assert again.columns == table.columns
    assert list(again) == list(table)


def test_pandas(table: Table, need: Need) -> None:
    need("pandas", importlib.util.find_spec("pandas"), "the extra pandas")
    frame = table.to_pandas()
    assert list(frame.columns) == NAMES
    assert [str(frame[name].dtype) for name in ("rate", "wifi", "began", "metric.n")] == [
        *("Int64", "boolean", "float64", "Int64")
    ]
    assert frame["metric.n"].isna().tolist() == [False, True, True]
    assert frame.groupby("campaign")["rate"].sum().loc["c"] == 6
    assert frame.loc[1, "mode"] == 'a, "b"\nc'
    assert len(Table.of_rows(list).to_pandas()) == 0


def test_polars(table: Table, need: Need) -> None:
    need("polars", importlib.util.find_spec("polars"), "the extra polars")
    frame = table.to_polars()
    assert frame.columns == NAMES
    assert [str(frame.schema[name]) for name in ("rate", "wifi", "began", "metric.n", "mode")] == [
        *("Int64", "Boolean", "Float64", "Int64", "String")
    ]
    assert frame.to_dicts() == list(table)
    assert len(Table.of_rows(list).to_polars()) == 0


def test_parquet(table: Table, tmp_path: Path, need: Need) -> None:
    need("pyarrow", importlib.util.find_spec("pyarrow"), "the extra parquet")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    table.to_parquet(path)
    read = parquet.read_table(path)
    assert read.column_names == NAMES
    assert read.to_pylist() == list(table)
    assert str(read.schema.field("metric.n").type) == "int64"
    Table.of_rows(list).to_parquet(path)
    assert parquet.read_table(path).num_rows == 0


def test_a_library_that_is_missing_is_named(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    for call, extra in (
        (table.to_pandas, "pandas"),
        (table.to_polars, "polars"),
        (lambda: table.to_parquet(tmp_path / "x"), "parquet"),
    ):
        with pytest.raises(
            CampaignError, match=rf"is not installed \(pip install 'nepiq\[{extra}\]'"
        ):
            call()
    assert list(tmp_path.iterdir()) == []


def rows_of(count: int) -> Iterator[Row]:
    for number in range(count):
        yield Row(
            "c", f"p{number}", {"x": number}, 1, number, f"r{number}", metrics={"m": number / 3}
        )


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_writing_takes_constant_memory(form: str, tmp_path: Path, need: Need) -> None:
    if form == "parquet":
        need("pyarrow", importlib.util.find_spec("pyarrow"), "the extra parquet")
    peaks = []
    for count in (5, 2100, 6300):  # the first loads what is imported
        table = Table.of_rows(lambda count=count: rows_of(count))  # type: ignore[misc]
        tracemalloc.start()
        getattr(table, f"to_{form}")(tmp_path / "rows")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1] + 1e5


def test_rows_that_come_meanwhile_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(row.to_json() + "\n" for row in ROWS[:2]))
    table = Table.read(path)
    assert len(table) == 2
    with path.open("a") as file:
        file.write(ROWS[2].to_json() + "\n")
    assert [record["run_id"] for record in table] == ["r1", "r2"]
    assert [record["run_id"] for record in Table.read(path)] == ["r1", "r2", "r3"]


def test_an_error_while_writing_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("former")
    passes = iter([ROWS, [ROWS[0], None]])
    with pytest.raises(AttributeError):
        Table.of_rows(lambda: next(passes)).to_csv(path)  # type: ignore[arg-type,return-value]
    assert path.read_text() == "former"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]


def test_what_cannot_be_written_is_named(table: Table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileMissing, match=r"cannot write .*file/rows\.csv"):
        table.to_csv(tmp_path / "file" / "rows.csv")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidValue, match="is a FIFO"):
        table.to_csv(tmp_path / "fifo")


def test_a_file_of_rows_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"rows\.jsonl: there is no such file"):
        Table.read(tmp_path / "rows.jsonl")


def test_traces_are_a_table_with_their_runs(tmp_path: Path) -> None:
    texts = {
        "r1": "time,delay,name\n1,2,a\n2,,7\n",
        "r2": "time,delay,extra\n3,2.5,true\n4,nan,false\n",
        "20261130012606123456": "time\n",
    }
    files = [(run, tmp_path / run) for run in texts]
    for run, path in files:
        path.write_text(texts[run])
    table = Table.of_traces(files)
    kinds = {column.name: column.kind.value for column in table.columns}
    assert kinds == {
        "run_id": "str",
        "time": "int",
        "delay": "float",
        "name": "str",
        "extra": "bool",
    }
    assert column(table, "run_id") == ["r1", "r1", "r2", "r2"]
    assert column(table, "time") == [1, 2, 3, 4]
    assert column(table, "delay") == [2.0, None, 2.5, None]
    assert column(table, "name") == ["a", "7", None, None]
    assert column(table, "extra") == [None, None, True, False]


@pytest.mark.parametrize(
    ("text", "problem"), [("a,b\n1,2,3\n", "more cells than the first"), ("run_id\n1\n", "run_id")]
)
def test_a_trace_that_is_no_table_is_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(CampaignError, match=rf"trace\.csv: .*{problem}"):
        len(Table.of_traces([("r1", path)]))


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=8))
def test_every_value_of_a_column_is_of_its_kind(records: list[dict[str, Any]]) -> None:
    table = Table(lambda: records, "a")
    kinds = {column.name: column.kind.value for column in table.columns}
    assert "a" in kinds
    for before, record in zip(records, table, strict=True):
        assert record.keys() == kinds.keys()
        for name, item in record.items():
            assert (item is None) == (before.get(name) is None)
            assert item is None or type(item).__name__ == kinds[name]
            if kinds[name] in ("bool", "int"):
                assert item == before.get(name)
