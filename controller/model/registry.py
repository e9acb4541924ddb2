"""The registry of resource types and the classes that manage them.

A type comes from one of three sources: the catalogue of this package, a class that user code
defines (every subclass of ResourceManager with an ``rtype`` registers itself), or an installed
distribution with an entry point in the group ``nepiq.resources``, whose name is the rtype and
whose value is ``package.module:Class``. Only the class that is requested is imported.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClassNotImportable, InvalidValue, NepiqError, UnknownType, near_misses
from ..errors.text import quoted
from .locations import import_location

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
#: When the import of each module of ``load_imports`` began, seconds since the epoch.
_imported_at: dict[str, float] = {}


def register(cls: type[ResourceManager], aliases: Iterable[str] = ()) -> None:
    """Register a class for its ``rtype``; every subclass of ResourceManager calls this.

    If the class is defined again (a notebook cell that runs twice), it is replaced.

    Raises:
        InvalidValue: the rtype is malformed, or another class manages it.
    """
    rtype = cls.rtype
    if _RTYPE.fullmatch(rtype) is None:
        raise InvalidValue(
            f"{quoted(rtype)} is not a valid rtype", hint="write it like 'acme::Shaper'"
        )
    new = location(cls)
    registered = _location_of(rtype)
    if registered and not _may_be_same_class(registered, new):
        raise InvalidValue(
            f"rtype {quoted(rtype)} of {new} is taken by {registered}", hint="choose another rtype"
        )
    _classes[rtype] = cls
    _aliases.update(dict.fromkeys(aliases, rtype))


def find(rtype: str) -> type[ResourceManager]:
    """Return the class that manages a type.

    Args:
        rtype: the type or one of its aliases.

    Raises:
        UnknownType: no class is registered for it; the hint names similar types, or what to use
            instead of a type of NEPI.
        ClassNotImportable: its class cannot be imported.
    """
    cls = _classes.get(rtype)
    if cls is not None:
        return cls
    name = canonical(rtype)
    if name in _classes:
        return _classes[name]
    source = _location_of(name)
    if not source:
        raise _unknown(rtype)
    return _load(name, source)


def find_on_worker(rtype: str) -> type[ResourceManager]:
    """Return the class that manages a type, for a step on this worker.

    Raises:
        ClassNotImportable: this worker cannot import the class. The client that described the
            resource could, so the hint says how to make it importable on the workers.
    """
    try:
        return find(rtype)
    except UnknownType:
        raise ClassNotImportable(
            f"this worker cannot import the class of resource type {quoted(rtype)}", hint=_HINT
        ) from None


def canonical(rtype: str) -> str:
    """Return the rtype of an alias (NEPI's old names included), or the name itself."""
    return _aliases.get(rtype) or _catalogue_aliases().get(rtype, rtype)


def names(*, families: bool = True) -> list[str]:
    """Return every rtype that resources can have, sorted, without aliases and internal types.

    Args:
        families: False to leave out types whose classes are made when they are used.
    """
    known = {*_classes, *_catalogue(), *_entry_points()}
    if families:
        for module in _families().values():
            known.update(module().names())
    return sorted(rtype for rtype in known if not is_internal(rtype))


def is_known(rtype: str) -> bool:
    """Return whether a name or alias is registered; nothing is imported."""
    return bool(_location_of(canonical(rtype)))


def is_internal(rtype: str) -> bool:
    """Return whether resources of a type are not part of a description."""
    return rtype in _internal() or (rtype in _classes and _classes[rtype].internal)


def ends_by_itself(rtype: str) -> bool:
    """Return whether resources of a type end by themselves; True if the type is unknown here."""
    try:
        return not is_internal(rtype) and find(rtype).ends_by_itself()
    except NepiqError:
        return True


def location(cls: type) -> str:
    """Return the location of a class as ``module:Class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def load_imports(modules: Iterable[str]) -> None:
    """Import the modules that a worker's ``imports`` setting lists.

    Raises:
        ClassNotImportable: a module cannot be imported; the message has its name and the cause.
    """
    for module in modules:
        if _MODULE.fullmatch(module) is None:
            raise ClassNotImportable(
                f"{quoted(module)} is not a module name",
                hint="list modules like 'mylab.resources'",
            )
        if module not in sys.modules:
            _imported_at[module] = time.time()
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ClassNotImportable(
                f"cannot import module {quoted(module)}: {type(error).__name__}: {error}",
                hint="install it on this machine, or remove it from NEPIQ_IMPORTS",
            ) from error


@cache
def is_outdated(module: str) -> bool:
    """Return whether the file of a module has been changed after :func:`load_imports` read it.

    The answer is that to the first call: what is done with the module goes on with it.
    """
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    began = _imported_at.get(module)
    return began is not None and path.is_file() and path.stat().st_mtime > began


def forget(rtype: str) -> None:
    """Remove a registration, so that the name is free again; for tests of classes."""
    _classes.pop(rtype, None)
    for alias in [alias for alias, name in _aliases.items() if name == rtype]:
        del _aliases[alias]


def _unknown(rtype: str) -> UnknownType:
    absence = _nepi_types().absence(rtype)
    if absence is None:
        return UnknownType(rtype, hint=partial(_similar, rtype))
    return UnknownType(rtype, reason=absence.reason, hint=absence.instead)


def _similar(rtype: str) -> str:
    return near_misses(rtype, names())


def _load(rtype: str, source: str) -> type[ResourceManager]:
    try:
        value = import_location(source)
    except Exception as error:
        raise ClassNotImportable(
            f"cannot load {source} for resource type {rtype!r}: {type(error).__name__}: {error}",
            hint="reinstall or remove the package that provides it",
        ) from error
    if getattr(value, "rtype", None) != rtype:
        raise ClassNotImportable(
            f"{source} does not manage resource type {quoted(rtype)}",
            hint="give the entry point the rtype of the class as its name",
        )
    cls: type[ResourceManager] = value
    _classes.setdefault(rtype, cls)
    return cls


def _location_of(rtype: str) -> str:
    if rtype in _classes:
        return location(_classes[rtype])
    return _catalogue().get(rtype) or _entry_points().get(rtype) or _in_family(rtype)


def _in_family(rtype: object) -> str:
    """Return the location of a class that its family makes; empty if there is no such type."""
    for prefix, module in _families().items():
        if isinstance(rtype, str) and rtype.startswith(prefix):
            found: str = module().location(rtype)
            return found
    return ""


def _may_be_same_class(registered: str, new: str) -> bool:
    """Return whether two locations may be one class, defined again or imported in two ways."""
    (module, _, name), (module2, _, name2) = registered.partition(":"), new.partition(":")
    if registered == new or (name == name2 and "__main__" in {module, module2}):
        return True  # a script may also be imported as a module
    # An entry point may name the package that re-exports the class.
    package, package2 = module.partition(".")[0], module2.partition(".")[0]
    return registered in _entry_points().values() and package == package2


@lru_cache(maxsize=1)
def _catalogue() -> Mapping[str, str]:
    own: Mapping[str, str] = importlib.import_module(_RESOURCES).CATALOGUE
    every = {**own, **_internal()}
    return {rtype: f"{_RESOURCES}.{source}" for rtype, source in every.items()}


@lru_cache(maxsize=1)
def _internal() -> Mapping[str, str]:
    internal: Mapping[str, str] = importlib.import_module(_RESOURCES).INTERNAL
    return internal


@lru_cache(maxsize=1)
def _families() -> Mapping[str, Callable[[], Any]]:
    families: Mapping[str, str] = importlib.import_module(_RESOURCES).FAMILIES
    return {
        prefix: partial(importlib.import_module, f"{_RESOURCES}.{module}")
        for prefix, module in families.items()
    }


@lru_cache(maxsize=1)
def _catalogue_aliases() -> Mapping[str, str]:
    aliases: Mapping[str, str] = importlib.import_module(_RESOURCES).ALIASES
    return aliases


def _nepi_types() -> Any:
    return importlib.import_module(f"{_RESOURCES}.nepi_types")


@lru_cache(maxsize=1)
def _entry_points() -> Mapping[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=GROUP)}
