"""The row of a campaign: one ended run, with its point, its hosts, its outcome and its metrics.

As JSON a row is one line, with full names and without what is empty::

    {"campaign":"wifi","point":"3f2a9c81","parameters":{"rate":54},"repetition":1,"seed":7,
     "run_id":"2026...","hosts":{"ap":"fit01"},"began":1796000000.123,"ended":1796000012.345,
     "outcome":"finished","attempts":1,"metrics":{"rtt":10.2}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CampaignError
from ..errors.text import one_line, quoted
from .flat_row import fields_of, is_flat

FINISHED, FAILED, CANCELLED = "finished", "failed", "cancelled"

OUTCOMES = (FINISHED, FAILED, CANCELLED)

#: The value of a metric; None if the run has none.
Value = float | int | str | bool | None

#: Maximum length of ``cause`` and of ``error`` in characters.
LONGEST_TEXT = 200


@dataclass(frozen=True)
class Row:
    """One ended run of a campaign.

    Attributes:
        campaign: name of the campaign.
        point: id of the point.
        parameters: values of the parameters of the point, JSON values.
        repetition: number of the repetition, counted from 1.
        seed: seed of the run.
        run_id: id of the run.
        hosts: names of the hosts by role.
        began: begin of the run in seconds since the epoch, to a millisecond; None if it never
            began.
        ended: end of the run, likewise.
        outcome: ``finished``, ``failed`` or ``cancelled``.
        cause: text of the cause of a failure, by which runs are counted; else empty. Longer text
            is truncated.
        attempts: number of runs that this repetition needed, free ones included.
        metrics: values of the metrics. A number that is not finite becomes None.
        error: the error of this run, or the reasons of missing metrics; else empty. Longer text is
            truncated.
        files_on: name of the worker machine that keeps its files; empty if none were collected.

    Raises:
        CampaignError: the outcome is unknown.
    """

    campaign: str
    point: str
    parameters: Mapping[str, Any]
    repetition: int
    seed: int
    run_id: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    began: float | None = None
    ended: float | None = None
    outcome: str = FINISHED
    cause: str = ""
    attempts: int = 1
    metrics: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""
    files_on: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise CampaignError(f"the outcome of a run cannot be {quoted(self.outcome)}")
        metrics = {name: _finite(value) for name, value in self.metrics.items()}
        for name, value in (
            ("began", None if self.began is None else round(self.began, 3)),
            ("ended", None if self.ended is None else round(self.ended, 3)),
            ("cause", one_line(self.cause, LONGEST_TEXT)),
            ("error", one_line(self.error, LONGEST_TEXT)),
            ("metrics", metrics),
        ):
            object.__setattr__(self, name, value)

    @property
    def duration(self) -> float | None:
        """Seconds from begin to end; None if either is missing."""
        if self.began is None or self.ended is None:
            return None
        return self.ended - self.began

    def to_json(self) -> str:
        """Return the row as one line of JSON, without a newline.

        Raises:
            CampaignError: a parameter is not a JSON value.
        """
        values = {name: getattr(self, name) for name in _FIELDS}
        data = {
            name: value
            for name, value in values.items()
            if name in _REQUIRED or value not in _EMPTY
        }
        try:
            return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CampaignError(
                f"a parameter cannot be kept in a row: {error}", where=f"point {self.point}"
            ) from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Row:
        """Return the row that :meth:`to_json` wrote, or a table of rows as JSON.

        Unknown fields are ignored.

        Raises:
            CampaignError: the text is not a row.
        """
        try:
            data = json.loads(text)
            if is_flat(data):
                data = fields_of(data)
            kept = {name: data[name] for name in _FIELDS if name in data}
            for name, kind in _KINDS.items():
                if name in kept and not isinstance(kept[name], kind):
                    raise TypeError(f"{name} cannot be {quoted(kept[name])}")
            return cls(**{"parameters": {}, **kept})
        except (ValueError, TypeError, KeyError) as error:
            raise CampaignError(f"not a row of a campaign: {error}") from error


_FIELDS = tuple(Row.__dataclass_fields__)
_REQUIRED = ("campaign", "point", "repetition", "seed", "run_id")
#: Left out of JSON: each is the default of its field.
_EMPTY: tuple[object, ...] = (None, "", {})
_KINDS: dict[str, type | tuple[type, ...]] = {
    "campaign": str,
    "point": str,
    "parameters": dict,
    "repetition": int,
    "seed": int,
    "run_id": str,
    "hosts": dict,
    "began": (int, float),
    "ended": (int, float),
    "outcome": str,
    "cause": str,
    "attempts": int,
    "metrics": dict,
    "error": str,
    "files_on": str,
}


def read_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a file with one row a line, in constant memory.

    A last line without a newline is left out: its writer was killed, or is writing it.

    Raises:
        CampaignError: the file cannot be read, or a line is not a row.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield Row.from_json(line)
                except CampaignError as error:
                    raise error.at(f"{path}:{number}") from error
    except OSError as error:
        raise CampaignError(f"cannot read rows: {error.strerror}", where=str(path)) from error


def _finite(value: Value) -> Value:
    return None if isinstance(value, float) and not math.isfinite(value) else value
