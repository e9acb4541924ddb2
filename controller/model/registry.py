"""Which class manages which type of resource.

A type comes from one of three places: the catalogue of this package, a class that user code
defines (every subclass of ResourceManager with an ``rtype`` registers itself), or an installed
distribution with an entry point in the group ``nepiq.resources``, whose name is the rtype and
whose value is ``package.module:Class``. Finding one imports no other.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ClassNotImportable, InvalidValue, UnknownType
from ..errors.text import quoted

if TYPE_CHECKING:
    from .resource import ResourceManager

#: The entry point group of resource packages.
GROUP = "nepiq.resources"

_RESOURCES = __name__.rpartition(".model.")[0] + ".resources"
_RTYPE = re.compile(r"[A-Za-z0-9_.-]+(::[A-Za-z0-9_.-]+)*", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_HINT = (
    "define the class in a module instead of a script or notebook, and install that module on "
    "the workers or list it in NEPIQ_IMPORTS"
)

_classes: dict[str, type[ResourceManager]] = {}
_aliases: dict[str, str] = {}


def register(cls: type[ResourceManager], aliases: Iterable[str] = ()) -> None:
    """Make a class the manager of its ``rtype``; ResourceManager does it for every subclass.

    Defining the class again (a notebook cell that is run twice) replaces it.

    Raises:
        InvalidValue: the rtype is malformed, or another class manages it.
    """
    rtype = cls.rtype
    if _RTYPE.fullmatch(rtype) is None:
        raise InvalidValue(
            f"{quoted(rtype)} cannot be an rtype", hint="write it like 'acme::Shaper'"
        )
    here = location(cls)
    there = _location_of(rtype)
    if there and not _same(there, here):
        raise InvalidValue(
            f"rtype {quoted(rtype)} of {here} is taken by {there}", hint="choose another"
        )
    _classes[rtype] = cls
    _aliases.update(dict.fromkeys(aliases, rtype))


def find(rtype: str) -> type[ResourceManager]:
    """The class that manages a type.

    Args:
        rtype: the type or one of its aliases.

    Raises:
        UnknownType: nothing provides it; near misses are in the hint.
        ClassNotImportable: what should provide it cannot be imported.
    """
    found = _classes.get(rtype)
    if found is not None:
        return found
    name = canonical(rtype)
    if name in _classes:
        return _classes[name]
    where = _location_of(name)
    if not where:
        raise UnknownType(rtype, names())
    return _load(name, where)


def find_on_worker(rtype: str) -> type[ResourceManager]:
    """As :func:`find`, for a step that was handed to this worker.

    Raises:
        ClassNotImportable: this worker cannot find the class. Its description was accepted
            where it is known, so the hint says how to make it known here.
    """
    try:
        return find(rtype)
    except UnknownType:
        raise ClassNotImportable(
            f"this worker cannot import the class of resource type {quoted(rtype)}", hint=_HINT
        ) from None


def canonical(rtype: str) -> str:
    """The rtype behind an alias, NEPI's old names among them; other names as they are."""
    return _aliases.get(rtype) or _catalogue_aliases().get(rtype, rtype)


def names() -> list[str]:
    """Every rtype that can be registered, sorted, without aliases."""
    return sorted(
        rtype for rtype in {*_classes, *_catalogue(), *_entry_points()} if not is_internal(rtype)
    )


def is_internal(rtype: str) -> bool:
    """True for a type whose resources are a means, and no part of what is described."""
    return rtype in _internal() or (rtype in _classes and _classes[rtype].internal)


def location(cls: type) -> str:
    """A class as ``module:Class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def load_imports(modules: Iterable[str]) -> None:
    """Import the modules that a worker's ``imports`` setting lists.

    Raises:
        ClassNotImportable: one of them cannot be imported; names it and the cause.
    """
    for module in modules:
        if _MODULE.fullmatch(module) is None:
            raise ClassNotImportable(
                f"{quoted(module)} is no module name", hint="list modules like 'mylab.resources'"
            )
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ClassNotImportable(
                f"cannot import module {quoted(module)}: {type(error).__name__}: {error}",
                hint="install it where this runs, or take it out of NEPIQ_IMPORTS",
            ) from error


def forget(rtype: str) -> None:
    """Take back a registration, so that the name is free again; for tests of classes."""
    _classes.pop(rtype, None)
    for alias in [alias for alias, name in _aliases.items() if name == rtype]:
        del _aliases[alias]


def _load(rtype: str, where: str) -> type[ResourceManager]:
    module, _, path = where.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ClassNotImportable(
            f"cannot load {where} for resource type {rtype!r}: {type(error).__name__}: {error}",
            hint="reinstall or remove the package that provides it",
        ) from error
    if getattr(found, "rtype", None) != rtype:
        raise ClassNotImportable(
            f"{where} should manage resource type {quoted(rtype)} and does not",
            hint="the name of the entry point must be the rtype of the class",
        )
    cls: type[ResourceManager] = found
    _classes.setdefault(rtype, cls)
    return cls


def _location_of(rtype: str) -> str:
    if rtype in _classes:
        return location(_classes[rtype])
    return _catalogue().get(rtype) or _entry_points().get(rtype, "")


def _same(there: str, here: str) -> bool:
    """True if two locations can be one class, defined again or reached by two ways."""
    (module, _, name), (module2, _, name2) = there.partition(":"), here.partition(":")
    if there == here or (name == name2 and "__main__" in {module, module2}):
        return True  # a script may be imported as a module too
    # An entry point may name the package that exports the class.
    package, package2 = module.partition(".")[0], module2.partition(".")[0]
    return there in _entry_points().values() and package == package2


@lru_cache(maxsize=1)
def _catalogue() -> Mapping[str, str]:
    own: Mapping[str, str] = importlib.import_module(_RESOURCES).CATALOGUE
    every = {**own, **_internal()}
    return {rtype: f"{_RESOURCES}.{where}" for rtype, where in every.items()}


@lru_cache(maxsize=1)
def _internal() -> Mapping[str, str]:
    internal: Mapping[str, str] = importlib.import_module(_RESOURCES).INTERNAL
    return internal


@lru_cache(maxsize=1)
def _catalogue_aliases() -> Mapping[str, str]:
    aliases: Mapping[str, str] = importlib.import_module(_RESOURCES).ALIASES
    return aliases


@lru_cache(maxsize=1)
def _entry_points() -> Mapping[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=GROUP)}
