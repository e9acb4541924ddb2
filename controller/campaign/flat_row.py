"""Rows with one level, as tables have them.

Parameters have their own names, hosts ``host.<role>`` and metrics ``metric.<name>``. A parameter
whose name is that of another column is ``parameter.<name>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .row import Row

_BEFORE_PARAMETERS = ("campaign", "point")
_BEFORE_HOSTS = ("repetition", "seed", "run_id")
_BEFORE_METRICS = ("began", "ended", "outcome", "cause", "attempts")
_LAST = ("error",)
FIXED = (*_BEFORE_PARAMETERS, *_BEFORE_HOSTS, *_BEFORE_METRICS, *_LAST)
"""The fields that each record has."""

_NAMES = frozenset(FIXED)

PARAMETERS = 1
"""The group of the parameters."""

#: The groups of columns in their order; the columns of a prefix are between two of them.
_GROUPS = {
    **dict.fromkeys(_BEFORE_PARAMETERS, 0),
    **dict.fromkeys(_BEFORE_HOSTS, 2),
    **dict.fromkeys(_BEFORE_METRICS, 4),
    **dict.fromkeys(_LAST, 6),
}
_PARTS = {"parameter.": "parameters", "host.": "hosts", "metric.": "metrics"}


def group(name: str) -> int:
    """Return the group of a column, by which columns are ordered."""
    if name in _GROUPS:
        return _GROUPS[name]
    if name.startswith("host."):
        return 3
    return 5 if name.startswith("metric.") else PARAMETERS


def record_of(row: Row) -> dict[str, Any]:
    """Return a row as a record with one level."""
    record = {name: getattr(row, name) for name in FIXED}
    for name, value in row.parameters.items():
        taken = name in _GROUPS or name.startswith(tuple(_PARTS))
        record[f"parameter.{name}" if taken else name] = value
    record.update({f"host.{role}": host for role, host in row.hosts.items()})
    record.update({f"metric.{name}": value for name, value in row.metrics.items()})
    return record


def is_flat(data: object) -> bool:
    """Return whether a JSON value is a record with one level, and not a row as it is kept."""
    if not isinstance(data, dict) or not data.keys() >= _NAMES:
        return False
    return not any(isinstance(value, dict) for value in data.values())


def fields_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the row of which a table has a record, without missing values."""
    fields: dict[str, Any] = {"parameters": {}, "hosts": {}, "metrics": {}}
    for name, value in record.items():
        if value is None:
            continue
        prefix, dot, rest = name.partition(".")
        part = _PARTS.get(prefix + dot)
        if part:
            fields[part][rest] = value
        elif name in _GROUPS:
            fields[name] = value
        else:
            fields["parameters"][name] = value
    return fields
