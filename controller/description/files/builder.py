"""From a checked document to a description."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ...errors import (
    DescriptionError,
    InvalidValue,
    NepiqError,
    UnknownAttribute,
    UnknownResource,
    UnknownType,
    near_misses,
)
from ...errors.text import quoted
from ...model import registry
from ...model.lifecycle import Action, State
from ...model.resource import ResourceManager
from ..description import Description
from ..resource import Resource
from ..wiring import wire_as_written
from .positions import Findings, Path
from .schema import RESERVED, ConditionEntry, Document, ResourceEntry

_CONDITIONAL = (Action.DEPLOY, Action.START, Action.STOP)


class Building:
    """Fills a description from a document, and notes all that is wrong.

    Args:
        into: the description, still empty.
        findings: takes what is wrong.
        failed: labels of resources that are wrong already.
    """

    def __init__(self, into: Description, findings: Findings, failed: set[str]) -> None:
        self._into = into
        self._findings = findings
        self._failed = failed
        self._labels: list[str] = []
        self._faulty: set[int] = set()

    def build(self, document: Document) -> None:
        """Fill the description; whatever is wrong is left out."""
        if document.exp_id is not None:
            with self._noting(("exp_id",)):
                self._into.exp_id = Description(document.exp_id).exp_id
        for rtype, values in document.globals.items():
            with self._noting(("globals", rtype), key=True):
                cls = registry.find(rtype)
                for name, value in values.items():
                    with self._noting(("globals", rtype, name), key=name not in cls.attributes):
                        self._into.set_global(rtype, name, value)
        self._labels = list(document.resources)
        made = []
        for label, entry in document.resources.items():
            added = self._add(label, entry)
            if added is not None:
                made.append((added, entry, dict(self._set_attributes(added, entry))))
        self._connect(made)
        for added, entry, _ in made:
            for action in _CONDITIONAL:
                conditions: list[ConditionEntry] = getattr(entry, action.value)
                for position, condition in enumerate(conditions):
                    path = ("resources", added.label, action.value, position)
                    self._condition(added, action, condition, path)

    def complete(self) -> None:
        """Note also what :meth:`Description.check` would refuse."""
        for item in self._into.resources():
            if item.guid in self._faulty:
                continue
            for name in item.cls.demanded:
                slot = item.cls.connections.get(name)
                if slot is None and name not in item.attrs:
                    self._lack(item, f"attribute {quoted(name)} is missing", "")
                elif slot is not None and not item.peers.get(name):
                    example = f"write {name}: LABEL of a {slot.rtype}"
                    self._lack(item, f"connection {quoted(name)} is missing", example)
        if not len(self._findings):
            with self._noting(("resources",), key=True):
                # As deploy() of everything does: the barrier of the group may close a circle.
                self._into.check(groups={"of this deploy": list(self._into)})

    # -- parts --------------------------------------------------------------------------------

    def _add(self, label: str, entry: ResourceEntry) -> Resource | None:
        path = ("resources", label)
        with self._noting((*path, "type")):
            if registry.find(entry.type).internal:
                raise UnknownType(entry.type, registry.names())
            with self._noting((*path, "guid") if entry.guid is not None else path, key=True):
                return self._into.resource(self._into.add(entry.type, entry.guid, label))
        self._failed.add(label)
        if entry.guid is not None:
            self._failed.add(str(entry.guid))
        return None

    def _set_attributes(self, item: Resource, entry: ResourceEntry) -> Iterator[tuple[str, Path]]:
        """Set what attributes there are; yields the names of connections, and where they stand."""
        path: Path = ("resources", item.label)
        given = [((*path, name), name, value) for name, value in (entry.model_extra or {}).items()]
        given += [
            ((*path, "attributes", name), name, value) for name, value in entry.attributes.items()
        ]
        for here, name, value in given:
            if name in item.cls.attributes:
                with self._noting(here, item=item):
                    self._set(item, name, value)
            elif name in item.cls.connections and len(here) == len(path) + 1:
                yield name, here
            else:
                error = UnknownAttribute(name, hint=partial(_alike, item.cls, name))
                self._note(error, here, key=True, item=item)
        for name in entry.connections:
            here = (*path, "connections", name)
            if name in item.cls.connections:
                yield name, here
            else:
                wrong = DescriptionError(
                    f"{item.cls.rtype} has no connection {quoted(name)}",
                    hint=partial(near_misses, name, item.cls.connections),
                )
                self._note(wrong, here, key=True, item=item)

    def _set(self, item: Resource, name: str, value: Any) -> None:
        try:
            self._into.set(item.guid, name, value)
        except InvalidValue as error:
            if item.cls.attributes[name].kind is str and isinstance(value, (bool, int, float)):
                error.hint = error.hint or "put it in quotes"
            raise

    def _connect(self, made: list[tuple[Resource, ResourceEntry, dict[str, Path]]]) -> None:
        links = []
        loose = []
        for item, entry, named in made:
            for name, path in named.items():
                extra = entry.model_extra or {}
                given = extra[name] if len(path) == 3 else entry.connections[name]
                links += [(item, name, *found) for found in self._find(given, path, item)]
            path = ("resources", item.label, "connectedTo")
            loose += [(item, *found) for found in self._find(entry.connectedTo, path, item)]
        places = {(item.guid, name, peer.guid): path for item, name, peer, path in links}
        written = [(item, name, peer) for item, name, peer, _ in links]
        for key, error in wire_as_written(written, self._into.resource):
            self._note(error, places[key], item=self._into.resource(key[0]))
        for item, peer, path in loose:
            with self._noting(path, item=item):
                self._into.connect(item.guid, peer.guid)

    def _find(self, given: Any, path: Path, item: Resource) -> Iterator[tuple[Resource, Path]]:
        """The resources that are named somewhere, and where each is named."""
        several = [] if given is None else given if isinstance(given, list) else [given]
        for position, target in enumerate(several):
            here = (*path, position)
            if isinstance(target, bool) or not isinstance(target, (str, int)):
                error = DescriptionError(f"{quoted(target)} is no label", hint="name a resource")
                self._note(error, here, item=item)
            elif target in self._into:
                yield self._into.resource(target), here
            elif str(target) in self._failed:
                self._faulty.add(item.guid)
            else:
                self._note(UnknownResource(target, self._labels), here, item=item)

    def _condition(self, item: Resource, action: Action, entry: ConditionEntry, path: Path) -> None:
        targets = [found.guid for found, _ in self._find(entry.after, (*path, "after"), item)]
        names = State.__members__
        if entry.state.upper() not in names:
            error = DescriptionError(
                f"there is no state {quoted(entry.state)}",
                hint=partial(near_misses, entry.state.upper(), names),
            )
            self._note(error, (*path, "state"), item=item)
            return
        with self._noting((*path, "delay" if entry.state.upper() != "NEW" else "state"), item=item):
            self._into.condition(item.guid, action, targets, entry.state, entry.delay)

    # -- findings -----------------------------------------------------------------------------

    def _lack(self, item: Resource, message: str, hint: str) -> None:
        path = ("resources", item.label)
        self._findings.add(DescriptionError(message, hint=hint), path, key=True)

    def _note(
        self, error: NepiqError, path: Path, *, key: bool = False, item: Resource | None = None
    ) -> None:
        if item is not None:
            self._faulty.add(item.guid)
        self._findings.add(error, path, key=key)

    def _noting(self, path: Path, *, key: bool = False, item: Resource | None = None) -> _Noting:
        return _Noting(self, path, key, item)


def _alike(cls: type[ResourceManager], name: str) -> str:
    """Names of a type that are near misses: all that it has would fill the screen."""
    hint = near_misses(name, [*cls.attributes, *cls.connections, *RESERVED])
    return hint if hint.startswith("did") else f"see the attributes of {cls.rtype}"


class _Noting:
    """Notes an error of nepiq that ends its block, and goes on after it."""

    def __init__(self, building: Building, path: Path, key: bool, item: Resource | None) -> None:
        self._note = building._note  # noqa: SLF001 - a part of it
        self._path = path
        self._key = key
        self._item = item

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, NepiqError):
            return False
        self._note(error, self._path, key=self._key, item=self._item)
        return True
