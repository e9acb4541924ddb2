"""Tables of a campaign: its rows, or the CSV traces of its runs, as one table with typed columns.

A table reads its records twice in constant memory: once for the columns and their kinds, once for
the values. Records that are added meanwhile are left out.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CampaignError
from ..errors.text import quoted
from . import flat_row as flat
from .columns import Column, Kind, columns
from .extras import library
from .row import Row, read_rows
from .samples import Text
from .whole_file import replaced

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from .comparison import Comparison

Records = Callable[[], Iterable[Mapping[str, Any]]]

#: Records in one group of a Parquet file, and thus in memory.
_BATCH = 500


class Table:
    """A table of records, with columns of one kind each.

    Whole numbers stay whole where values are missing; a column with other mixtures is text.

    Attributes:
        columns: the columns.

    Example:
        ::

            table = Table.read("results/rows.jsonl")
            table.to_csv("results/rows.csv")
            frame = table.to_pandas()
    """

    def __init__(
        self,
        records: Records,
        first: Iterable[str] = (),
        group: Callable[[str], int] = lambda name: 0,
    ) -> None:
        """Set the records.

        Args:
            records: called for each pass; returns the records, always in the same order.
            first: names of columns that exist in any case.
            group: returns the group of a column by its name. Columns are in the order of their
                groups, those of one group in the order in which they occur.
        """
        self._records = records
        self._first = tuple(first)
        self._group = group

    @classmethod
    def of_rows(cls, rows: Callable[[], Iterable[Row]]) -> Table:
        """Return the table of the rows of a campaign, a record a run.

        Parameters have columns of their own names, hosts ``host.<role>`` and metrics
        ``metric.<name>``. A parameter whose name is that of another column is
        ``parameter.<name>``.

        Args:
            rows: called for each pass; returns the rows.
        """
        return cls(lambda: map(flat.record_of, rows()), flat.FIXED, flat.group)

    @classmethod
    def read(cls, path: str | Path) -> Table:
        """Return the table of a file of rows; see :func:`.row.read_rows`.

        Raises:
            CampaignError: the file does not exist.
        """
        if not Path(path).is_file():
            raise CampaignError("there is no such file of rows", where=str(path))
        return cls.of_rows(lambda: read_rows(path))

    @classmethod
    def of_traces(cls, files: Iterable[tuple[str, str | Path]]) -> Table:
        """Return the table of CSV traces, with the id of the run in the first column, ``run_id``.

        The first line of each has the names of its columns. The rows of a campaign and this table
        are joined by ``run_id``.

        Args:
            files: pairs of a run and its file.
        """
        paths = list(files)
        return cls(lambda: _trace_records(paths), ["run_id"])

    @cached_property
    def _shape(self) -> tuple[list[Column], int]:
        found, count = columns(self._records(), self._first)
        return sorted(found, key=lambda column: self._group(column.name)), count

    @property
    def columns(self) -> list[Column]:  # noqa: D102 - an attribute of the class
        return self._shape[0]

    @property
    def parameters(self) -> list[str]:
        """The names of the columns that have the parameters of points."""
        return [
            column.name for column in self.columns if self._group(column.name) == flat.PARAMETERS
        ]

    def __len__(self) -> int:
        return self._shape[1]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records with all columns; None for missing values."""
        kinds = [(column.name, column.kind.convert) for column in self.columns]
        for record in islice(self._records(), len(self)):
            yield {name: convert(record.get(name)) for name, convert in kinds}

    def compare(self, by: str, **options: Any) -> Comparison:
        """Return the differences between the values of a parameter; see :func:`.compare`."""
        from .comparison import compare

        return compare(self, by=by, **options)

    # -- files --------------------------------------------------------------------------------

    def to_csv(self, path: str | Path) -> None:
        """Write the table as CSV; missing values are empty, truth values ``true`` and ``false``.

        Raises:
            FileMissing: it cannot be written.
        """
        names = [column.name for column in self.columns]
        with replaced(path) as binary:
            file = io.TextIOWrapper(binary, "utf-8", newline="")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            for record in self:
                writer.writerow([_cell(value) for value in record.values()])
            file.detach()

    def to_jsonl(self, path: str | Path) -> None:
        """Write the table as one JSON object a line; missing values are ``null``.

        Raises:
            FileMissing: it cannot be written.
        """
        with replaced(path) as file:
            for record in self:
                text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
                file.write(text.encode() + b"\n")

    def to_parquet(self, path: str | Path) -> None:
        """Write the table as Parquet; needs the extra ``parquet``.

        Raises:
            CampaignError: pyarrow is not installed.
            FileMissing: it cannot be written.
        """
        arrow, parquet = library("pyarrow", "parquet"), library("pyarrow.parquet", "parquet")
        types = {
            Kind.BOOL: arrow.bool_(),
            Kind.INT: arrow.int64(),
            Kind.FLOAT: arrow.float64(),
            Kind.STR: arrow.string(),
        }
        schema = arrow.schema([(column.name, types[column.kind]) for column in self.columns])
        with (
            replaced(path) as file,
            parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            records = iter(self)
            while batch := list(islice(records, _BATCH)):
                writer.write_table(arrow.Table.from_pylist(batch, schema=schema))

    # -- frames -------------------------------------------------------------------------------

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a DataFrame of pandas; needs the extra ``pandas``.

        Its columns are of the types that know missing values: Int64, boolean, string; float64.

        Raises:
            CampaignError: pandas is not installed.
        """
        pandas = library("pandas", "pandas")
        types = {
            Kind.BOOL: "boolean",
            Kind.INT: "Int64",
            Kind.FLOAT: "float64",
            Kind.STR: "string",
        }
        kinds = {column.name: types[column.kind] for column in self.columns}
        return pandas.DataFrame(
            {
                name: pandas.Series(values, dtype=kinds[name])
                for name, values in self._values().items()
            }
        )

    def to_polars(self) -> pl.DataFrame:
        """Return the table as a DataFrame of polars; needs the extra ``polars``.

        Raises:
            CampaignError: polars is not installed.
        """
        polars = library("polars", "polars")
        types = {
            Kind.BOOL: polars.Boolean,
            Kind.INT: polars.Int64,
            Kind.FLOAT: polars.Float64,
            Kind.STR: polars.String,
        }
        schema = {column.name: types[column.kind] for column in self.columns}
        frame: pl.DataFrame = polars.DataFrame(self._values(), schema=schema)
        return frame

    def _values(self) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {column.name: [] for column in self.columns}
        for record in self:
            for name, value in record.items():
                values[name].append(value)
        return values


def _trace_records(files: Iterable[tuple[str, str | Path]]) -> Iterator[dict[str, Any]]:
    for run_id, path in files:
        try:
            with Path(path).open(newline="", encoding="utf-8", errors="replace") as file:
                for cells in csv.DictReader(file):
                    yield _trace_record(run_id, cells, path)
        except OSError as error:
            raise CampaignError(f"cannot read it: {error.strerror}", where=str(path)) from error
        except csv.Error as error:
            raise CampaignError(f"not CSV: {error}", where=str(path)) from error


def _trace_record(run_id: str, cells: Mapping[Any, Any], path: str | Path) -> dict[str, Any]:
    if None in cells:
        raise CampaignError(
            f"a line has more cells than the first: {quoted(cells)}", where=str(path)
        )
    if "run_id" in cells:
        raise CampaignError("it has a column run_id of its own", where=str(path))
    values = {name: Text(value) for name, value in cells.items() if value is not None}
    return {"run_id": run_id, **values}


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
