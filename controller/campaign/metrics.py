r"""Metrics: values that are read from each ended run of a campaign.

A metric is data, so that it can be written in a description file and evaluated on a worker::

    metrics = {
        "rtt": Metric("ping", figure="rttAvg"),
        "rate": Metric("server", "report.json", jsonpath="$.end.sum_received.bits_per_second"),
        "hops": Metric("trace", "stdout", regex=r"^ *(\d+) ", take="last"),
        "delay": Metric("simulation", "flows", csv="meanDelay", take="mean"),
        "fairness": Metric(function="my_metrics:fairness"),
    }
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import (
    HostUnreachable,
    InfrastructureError,
    InvalidValue,
    NepiqError,
    near_misses,
)
from ..errors.text import LONGEST_VALUE, one_line, quoted
from ..model.locations import import_location, is_location
from ..model.names import check_name
from . import samples

if TYPE_CHECKING:
    from jsonpath import CompoundJSONPath, JSONPath

    from .row import Value

#: Largest trace that is read for a metric, in bytes.
LARGEST = 16 << 20

_FORMS = ("figure", "regex", "jsonpath", "csv", "function", "script")


class View(Protocol):
    """The part of an ExperimentController that metrics need."""

    def get(self, guid: str, name: str, /) -> Any:
        """Return the value of an attribute."""

    def trace(self, guid: str, name: str, /, attr: str, block: int, offset: int, text: bool) -> Any:
        """Return a block of an output."""


class NoValue(Exception):
    """A run has no value of a metric; the text is the reason."""


@dataclass(frozen=True)
class Metric:
    r"""A value to read from each ended run.

    Exactly one of ``figure``, ``regex``, ``jsonpath``, ``csv``, ``function`` and ``script`` is
    given.

    Attributes:
        label: label of the resource; empty for a function.
        trace: name of the trace, or path of a file in the run directory; empty for a figure or
            function.
        figure: an attribute that the resource reports, such as ``rttAvg`` of linux::Ping.
        regex: regular expression (Python's), in which ``^`` and ``$`` match at lines. The value
            is the text of its group, or of all of it.
        jsonpath: JSONPath (RFC 9535) into a trace in JSON, such as ``$.end.sum.seconds``.
        csv: name of a column of a trace in CSV whose first line has the names.
        function: ``module:function``. It is imported on the worker, and called with the experiment.
        script: name of a function of the script, which only a process that has it can call.
        take: the value if several match: ``only`` (several are an error), ``first``, ``last``,
            ``mean``, ``median``, ``min``, ``max``, ``sum`` or ``count``.
        kind: ``int``, ``float``, ``str`` or ``bool``; empty to read text as a number if it is one.

    Raises:
        InvalidValue: the combination or one of the values is invalid.
    """

    label: str = ""
    trace: str = ""
    figure: str = ""
    regex: str = ""
    jsonpath: str = ""
    csv: str = ""
    function: str = ""
    script: str = ""
    take: str = samples.ONLY
    kind: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            if not isinstance(getattr(self, item.name), str):
                raise InvalidValue(f"{item.name} of a metric must be text")
        if len(self._given) != 1:
            given = " and ".join(self._given) or "none"
            raise InvalidValue(f"a metric needs exactly one of {', '.join(_FORMS)}: it has {given}")
        self._check_place()
        if self.take not in samples.TAKES:
            raise InvalidValue(
                f"take of a metric cannot be {quoted(self.take)}",
                hint=f"choose one of {', '.join(samples.TAKES)}",
            )
        if self.kind and self.kind not in samples.KINDS:
            raise InvalidValue(
                f"kind of a metric cannot be {quoted(self.kind)}",
                hint=f"choose one of {', '.join(samples.KINDS)}",
            )
        if self.regex:
            _pattern(self.regex)
        elif self.jsonpath:
            _query(self.jsonpath)

    @classmethod
    def parse(cls, data: object) -> Metric:
        """Return a metric from what stands for it.

        Args:
            data: :meth:`to_data`, ``label.figure``, ``module:function``, or a function.

        Raises:
            InvalidValue: it is not a metric.
        """
        if isinstance(data, Metric):
            return data
        if callable(data):
            return cls(script=name_of(data))
        if isinstance(data, str):
            if is_location(data):
                return cls(function=data)
            label, dot, name = data.rpartition(".")
            if dot and label and name:
                return cls(label, figure=name)
            raise InvalidValue(
                f"a metric cannot be {quoted(data)}", hint="write label.figure or module:function"
            )
        if not isinstance(data, Mapping):
            raise InvalidValue(f"a metric cannot be {quoted(data)}")
        known = [item.name for item in fields(cls)]
        for name in data:
            if name not in known:
                raise InvalidValue(f"a metric has no {quoted(name)}", hint=near_misses(name, known))
        return cls(**data)

    def to_data(self) -> dict[str, str]:
        """Return the metric as JSON data, without what is empty or the default."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if value and (name, value) != ("take", samples.ONLY)
        }

    # -- inside -------------------------------------------------------------------------------

    @property
    def _given(self) -> list[str]:
        return [name for name in _FORMS if getattr(self, name)]

    def _check_place(self) -> None:
        (form,) = self._given
        if form in ("function", "script"):
            if self.label or self.trace:
                raise InvalidValue(f"a metric with {form} has neither label nor trace")
            if self.function and not is_location(self.function):
                raise InvalidValue(
                    f"function of a metric cannot be {quoted(self.function)}",
                    hint="write function=module:function",
                )
            return
        check_name("label", self.label)
        if (form == "figure") == bool(self.trace):
            problem = "has no trace" if form == "figure" else "needs the name of a trace"
            raise InvalidValue(f"a metric with {form} {problem}", where=self.label)


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function of a script, for people."""
    return one_line(getattr(function, "__qualname__", type(function).__name__))


def parse_all(data: Mapping[str, object]) -> dict[str, Metric]:
    """Return the metrics of a campaign by name.

    Raises:
        InvalidValue: a name or metric is invalid; ``where`` has the name.
    """
    metrics = {}
    for name, value in data.items():
        check_name("the name of a metric", name)
        try:
            metrics[name] = Metric.parse(value)
        except InvalidValue as error:
            raise error.at(f"metric {name}") from error
    return metrics


@dataclass(frozen=True)
class Measured:
    """The metrics of one run.

    Attributes:
        values: the values by name; None if the run has none.
        reasons: why there is no value, by name.
    """

    values: Mapping[str, Value]
    reasons: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())


def evaluate(metrics: Mapping[str, Metric], ec: View) -> Measured:
    """Read the metrics of an ended run. Each trace is read once.

    Args:
        metrics: the metrics by name.
        ec: the experiment of the run.

    Raises:
        HostUnreachable: the host that has a trace does not answer.
        InfrastructureError: Redis does not answer.
    """
    traces: dict[tuple[str, str], _Trace] = {}
    values: dict[str, Value] = {}
    reasons = {}
    for name, metric in metrics.items():
        place = metric.label, metric.trace
        try:
            if place not in traces:
                traces[place] = _Trace(ec, *place)
            values[name] = _value(metric, ec, traces[place])
        except (HostUnreachable, InfrastructureError):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - nor may a function end a worker
            values[name] = None
            expected = isinstance(error, NoValue | NepiqError)
            text = str(error) if expected else f"{type(error).__name__}: {error}"
            reasons[name] = one_line(text, 2 * LONGEST_VALUE)
    return Measured(values, reasons)


def _value(metric: Metric, ec: View, trace: _Trace) -> Value:
    if metric.function:
        place, values = metric.function, [load(metric.function)(ec)]
    elif metric.figure:
        place = f"{metric.figure} of {metric.label}"
        values = [ec.get(metric.label, metric.figure)]
    else:
        place, values = str(trace), list(_matches(metric, trace))
        if not values and metric.take != samples.COUNT:
            pattern = metric.regex or metric.jsonpath or metric.csv
            raise NoValue(f"nothing in {place} matches {pattern}")
    try:
        value = samples.take(values, metric.take, metric.kind)
    except ValueError as error:
        raise NoValue(f"{place}: {error}") from error
    if value is None:
        raise NoValue(f"{place} has no value")
    return value


def _matches(metric: Metric, trace: _Trace) -> Iterator[object]:
    """Yield the values in a trace, those of text as text."""
    if metric.regex:
        for match in _pattern(metric.regex).finditer(trace.text):
            if (text := match[match.re.groups]) is not None:
                yield samples.Text(text)
    elif metric.jsonpath:
        for node in _query(metric.jsonpath).finditer(trace.json):
            yield node.obj
    else:
        yield from map(samples.Text, filter(None, trace.column(metric.csv)))


def load(place: str) -> Callable[[Any], Any]:
    """Return the function at ``module:function``.

    Raises:
        InvalidValue: it cannot be imported, or is not a function.
    """
    try:
        value = import_location(place)
    except Exception as error:
        raise InvalidValue(
            f"the metric {place} cannot be imported: {type(error).__name__}: {error}",
            hint="install its module where the workers run",
        ) from error
    if not callable(value):
        raise InvalidValue(f"the metric {place} is not a function")
    return value  # type: ignore[no-any-return]


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidValue(f"regex of a metric cannot be {quoted(text)}: {error}") from error
    if pattern.groups > 1:
        raise InvalidValue(
            f"regex of a metric has {pattern.groups} groups: {quoted(text)}",
            hint="write one group around the value, and (?:...) for others",
        )
    return pattern


@lru_cache(256)
def _query(text: str) -> JSONPath | CompoundJSONPath:
    import jsonpath

    try:
        return jsonpath.compile(text, strict=True)
    except Exception as error:
        problem = str(error).partition("\n")[0]
        raise InvalidValue(
            f"jsonpath of a metric cannot be {quoted(text)}: {problem}",
            hint="write it as in RFC 9535, such as $.end.sum.seconds",
        ) from error


class _Trace:
    """A trace of a run, read when it is first used."""

    def __init__(self, ec: View, label: str, name: str) -> None:
        self._ec = ec
        self._label, self._name = label, name

    def __str__(self) -> str:
        return f"{self._name} of {self._label}"

    @property
    def text(self) -> str:
        """Its content.

        Raises:
            TraceNotFound: there is no such trace.
            NoValue: it is too large.
        """
        if isinstance(self._content, Exception):
            raise self._content
        return self._content

    @cached_property
    def _content(self) -> str | Exception:
        try:
            data = self._ec.trace(self._label, self._name, "stream", LARGEST + 1, 0, False)
        except (HostUnreachable, InfrastructureError):
            raise
        except NepiqError as error:
            return error
        if len(data) > LARGEST:
            return NoValue(f"{self} has more than {LARGEST >> 20} MiB")
        return str(data, "utf-8", "replace")

    @cached_property
    def json(self) -> Any:
        """Its content as a JSON document."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise NoValue(f"{self} is not JSON: {error}") from error

    def column(self, name: str) -> Iterator[str]:
        """Yield the cells of a column of its CSV."""
        try:
            header, *rows = self._cells
        except ValueError:
            raise NoValue(f"{self} is empty") from None
        if name not in header:
            hint = near_misses(name, header)
            raise NoValue(f"{self} has no column {quoted(name)}" + (f" ({hint})" if hint else ""))
        at = header.index(name)
        return (row[at] for row in rows if len(row) > at)

    @cached_property
    def _cells(self) -> list[list[str]]:
        try:
            return [row for row in csv.reader(io.StringIO(self.text, newline="")) if row]
        except csv.Error as error:
            raise NoValue(f"{self} is not CSV: {error}") from error
