"""The declarations of a resource class: attributes, traces, connections, hooks and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .attributes import Attribute
from .connections import Connection
from .figures import Figure
from .hooks import HOOK_NAMES, HOOKS
from .traces import Trace

if TYPE_CHECKING:
    from .resource import ResourceManager


def declare(cls: type[ResourceManager], root: type[ResourceManager]) -> None:
    """Collect the declarations of a class and of its bases, and check them.

    Args:
        cls: the class, which gets them as class variables.
        root: the base of all of them; its public names may not be declared again.

    Raises:
        TypeError: they contradict each other, or name what there is not.
    """
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        members.update(vars(base))
    cls.attributes = of_kind(members, Attribute)
    cls.traces = of_kind(members, Trace)
    cls.connections = of_kind(members, Connection)
    cls.waiting = tuple(name for name, slot in cls.connections.items() if slot.waits)
    cls.following = tuple(name for name, slot in cls.connections.items() if slot.follows)
    cls.implied = tuple(
        name
        for name, slot in cls.connections.items()
        if slot.named_by or slot.together or slot.beside
    )
    callers = {
        name
        for slot in cls.connections.values()
        for name in (slot.named_by, slot.beside, *slot.together)
        if name
    }
    if unknown := callers - {*cls.attributes, *cls.connections}:
        raise TypeError(
            f"{cls.__name__}: unknown names in connections: {', '.join(sorted(unknown))}"
        )
    cls.demanded = (
        *(name for name, slot in cls.connections.items() if slot.required),
        *(name for name, a in cls.attributes.items() if a.required and a.default is None),
    )
    cls.measured = tuple(n for n, item in cls.attributes.items() if isinstance(item, Figure))
    for name in (*cls.attributes, *cls.traces, *cls.connections):
        if name.startswith("_") or _is_reserved(root, name):
            raise TypeError(f"{cls.__name__}: the name {name!r} cannot be declared")
    cls.deadlines = MappingProxyType(_merge_inherited(cls, "deadlines"))
    cls.retries = MappingProxyType(_merge_inherited(cls, "retries"))
    unknown = {name for name in members if name.startswith("do_")} - HOOK_NAMES
    unknown |= set(cls.retries) - HOOK_NAMES
    if unknown:
        raise TypeError(
            f"{cls.__name__}: {', '.join(sorted(unknown))} is not a hook; "
            f"hooks are {', '.join(sorted(HOOK_NAMES))}"
        )
    cls._hooks = {
        action: tuple(hook for hook in hooks if _overrides(cls, root, hook.name))
        for action, hooks in HOOKS.items()
    }
    cls._called_for = MappingProxyType(_entries_by_hook(cls, "called_for"))
    cls._joint = MappingProxyType(_entries_by_hook(cls, "joint"))
    cls._left_to_host = MappingProxyType(_entries_by_hook(cls, "left_to_host"))
    cls._ends_all = MappingProxyType(_entries_by_hook(cls, "ends_all"))
    entries = [*cls._called_for.values(), *cls._joint.values()]
    cls.narrowing = tuple(sorted({name for names in entries for name in names}))
    for table in ("called_for", "joint", "left_to_host", "ends_all"):
        used = getattr(cls, f"_{table}")
        names = {name for some in used.values() for name in some} | {*vars(cls).get(table, ())}
        if unknown := names - {*cls.attributes, *HOOK_NAMES}:
            raise TypeError(
                f"{cls.__name__}: unknown names in {table}: {', '.join(sorted(unknown))}"
            )
    if cls.provides_host and not _overrides(cls, root, "placement"):
        raise TypeError(f"{cls.__name__} provides a host and must define placement()")


def of_kind(members: Mapping[str, Any], kind: type[Any]) -> Mapping[str, Any]:
    """Return the members of a class that are of a kind, in their order."""
    return MappingProxyType(
        {name: value for name, value in members.items() if isinstance(value, kind)}
    )


def _merge_inherited(cls: type[ResourceManager], name: str) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for base in reversed(cls.__mro__):
        merged.update(vars(base).get(name, {}))
    return merged


def _entries_by_hook(cls: type[ResourceManager], table: str) -> dict[str, tuple[str, ...]]:
    """Return the entries of a table, such as ``called_for``, that apply to the hooks of a class."""
    entries: dict[str, tuple[str, ...]] = {}
    for hook in sorted(HOOK_NAMES):
        for base in cls.__mro__:
            own = vars(base)
            if hook in own.get(table, {}):
                entries[hook] = own[table][hook]
            if hook in entries or hook in own:
                break
    return entries


def _overrides(cls: type[ResourceManager], root: type[ResourceManager], name: str) -> bool:
    return getattr(cls, name) is not getattr(root, name)


def _is_reserved(root: type[ResourceManager], name: str) -> bool:
    """Return whether a declaration would hide something else of the base than an attribute."""
    return name in vars(root) and not isinstance(vars(root)[name], Attribute)
