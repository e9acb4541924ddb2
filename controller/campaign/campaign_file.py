"""Files of campaigns: a description with places, and the plan beside its resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..description.description import Description
from ..description.files.positions import Findings
from ..description.files.reader import CAMPAIGN, Draft, build
from ..description.files.store import draft_of, name_of
from ..errors import (
    DescriptionError,
    DocumentError,
    InvalidValue,
    NepiqError,
    NotAllowed,
)
from ..errors.text import one_line, quoted
from ..model import registry
from ..model.parameters import OF_RUNS
from ..settings import Settings
from .filling import Path as DataPath
from .plan import CampaignPlan
from .space import Point, Space, point_id, run_seed
from .space.documents import mentioned
from .space.formula import imported
from .space.misfits import Misfit
from .space.points import canonical
from .template import Template

if TYPE_CHECKING:
    from .build import Build

#: Points that are looked at for values to check, and those that are built at most.
_SCANNED, _BUILT = 5000, 100
_SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_QUOTED = re.compile(r"\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)')\s*")


@dataclass(frozen=True)
class CampaignFile:
    """A campaign as read from a file.

    Attributes:
        exp_id: the name of the experiment.
        template: its description, with places.
        plan: its runs.
        warnings: parameters without a use, and the like.
        folder: the folder of the file.
        build: the function that describes its runs; None if the template does.
    """

    exp_id: str
    template: Template
    plan: CampaignPlan
    warnings: list[str]
    folder: Path = Path()
    build: Build | None = None

    def describe(self, index: int, repetition: int) -> Description:
        """Return the description of a run; the arguments are those of :meth:`values`.

        Raises:
            NepiqError: the run cannot be described.
        """
        if script := self.plan.build_of_script:
            raise NotAllowed(f"the runs are described by {script}, a function of a script")
        values = self.values(index, repetition)
        if self.build is not None:
            return self.build.describe(self.exp_id, self.template, values)
        return self.template.describe(values)

    def values(self, index: int, repetition: int) -> Point:
        """Return the values for the template of a run, its seed and repetition among them.

        Args:
            index: the point in the space.
            repetition: the repetition, from 0; ``${repetition}`` counts from 1.
        """
        point = self.plan.space[index]
        own = point_id(point) if self.plan.seeds == "independent" else None
        seed = run_seed(self.plan.seed, repetition, own)
        return {**point, "seed": seed, "repetition": repetition + 1}


def read(
    path: str | Path, settings: Iterable[str] = (), repetitions: int | None = None
) -> CampaignFile:
    """Return the campaign in a file, checked at its first, its last, and some other points.

    The points are chosen so that each value of a parameter is checked, within limits.

    Args:
        path: the file, YAML or JSON.
        settings: values of parameters as on the command line, ``rate=1,2,5``. They replace those
            of the file, and may be all that there is.
        repetitions: number of runs at each point, in place of what the file says about it.

    Raises:
        DocumentError: all errors of the file, with lines and columns.
        InvalidValue: the file cannot be read, or a setting is invalid.
    """
    registry.load_imports(Settings.from_environment().imports)
    given = settings_of(settings)
    draft = draft_of(path, None)
    section = draft.take(CAMPAIGN)
    data = draft.data()
    plan = _plan(section, Path(path).parent, draft.findings, given=bool(given))
    # Without the space of the file it is not known which names are parameters.
    has_space = section is None or bool(plan.space.parameters)
    plan = replace(plan, space=plan.space.replace(given))
    if repetitions is not None:
        plan = replace(plan, repetitions=repetitions, least=1, stop=())
    exp_id = draft.exp_id or name_of(path) or "experiment"
    parameters = [name for space in plan.spaces for name in space.parameters]
    template = Template(data if isinstance(data, dict) else {}, parameters)
    if has_space:
        _check_names(template, draft.findings)
    function = None if plan.build_of_script else _function(plan.build, draft.findings)
    draft.findings.check()
    if not isinstance(data, dict):
        draft.fill(Description(exp_id))  # reports that it is not a description
    try:
        if not len(plan.space):
            raise InvalidValue("the space has no points")
        if not plan.build_of_script:  # which described the points when it was submitted
            _check_points(template, plan, draft, exp_id, function)
    except InvalidValue as error:
        draft.findings.add(error, (CAMPAIGN, "space"))
        draft.findings.check()
    warnings = [] if plan.build else _warnings(template, plan.spaces)
    return CampaignFile(exp_id, template, plan, warnings, Path(path).parent, function)


def is_campaign(path: str | Path) -> bool:
    """Return whether a file has the description of a campaign; False if it is not readable."""
    try:
        return draft_of(path, None).take(CAMPAIGN) is not None
    except NepiqError:
        return False


def settings_of(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of parameters in settings of a command line.

    A setting is ``NAME=VALUE,VALUE,...`` or ``NAME=RULE(...)``, as ``rate=1,2,5``,
    ``mode=tcp,"udp, fast"`` and ``n=range(1,9)``. Values are typed as plain scalars of YAML are,
    and are text in quotes.

    Raises:
        InvalidValue: a setting has another form, or a parameter is set twice.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        match = _SETTING.fullmatch(setting)
        if match is None:
            raise InvalidValue(f"{quoted(setting)} sets no parameter", hint="write rate=1,2,5")
        if match[1] in values:
            raise InvalidValue(f"parameter {quoted(match[1])} is set twice")
        values[match[1]] = _setting_values(match[2])
    return values


def _setting_values(text: str) -> Any:
    from ..description.files.yaml_format import resolve
    from .space.axes import RULES
    from .space.calls import parse_call

    if parse_call(text, RULES)[0]:
        return text
    values, rest = [], text
    while True:
        match = _QUOTED.match(rest)
        if match is not None and rest[match.end() : match.end() + 1] in ("", ","):
            double, single = match.groups()
            values.append(re.sub(r"\\(.)", r"\1", double) if single is None else single)
            rest = rest[match.end() :]
        else:
            word, comma, after = rest.partition(",")
            values.append(resolve(word.strip()))
            rest = comma + after
        if not rest:
            return values
        rest = rest[1:]


# -- checks -------------------------------------------------------------------------------------


def _plan(section: Any, folder: Path, findings: Findings, *, given: bool) -> CampaignPlan:
    if section is None:
        if not given:
            problem = f"{CAMPAIGN!r} is missing"
            findings.add(DescriptionError(problem, hint="write the space of points below it"))
        return CampaignPlan()
    plan, misfits = CampaignPlan.read(section, folder)
    for misfit in misfits:
        path: DataPath = (CAMPAIGN,)
        key = False
        if isinstance(misfit, Misfit):
            path, key = (*path, *misfit.path), misfit.key
        if misfit.where:
            misfit.message = f"{misfit.where}: {misfit.message}"
        findings.add(misfit, path, key=key)
    return plan


def _check_names(template: Template, findings: Findings) -> None:
    for path, name, similar in template.unknown():
        hint = f"did you mean {similar!r}? " if similar else ""
        error = DescriptionError(
            f"unknown parameter {quoted(name)}",
            hint=f"{hint}write $${{{name}}} for a variable of the shell",
        )
        findings.add(error, path)


def _function(location: str, findings: Findings) -> Build | None:
    """Return the build function of a file; only a module of NEPIQ_IMPORTS is imported for it."""
    if not location:
        return None
    from .build import Build

    try:
        return Build.of(imported(location))
    except NepiqError as error:
        findings.add(error, (CAMPAIGN, "build"))
        return None


def _check_points(
    template: Template, plan: CampaignPlan, draft: Draft, exp_id: str, function: Build | None
) -> None:
    """Build points until one has errors.

    Raises:
        DocumentError: the errors at that point.
    """
    positions = draft.findings.positions
    places = {positions.find(path): names for path, names in template.places.items()}
    names = None if function else template.names - set(OF_RUNS)
    for point in chain.from_iterable(_sample(names, space) for space in plan.spaces):
        findings = Findings(positions)
        description = Description(exp_id)
        of_run = {**dict.fromkeys(OF_RUNS, 1), **point}
        try:
            document = deepcopy(template.expand(of_run))
            build(document, description, findings, complete=not function)
            findings.check()
            if function:
                description = _built(function, exp_id, template, of_run, findings)
            for path, unknown in plan.unknown(description):
                findings.add(unknown, (CAMPAIGN, *path), key=path[0] == "collect")
            findings.check()
        except DocumentError as error:
            for wrong in error.errors:
                _add_values(wrong, point, places)
            raise DocumentError(error.errors, error.more) from None
        except InvalidValue as error:
            values = ", ".join(f"{name}={value}" for name, value in point.items())
            findings.add(DescriptionError(f"{error.message}, at {values}", hint=error.hint))
            findings.check()


def _built(
    function: Build, exp_id: str, template: Template, values: Point, findings: Findings
) -> Description:
    """Return the description that a function makes at a point.

    Raises:
        DocumentError: it makes none, or one that cannot be deployed.
    """
    description = Description(exp_id)
    try:
        description = function.describe(exp_id, template, values)
        description.check(groups={"of this deploy": list(description)})
    except NepiqError as error:
        point = ", ".join(
            f"{name}={quoted(value)}" for name, value in values.items() if name not in OF_RUNS
        )
        problem = f"{error.where}: {error.message}" if error.where else error.message
        findings.add(
            DescriptionError(one_line(f"{problem}, at {point}", 400), hint=error.hint),
            (CAMPAIGN, "build"),
        )
        findings.check()
    return description


def _add_values(
    error: NepiqError, point: Point, places: Mapping[tuple[int, int] | None, tuple[str, ...]]
) -> None:
    """Add the values of the parameters to an error at a place."""
    line, column = error.where.rsplit(":", 2)[1:]
    names = places.get((int(line), int(column)), ())
    values = ", ".join(f"{name}={quoted(point.get(name))}" for name in dict.fromkeys(names))
    if values:
        error.message = one_line(f"{error.message}, with {values}")


def _sample(used: Iterable[str] | None, space: Space) -> Iterator[Point]:
    """Yield the first point, those with a value that no earlier one had, and the last.

    Args:
        used: the parameters whose values count; None for all.
        space: the points.
    """
    names, built = sorted(space.parameters if used is None else used), 0
    seen: set[tuple[str, str]] = set()
    last = len(space) - 1
    for index, point in enumerate(islice(space, _SCANNED)):
        new = {(name, canonical(point.get(name))) for name in names} - seen
        if not index or (new and built < _BUILT) or index == last:
            seen |= new
            built += 1
            yield point
    if last >= _SCANNED:
        yield space[last]


def _warnings(template: Template, spaces: Sequence[Space]) -> list[str]:
    used = template.names | mentioned([space.to_document() for space in spaces])
    parameters = dict.fromkeys(name for space in spaces for name in space.parameters)
    unused = [name for name in parameters if name not in used]
    return [f"parameter {name!r} is not used in the description" for name in unused]
