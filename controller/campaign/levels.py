"""Levels: the runs of campaigns, divided by what a comparison compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import CampaignError, InvalidValue, near_misses
from ..errors.text import quoted
from .blocks import Runs
from .columns import Kind
from .row import FINISHED
from .space.points import canonical, order
from .table import Table

#: By point and repetition the record of a run.
_Records = dict[str, dict[int, Mapping[str, Any]]]


class Levels:
    """The finished runs of some levels.

    A parameter that has one value at each level is a part of the level. The others are the point.

    Args:
        levels: the records of each level, by its value or name.
        tables: the tables of the records.
        each: parameters that divide points into groups.
        by: the parameter that has the levels; empty for campaigns.

    Attributes:
        names: the levels.
        groups: the values of ``each``; an empty one if ``each`` is empty.
        confounded: parameters that are a part of the level, and differ between levels.
        failed: number of runs that did not finish.

    Raises:
        InvalidValue: a parameter does not exist.
        CampaignError: a level has no finished run.
    """

    def __init__(
        self,
        levels: Mapping[Any, Iterable[Mapping[str, Any]]],
        tables: Sequence[Table],
        each: Sequence[str],
        by: str,
    ) -> None:
        self.names = list(levels)
        self.failed = 0
        finished = {name: list(self._finished(records)) for name, records in levels.items()}
        for name, records in finished.items():
            if not records:
                raise CampaignError(f"no run of {quoted(name)} has finished")
        parameters = [name for name in _parameters(tables) if name != by]
        for name in each:
            _check("parameter", name, parameters)
        own = {name: _values(finished.values(), name) for name in parameters}
        fixed = [name for name, values in own.items() if all(len(item) == 1 for item in values)]
        self.confounded = [name for name in fixed if len(set.union(*own[name])) > 1]
        self._each = each
        self._varied = [name for name in parameters if name not in fixed and name not in each]
        self._runs = {name: self._divide(records) for name, records in finished.items()}
        keys: dict[str, Mapping[str, Any]] = {}
        for runs in self._runs.values():
            for key, (values, _) in runs.items():
                keys.setdefault(key, values)
        self.groups = sorted(keys.values(), key=lambda group: list(map(order, group.values())))

    def runs(self, level: Any, group: Mapping[str, Any], metric: str) -> Runs:
        """Return the values of a metric at a level, by point and repetition."""
        _, points = self._runs[level].get(_key(group.values()), ({}, {}))
        return {
            point: {
                repetition: (record["seed"], float(record[metric]))
                for repetition, record in records.items()
                if record[metric] is not None
            }
            for point, records in points.items()
        }

    def _finished(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        for record in records:
            if record["outcome"] == FINISHED:
                yield record
            else:
                self.failed += 1

    def _divide(
        self, records: Iterable[Mapping[str, Any]]
    ) -> dict[str, tuple[Mapping[str, Any], _Records]]:
        groups: dict[str, tuple[Mapping[str, Any], _Records]] = {}
        for record in records:
            group = {name: record.get(name) for name in self._each}
            _, points = groups.setdefault(_key(group.values()), (group, defaultdict(dict)))
            point = _key(record.get(name) for name in self._varied)
            points[point][record["repetition"]] = record
        return groups


def by_value(table: Table, name: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Return the records of a table by the values of a parameter, in the order of these.

    Raises:
        InvalidValue: there is no such parameter.
        CampaignError: it has only one value.
    """
    _check("parameter", name, _parameters([table]))
    levels: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for record in table:
        if record[name] is not None:
            levels[record[name]].append(record)
    if len(levels) < 2:
        raise CampaignError(f"parameter {name!r} has fewer than two values: nothing to compare")
    return {value: levels[value] for value in sorted(levels, key=order)}


def by_campaign(first: Table, second: Table) -> dict[Any, list[Mapping[str, Any]]]:
    """Return the records of two tables by the names of their campaigns."""
    records: list[list[Mapping[str, Any]]] = [list(first), list(second)]
    names = [items[0]["campaign"] if items else "" for items in records]
    if names[0] == names[1]:
        names = ["first", "second"]
    return dict(zip(names, records, strict=True))


def metrics_of(tables: Sequence[Table], names: Sequence[str]) -> dict[str, str]:
    """Return the columns of metrics by name.

    Args:
        tables: the tables, each of which must have them.
        names: the metrics; empty for all that are numbers or truth values.

    Raises:
        InvalidValue: a metric does not exist, or is text.
        CampaignError: there are no metrics.
    """
    known = _metrics(tables)
    for name in names:
        _check("metric", name, known)
    numbers = numeric_metrics(tables)
    for name in names:
        if name not in numbers:
            raise InvalidValue(f"metric {name!r} is text: only numbers can be compared")
    chosen = {name: known[name] for name in names or numbers}
    if not chosen:
        raise CampaignError("there are no metrics to compare")
    return chosen


def numeric_metrics(tables: Sequence[Table]) -> list[str]:
    """Return the names of the metrics that are numbers or truth values in all tables."""
    kinds = [{column.name: column.kind for column in table.columns} for table in tables]
    return [
        name
        for name, column in _metrics(tables).items()
        if all(kind[column] is not Kind.STR for kind in kinds)
    ]


_METRIC = "metric."


def _metrics(tables: Sequence[Table]) -> dict[str, str]:
    """Return the columns of the metrics that all tables have, by name."""
    columns = [[column.name for column in table.columns] for table in tables]
    return {
        column.removeprefix(_METRIC): column
        for column in columns[0]
        if column.startswith(_METRIC) and all(column in other for other in columns)
    }


def _parameters(tables: Sequence[Table]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table.parameters))


def _check(noun: str, name: str, known: Iterable[str]) -> None:
    known = list(known)
    if name not in known:
        raise InvalidValue(f"unknown {noun} {quoted(name)}", hint=near_misses(name, known))


def _values(levels: Iterable[Iterable[Mapping[str, Any]]], name: str) -> list[set[str]]:
    return [{canonical(record.get(name)) for record in records} for records in levels]


def _key(values: Iterable[Any]) -> str:
    return canonical(list(values))
