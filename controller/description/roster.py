"""The resources of an experiment by guid and label."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import InvalidValue, UnknownResource
from ..errors.text import is_decimal, quoted
from ..model.names import check_name
from ..model.resource import ResourceManager
from .resource import Resource

#: A resource as users name it, by guid or label; or several of them.
Target = int | str
Targets = Target | Iterable[Target]

_MAX_GUID = 2**53 - 1  # as far as Lua counts

_S = TypeVar("_S", bound="Roster")
_P = ParamSpec("_P")
_T = TypeVar("_T")


def locked(
    method: Callable[Concatenate[_S, _P], _T],
) -> Callable[Concatenate[_S, _P], _T]:
    """Have a method hold :attr:`Roster.lock`."""

    @functools.wraps(method)
    def holding(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.lock:
            return method(self, *args, **kwargs)

    return holding


class Guids:
    """Where the numbers of new resources come from; the engine puts its own in its place."""

    def __init__(self) -> None:
        self._next = 1

    def ready(self) -> None:
        """Make sure that the next number can be taken without waiting for anybody."""

    def take(self) -> int:
        """A number that was not given before."""
        guid = self._next
        self._next += 1
        return guid

    def note(self, guid: int) -> None:
        """A user chose this number: count on from it if it is above all others."""
        self._next = max(self._next, guid + 1)


class Roster:
    """The resources of one experiment by guid and label.

    Attributes:
        guids: where new numbers come from.
        lock: held by each method, for a moment. Who reads several things that belong together,
            or something that others may change meanwhile, holds it too; never while waiting.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.guids = Guids()
        self._resources: dict[int, Resource] = {}
        self._labels: dict[str, int] = {}

    @locked
    def enter(
        self,
        cls: type[ResourceManager],
        attrs: dict[str, Any],
        guid: int | None = None,
        label: str | None = None,
    ) -> Resource:
        """Enter a resource under its own or a new guid and label.

        Raises:
            InvalidValue: the guid or label is malformed or taken.
        """
        if guid is not None:
            self._check_guid(guid)
        if label is not None:
            self._check_label(label)
        if guid is None:
            guid = self.guids.take()
        else:
            self.guids.note(guid)
        resource = Resource(guid, cls, label or self._default_label(cls.rtype, guid), attrs)
        self._resources[guid] = resource
        self._labels[resource.label] = guid
        return resource

    @locked
    def strike(self, resource: Resource) -> None:
        """Take a resource out again."""
        del self._resources[resource.guid], self._labels[resource.label]

    def resource(self, target: Target) -> Resource:
        """A resource named by guid, label or the digits of a guid.

        Raises:
            UnknownResource: there is none; near misses are in the hint.
        """
        found = self._find(target)
        if found is None:
            known: Iterable[object] = self._labels if isinstance(target, str) else self._resources
            raise UnknownResource(target, list(known))
        return found

    def resources(self) -> Iterable[Resource]:
        """All resources there are now, in the order they were added."""
        return list(self._resources.values())

    def resolve(self, target: Target) -> int:
        """The guid of a resource named by guid, label or the digits of a guid.

        Raises:
            UnknownResource: there is none; near misses are in the hint.
        """
        return self.resource(target).guid

    def resolve_all(self, targets: Targets | None) -> list[int]:
        """The guids of one or several resources, each once; of all for None.

        Raises:
            UnknownResource: one of them does not exist.
        """
        if targets is None:
            return list(self._resources)
        return list(dict.fromkeys(self.resource(target).guid for target in several(targets)))

    @locked
    def digests(self) -> dict[str, str]:
        """Return a digest of each resource by label: equal for equal descriptions."""
        return {item.label: item.digest() for item in self._resources.values()}

    def label(self, target: Target) -> str:
        """The label of a resource."""
        return self.resource(target).label

    def __contains__(self, target: object) -> bool:
        return self._find(target) is not None

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._resources))

    def __len__(self) -> int:
        return len(self._resources)

    def _find(self, target: object) -> Resource | None:
        if isinstance(target, bool):
            return None
        if isinstance(target, int):
            return self._resources.get(target)
        if not isinstance(target, str):
            return None
        guid = self._labels.get(target)
        if guid is None and is_decimal(target):
            guid = int(target)
        return None if guid is None else self._resources.get(guid)

    def _check_guid(self, guid: Any) -> None:
        if isinstance(guid, bool) or not isinstance(guid, int) or not 0 < guid <= _MAX_GUID:
            raise InvalidValue(
                f"{quoted(guid)} cannot be a guid", hint="use a whole number from 1 on"
            )
        if guid in self._resources:
            raise InvalidValue(f"guid {guid} is taken by {self._resources[guid].label}")

    def _check_label(self, label: str) -> None:
        check_name("label", label)
        if label.isdecimal():
            raise InvalidValue(
                f"label {quoted(label)} could be mistaken for a guid", hint="add a letter to it"
            )
        if label in self._labels:
            raise InvalidValue(f"label {quoted(label)} is taken by guid {self._labels[label]}")

    def _default_label(self, rtype: str, guid: int) -> str:
        """The last part of the type and the guid, as ``ping-3``; never one that is taken."""
        stem = rtype.rpartition("::")[2].lower().lstrip("-.")[:40] or "resource"
        label = wanted = f"{stem}-{guid}"
        extra = 1
        while label in self._labels:
            extra += 1
            label = f"{wanted}-{extra}"
        return label


def several(targets: Targets) -> Iterable[Target]:
    """One resource or several, as several."""
    return (targets,) if isinstance(targets, (int, str)) else targets
