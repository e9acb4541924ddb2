"""Build functions: functions that describe the run of a campaign at a point."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import CampaignError, ClassNotImportable, InvalidValue, NepiqError, NotAllowed
from ..errors.text import one_line
from ..experiment.controller import ExperimentController
from ..model.locations import import_location
from ..model.parameters import OF_RUNS, Parameter
from .expansion import Expansion
from .space import Space
from .template import Template

if TYPE_CHECKING:
    from ..description.description import Description

BuildFunction = Callable[..., object]
"""A function ``build(ec, **point)`` that registers the resources of a run in ``ec``."""

_FOLDERS_OF_PACKAGES = ("site-packages", "dist-packages")


class _Described(ExperimentController):
    """The experiment that a build function describes; it has no run.

    Args:
        exp_id: its name.
        base: what it has already; None for nothing.
    """

    def __init__(self, exp_id: str, base: Description | None) -> None:
        super().__init__(exp_id, quiet=True)
        self._replica.forbidden = "the campaign deploys what a build function describes"
        if base is not None:
            self._description.adopt(base)

    def schedule(self, *_: object, **__: object) -> NoReturn:
        """Refuse calls, which campaigns do not have."""
        raise NotAllowed("the runs of a campaign have no scheduled calls")

    set_with_conditions = schedule


@dataclass(frozen=True)
class Build:
    """A function that describes the run of a campaign at a point.

    Attributes:
        function: called with the experiment and the parameters of the point by name; and with
            ``seed`` and ``repetition`` of the run if it has parameters of these names.
        location: ``module:function``; the name of a function of the script.
        takes: those of ``seed`` and ``repetition`` that it has parameters for.
    """

    function: BuildFunction
    location: str
    takes: frozenset[str]

    @classmethod
    def of(cls, function: BuildFunction) -> Build:
        """Return a function that workers can import.

        Raises:
            InvalidValue: they cannot, since it is part of a script or of another function.
        """
        location = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
        try:
            found = None if location.startswith("__main__:") else import_location(location)
        except Exception:  # noqa: BLE001 - any name may be wrong
            found = None
        if found is not function:
            name = getattr(function, "__qualname__", type(function).__name__)
            raise InvalidValue(
                f"workers cannot import the build function {one_line(name)}",
                hint="put it into a module of its own, and import it from there",
            )
        return cls(function, location, _taken(function))

    @classmethod
    def at(cls, location: str, source: str = "") -> Build:
        """Return the function at a location.

        Args:
            location: ``module:function``; another module may import the function from there.
            source: the digest of the module where the campaign was submitted; empty if unknown.

        Raises:
            ClassNotImportable: it cannot be imported here, or is another one.
            InvalidValue: it is not a function that a module has by its name.
        """
        try:
            function = import_location(location)
        except Exception as error:
            raise ClassNotImportable(
                f"the build function {location} cannot be imported: "
                f"{type(error).__name__}: {error}",
                hint="install its module here",
            ) from error
        if not callable(function):
            raise InvalidValue(f"{location} is not a function")
        if source and source_of(function) != source:
            raise ClassNotImportable(
                f"the module of {location} is not the one that the campaign was submitted with",
                hint="install the same everywhere, then restart the workers",
            )
        return cls.of(function)

    @classmethod
    def of_script(cls, function: BuildFunction) -> Build:
        """Return a function that only this process can call, or one that workers can import."""
        try:
            return cls.of(function)
        except InvalidValue:
            name = getattr(function, "__name__", type(function).__name__)
            return cls(function, name if name.isidentifier() else "build", _taken(function))

    def expand(self, exp_id: str, space: Space) -> str:
        """Return the descriptions of all points, for workers that cannot call the function.

        The seed and the repetition are places in them. Where the function raises an error, the
        runs of the point fail with it.

        Raises:
            NepiqError: the first or the last point cannot be described.
        """
        return Expansion.pack(self._documents(exp_id, space))

    def _documents(self, exp_id: str, space: Space) -> Iterator[Any]:
        places = {name: Parameter(name) for name in OF_RUNS}
        empty = Template({}, ())
        for index, point in enumerate(space):
            try:
                yield self.document(exp_id, empty, {**point, **places})
            except NepiqError as error:
                if index in (0, len(space) - 1):
                    raise
                yield str(error)

    @property
    def module(self) -> str:
        """The name of its module."""
        return self.location.partition(":")[0]

    @property
    def source(self) -> str:
        """The digest of its module; see :func:`source_of`."""
        return source_of(self.function)

    @property
    def file(self) -> Path | None:
        """The file of its module, if that is a single one outside of installed packages."""
        return _single(self.module, getattr(sys.modules.get(self.module), "__file__", None))

    def document(self, exp_id: str, template: Template, values: Mapping[str, Any]) -> Any:
        """Return the description of a run as plain data, with the keys of a file.

        Args:
            exp_id: name of the experiment.
            template: what the experiment has before the function is called; may be empty.
            values: the parameters of the point, and ``seed`` and ``repetition`` of the run.

        Raises:
            CampaignError: the function has raised an error.
            NepiqError: it has described what cannot be.
        """
        ec = _Described(exp_id, template.describe(values) if template.has_parts else None)
        given = {
            name: deepcopy(value)
            for name, value in values.items()
            if name not in OF_RUNS or name in self.takes
        }
        try:
            self.function(ec, **given)
        except NepiqError as error:
            error.where = ", ".join(filter(None, (self._line(error), error.where)))
            raise
        except (Exception, SystemExit) as error:
            raise CampaignError(
                one_line(f"{self.location} raised {type(error).__name__}: {error}"),
                where=self._line(error),
            ) from error
        return json.loads(ec.serialize("json"))

    def describe(self, exp_id: str, template: Template, values: Mapping[str, Any]) -> Description:
        """Return the description of a run, as :meth:`document` does as plain data."""
        return Template(self.document(exp_id, template, values), ()).describe(values)

    def _line(self, error: BaseException) -> str:
        """Return the file and the line of the module that an error came from."""
        path = _file_of(self.function)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if path and Path(frame.filename) == path]
        return f"{path.name}:{lines[-1]}" if path and lines else self.location


class BuiltRuns:
    """The descriptions that a build function makes, as a worker asks for them.

    Args:
        data: the definition of the campaign, as :meth:`.Definition.data` returned it.
        template: what the experiment has before the function is called.
    """

    def __init__(self, data: Mapping[str, Any], template: Template) -> None:
        self._location, self._source = str(data["build"]), str(data.get("source", ""))
        self._exp_id = str(data["exp_id"])
        self._template = template
        self._build: Build | None = None

    def load(self) -> Build:
        """Return the function, which is imported once.

        Raises:
            ClassNotImportable: it cannot be imported here, or is another one.
        """
        if self._build is None:
            build = Build.at(self._location, self._source)
            if build.location != self._location:
                # Only the module itself is one that this process may import functions of.
                raise ClassNotImportable(f"{self._location} is a function of another module")
            self._build = build
        return self._build

    def document(self, values: Mapping[str, Any]) -> Any:
        """Return the description of a run; see :meth:`Build.document`."""
        return self.load().document(self._exp_id, self._template, values)


def code_of(location: str, source: str) -> dict[str, str]:
    """Return the text of the module of a build function by the name of its file.

    Args:
        location: ``module:function``.
        source: the digest of the module where the campaign was submitted.

    Returns:
        Nothing if the module is not here, is a part of a package, or has changed since.
    """
    module = location.partition(":")[0]
    spec = None if "." in module else find_spec(module)
    path = None if spec is None else _single(module, spec.origin)
    content = b"" if path is None else path.read_bytes()
    return {path.name: content.decode()} if path and _digest(content) == source else {}


def _taken(function: BuildFunction) -> frozenset[str]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # not every function of C says what it takes
        return frozenset()
    return frozenset(OF_RUNS).intersection(parameters)


@cache
def source_of(function: BuildFunction) -> str:
    """Return the start of the SHA-256 of the file of a function's module; empty if it has none.

    It is that of the moment of the first call: a process goes on with the module that it has
    imported if the file changes later.
    """
    path = _file_of(function)
    return "" if path is None else _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _single(module: str, name: str | None) -> Path | None:
    """Return the file of a module, if that is a single one outside of installed packages."""
    path = Path(name or "")
    if not name or "." in module or path.stem != module or not path.is_file():
        return None
    return None if any(part in _FOLDERS_OF_PACKAGES for part in path.parts) else path


def _file_of(function: BuildFunction) -> Path | None:
    module = sys.modules.get(getattr(function, "__module__", ""))
    name = getattr(module, "__file__", None)
    return Path(name) if name and Path(name).is_file() else None
