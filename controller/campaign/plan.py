"""Plans of campaigns: the part of a description beside its resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidValue, NepiqError, UnknownAttribute, UnknownResource, near_misses
from ..errors.text import quoted
from ..model.attributes import Flag
from ..model.durations import seconds
from ..model.locations import is_location
from .file_store import check_path
from .metrics import name_of, parse_all
from .precision import Precision
from .space import Space
from .space.misfits import Misfit, inside

if TYPE_CHECKING:
    from ..description.description import Description

PARALLEL = 8
"""Runs that are under way at the same time, if the plan does not say how many."""

HIGHEST = 100
"""The highest priority; the lowest is its negative."""

AHEAD = 1000
"""Runs that may wait for a function of the script before no further one begins."""


class Addition(NamedTuple):
    """Further points of a campaign; those that it has already are left out.

    Attributes:
        space: the points.
        repetitions: number of runs at each of them.
    """

    space: Space
    repetitions: int = 1


@dataclass(frozen=True)
class CampaignPlan:
    """The runs of a campaign.

    Attributes:
        space: the points.
        repetitions: number of runs at each point; the maximum if there is ``stop``.
        least: minimum number of runs at each point if there is ``stop``.
        added: further points, whose runs come after those of ``space``.
        seed: the seed of the order and of the seeds of runs.
        seeds: ``common`` for the same seeds at all points, ``independent`` for others at each.
        order: ``shuffled`` within blocks of one repetition of every point, or ``given``.
        stop: the precisions of metrics at which a point needs no further run.
        asks: name of the function of the script that decides it instead; empty for none.
        parallel: number of runs at the same time; None for the default.
        priority: among campaigns that wait for hosts of a pool; higher ones are first.
        timeout: seconds after which a run fails; None for no limit.
        on_failure: ``continue``, or ``pause`` to begin no run after a failed one.
        max_failures: number of failed runs at which the campaign pauses; None for no limit.
        metrics: what to measure, by name.
        collect: files to collect, by label of the resource: traces, paths in the run directory, or
            patterns.
        keep: the runs whose files are collected: ``all``, ``failed`` or ``none``.
        directories: the runs whose directories stay on hosts: ``none``, ``failed`` or ``all``.
        build: ``module:function`` that describes the runs, or the name of a function of the script
            that has described them; empty for none.
    """

    space: Space = field(default_factory=Space.grid)
    repetitions: int = 1
    least: int = 1
    added: tuple[Addition, ...] = ()
    seed: int = 1
    seeds: str = "common"
    order: str = "shuffled"
    stop: tuple[Precision, ...] = ()
    asks: str = ""
    parallel: int | None = None
    priority: int = 0
    timeout: float | None = None
    on_failure: str = "continue"
    max_failures: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    collect: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keep: str = "all"
    directories: str = "none"
    build: str = ""

    @classmethod
    def of(cls, document: Any, folder: Path | None = None) -> CampaignPlan:
        """Return the plan in a document, as below the key ``campaign`` of a description.

        Args:
            document: the JSON form.
            folder: as of :meth:`.Space.of`.

        Raises:
            InvalidValue: it is not such a document; an error inside it is a :class:`.Misfit`.
        """
        plan, misfits = cls.read(document, folder)
        if misfits:
            raise misfits[0]
        return plan

    @classmethod
    def read(
        cls, document: Any, folder: Path | None = None
    ) -> tuple[CampaignPlan, list[InvalidValue]]:
        """Return the plan in the valid parts of a document, and the errors in it."""
        if not isinstance(document, Mapping):
            return cls(), [InvalidValue("campaign must have entries", hint="write space: ...")]

        def read_space(value: Any) -> dict[str, Any]:
            return {"space": Space.of(value, folder)}

        def read_added(value: Any) -> dict[str, Any]:
            return {"added": tuple(_additions(value, folder))}

        readers = {"space": read_space, "added": read_added, **_READERS}
        values: dict[str, Any] = {}
        misfits: list[InvalidValue] = []
        for name, value in document.items():
            try:
                with inside(name, key=name not in readers):
                    if name not in readers:
                        raise InvalidValue(
                            f"unknown key {quoted(name)}", hint=partial(near_misses, name, readers)
                        )
                    values.update(readers[name](value))
            except Misfit as misfit:
                misfits.append(misfit)
        plan = cls(**values)
        return plan, misfits or list(plan._contradictions())

    @property
    def spaces(self) -> list[Space]:
        """All spaces, in the order in which they are begun."""
        return [self.space, *(addition.space for addition in self.added)]

    @property
    def runs(self) -> int:
        """Number of runs, the maximum if there is ``stop``."""
        added = sum(len(addition.space) * addition.repetitions for addition in self.added)
        return len(self.space) * self.repetitions + added

    @property
    def limits(self) -> dict[str, int | str]:
        """The limits of the campaign as the engine keeps them."""
        most = 1 if self.on_failure == "pause" else self.max_failures or ""
        limits: dict[str, int | str] = {
            "parallel": self.parallel or PARALLEL,
            "priority": self.priority,
            "max_failures": most,
            "most_failures": most,
        }
        if self.needs_script:
            # A run that a rule of stopping makes needless must not begin before it is decided.
            limits["ahead"] = 0 if self.stop or self.asks else AHEAD
        return limits

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form, without what has its default."""
        document = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != getattr(_DEFAULTS, item.name)
        }
        document["space"] = self.space.to_document()
        if self.added:
            document["added"] = [
                {"space": space.to_document(), "repetitions": repetitions}
                for space, repetitions in self.added
            ]
        if self.least > 1:
            document["repetitions"] = {"min": document.pop("least"), "max": self.repetitions}
        if self.stop:
            document["stop"] = [precision.to_document() for precision in self.stop]
        elif "asks" in document:
            document["stop"] = {"script": document.pop("asks")}
        if self.build_of_script:
            document["build"] = {"script": self.build_of_script}
        for name in ("collect", "metrics"):
            if name in document:
                document[name] = dict(document[name])
        return document

    def unknown(self, description: Description) -> Iterator[tuple[tuple[str, str], NepiqError]]:
        """Yield what metrics and files need of a description that does not have it.

        Args:
            description: the resources of a run.

        Yields:
            The key and the name in the plan, and an UnknownResource or UnknownAttribute.
        """
        for name, metric in parse_all(self.metrics).items():
            if metric.label:
                try:
                    resource = description.resource(metric.label)
                except UnknownResource as error:
                    yield ("metrics", name), error
                    continue
                attributes = resource.cls.attributes
                if metric.figure and metric.figure not in attributes:
                    known = [key for key, item in attributes.items() if _is_reported(item.flags)]
                    unknown = UnknownAttribute(metric.figure, known, where=resource.label)
                    yield ("metrics", name), unknown
        for label in self.collect:
            try:
                description.resource(label)
            except UnknownResource as error:
                yield ("collect", label), error

    @property
    def build_of_script(self) -> str:
        """The name of the function of the script that has described the runs; empty for none."""
        return "" if is_location(self.build) else self.build

    @property
    def needs_script(self) -> bool:
        """True if runs wait for a function of the script."""
        return bool(self.asks or any(item.script for item in parse_all(self.metrics).values()))

    def _contradictions(self) -> list[InvalidValue]:
        if self.least > 1 and not (self.stop or self.asks):
            return [_misfit("without stop, each point has the same number of runs", "repetitions")]
        unknown = [item.metric for item in self.stop if item.metric not in self.metrics]
        if unknown:
            hint = partial(near_misses, unknown[0], self.metrics)
            return [_misfit(f"there is no metric {quoted(unknown[0])}", "stop", hint)]
        if self.keep == "failed" and not self.collect:
            return [_misfit("without collect there are no files to keep", "keep")]
        return []


def _is_reported(flags: Flag) -> bool:
    return Flag.NO_WRITE in flags and Flag.RESERVED not in flags


def _misfit(problem: str, name: str, hint: Callable[[], str] | str = "") -> Misfit:
    misfit = Misfit(problem, where=name, hint=hint)
    misfit.path = (name,)
    return misfit


def _additions(value: Any, folder: Path | None) -> Iterator[Addition]:
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        with inside(number):
            if not isinstance(item, Mapping) or not {"space"} <= set(item) <= _OF_ADDITION:
                raise InvalidValue(
                    f"{quoted(item)} is not an addition", hint="write space and repetitions"
                )
            with inside("space"):
                space = Space.of(item["space"], folder)
            with inside("repetitions"):
                yield Addition(space, _count(item.get("repetitions", 1)))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"cannot be {quoted(value)}", hint="write a number, 1 or more")
    return value


def _repetitions(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"repetitions": _count(value)}
    for name in value:
        if name not in ("min", "max"):
            with inside(name, key=True):
                raise InvalidValue(f"unknown key {quoted(name)}", hint="write min and max")
    if "max" not in value:
        raise InvalidValue("'max' is missing")
    with inside("max"):
        most = _count(value["max"])
    with inside("min"):
        least = _count(value.get("min", 1))
        if least > most:
            raise InvalidValue(f"min cannot be {least} with max {most}")
    return {"repetitions": most, "least": least}


def _build(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and isinstance(value.get("script"), str) and len(value) == 1:
        return {"build": value["script"]}
    if not isinstance(value, str) or not is_location(value):
        raise InvalidValue(f"cannot be {quoted(value)}", hint="write module:function")
    return {"build": value}


def _seed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"cannot be {quoted(value)}", hint="write a whole number")
    return {"seed": value}


def _priority(value: Any) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > HIGHEST:
        hint = f"write a whole number, {-HIGHEST} to {HIGHEST}"
        raise InvalidValue(f"cannot be {quoted(value)}", hint=hint)
    return {"priority": value}


def _stop(value: Any) -> dict[str, Any]:
    if callable(value):
        return {"asks": name_of(value)}
    if isinstance(value, Mapping) and isinstance(value.get("script"), str) and len(value) == 1:
        return {"asks": value["script"]}
    precisions = []
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        with inside(number):
            if not isinstance(item, Mapping):
                raise InvalidValue(
                    f"{quoted(item)} is not a precision", hint="write metric: NAME, within: 5%"
                )
            precisions.append(Precision.of_document(item))
    return {"stop": tuple(precisions)}


def _metrics(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValue("metrics must have entries", hint="write NAME: WHAT, indented below it")
    for name, metric in value.items():
        with inside(name):
            parse_all({name: metric})
    return {"metrics": dict(value)}


def _collect(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValue("collect must have entries", hint="write LABEL: TRACE, or a list")
    collect = {}
    for label, traces in value.items():
        names = traces if isinstance(traces, list) else [traces]
        with inside(label):
            if not names or not all(isinstance(name, str) for name in names):
                raise InvalidValue(f"{quoted(traces)} is not a trace, nor a list of traces")
            for name in names:
                check_path(name)
        collect[label] = names
    return {"collect": collect}


def _word(name: str, *words: str) -> Callable[[Any], dict[str, Any]]:
    def read(value: Any) -> dict[str, Any]:
        if value not in words:
            raise InvalidValue(f"cannot be {quoted(value)}", hint="choose " + " or ".join(words))
        return {name: value}

    return read


_OF_ADDITION = {"space", "repetitions"}
_READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "build": _build,
    "repetitions": _repetitions,
    "seed": _seed,
    "seeds": _word("seeds", "common", "independent"),
    "order": _word("order", "shuffled", "given"),
    "stop": _stop,
    "parallel": lambda value: {"parallel": _count(value)},
    "priority": _priority,
    "timeout": lambda value: {"timeout": None if value is None else seconds(value)},
    "on_failure": _word("on_failure", "continue", "pause"),
    "max_failures": lambda value: {"max_failures": _count(value)},
    "metrics": _metrics,
    "collect": _collect,
    "keep": _word("keep", "all", "failed", "none"),
    "directories": _word("directories", "none", "failed", "all"),
}
_DEFAULTS = CampaignPlan()
