"""Compiled templates: the arguments with which the engine begins a run, made once for many runs.

Runs of one template mostly differ in some values. All else that the engine knows of a resource,
such as its host and the order of its steps, follows from few attributes. It is made again only if
one of these differs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

from ..description.attribute_values import keep
from ..description.description import Description
from ..description.resource import Resource
from ..description.shared_work import Leaders
from ..engine.store.forms import dumps
from ..engine.store.scripts import Argument
from ..engine.store.wire import ranges, spec_arguments
from ..errors import CampaignError
from ..model import Flag, HostLease, Pools, Requester, registry
from ..model.resource import ResourceManager
from ..model.spec import ResourceSpec
from .filling import ABSENT, Filling
from .template import Template

#: Distinct descriptions that are kept of a template.
MOST_BASES = 64

#: What of a class may depend on the values of attributes, and decides about more than these.
_DECIDING = ("awaits", "site_of_workers", "placement")


@dataclass
class Requesting:
    """The resource of a description whose hosts its campaign requests.

    Attributes:
        spec: the resource.
        goal: its end is one of those that end the run.
        begin, end: where its arguments are among those of the run.
    """

    spec: ResourceSpec
    goal: bool
    begin: int
    end: int


@dataclass(eq=False)
class Base:
    """One description, and the arguments made of it.

    Attributes:
        description: the description.
        validated: the resources whose classes check combinations of values.
        bringing: the resources that may bring local files along.
        arguments: as for ``begin``, behind the slot.
        values: index of the value of each attribute, by label and name.
        guids: guids by label.
        hosts: guid and name of each host by label; the name is empty if the run finds it.
        facts: names of the attributes that are facts, by guid, of a host and the resources on it,
            by the label of the host.
        requesting: the resource whose hosts the campaign requests; None if there is none.
    """

    description: Description
    validated: list[Resource]
    bringing: list[int]
    arguments: list[Argument]
    values: Mapping[tuple[str, str], int]
    guids: Mapping[str, int]
    hosts: Mapping[str, tuple[int, str]]
    facts: Mapping[str, Mapping[int, Sequence[str]]]
    requesting: Requesting | None

    def requester(self, stored: Mapping[str, Any] | None = None) -> Requester | None:
        """Return the manager of the resource whose hosts the campaign requests, if there is one.

        Args:
            stored: its stored attributes, if they are known better than in the description.
        """
        if self.requesting is None:
            return None
        guid = self.requesting.spec.guid
        if stored is None:
            return cast("Requester", self.description.instance(guid))
        return cast(
            "Requester", self.description.resource(guid).cls.load(guid=guid, attributes=stored)
        )


class CompiledTemplate:
    """The runs of a template, as the engine begins them. Safe to use from several threads.

    Args:
        template: the description with places.
        exp_id: name of the experiment.
        nonce: of the uploads.
        timeout: seconds after which a run fails; None for no limit.
        hard_release: whether the release of a host removes the files of the run there.

    Raises:
        UnknownType: this process does not have the type of a resource.

    Attributes:
        finds_hosts: True if a run was described whose hosts are known only in it; None if none
            was described yet.
    """

    def __init__(
        self,
        template: Template,
        exp_id: str,
        nonce: str,
        timeout: float | None = None,
        *,
        hard_release: bool = False,
    ) -> None:
        self.finds_hosts: bool | None = None
        self._template = template
        self._exp_id = exp_id
        self._nonce = nonce
        self._timeout = timeout
        self._hard_release = hard_release
        self._lock = threading.Lock()
        #: Values that decide about nothing but themselves, by label and attribute.
        self._plain: dict[tuple[str, str], Filling] = {}
        #: Parameters that decide about more.
        self._decisive: set[str] = set()
        self._divide()
        self._bases: dict[Any, Base] = {}
        self._stored = lru_cache(maxsize=4096)(self._check)

    def arguments(self, point: Mapping[str, Any]) -> Sequence[Argument]:
        """Return the arguments for a run at a point, behind the slot.

        Args:
            point: the values by parameter, those of the run among them.

        Raises:
            NepiqError: there is no such run, for example because a value is invalid.
        """
        return self._at(point)[1]

    def placed(
        self, point: Mapping[str, Any], pools: Pools, leases: Mapping[int, HostLease]
    ) -> Sequence[Argument]:
        """Return the arguments for a run at a point that has its hosts.

        Args:
            point: as for :meth:`arguments`.
            pools: the pools.
            leases: the lease of each resource by guid.

        Raises:
            NepiqError: as of :meth:`arguments`, or a host is not in the pools any more.
        """
        base, arguments = self._at(point)
        part, requester = base.requesting, base.requester()
        if part is None or requester is None:
            return arguments
        requester.accept(pools, leases)
        given = {**part.spec.attributes, **cast("ResourceManager", requester).changes()}
        # It has no hosts to request any more: its steps take no time.
        spec = part.spec._replace(attributes=given, batch=True)
        own = spec_arguments(self._nonce, spec, goal=part.goal)
        return [*arguments[: part.begin], *own, *arguments[part.end :]]

    def base(self, point: Mapping[str, Any]) -> Base:
        """Return the description of a run; values of attributes in it may be of another one."""
        return self._at(point)[0]

    # -- inside -------------------------------------------------------------------------------

    def _at(self, point: Mapping[str, Any]) -> tuple[Base, Sequence[Argument]]:
        values = {
            place: self._value(place, filling, point) for place, filling in self._plain.items()
        }
        key = (
            dumps({name: point.get(name) for name in sorted(self._decisive)}),
            tuple(value is None for value in values.values()),
        )
        with self._lock:
            base = self._bases.get(key)
            if base is None:
                if len(self._bases) >= MOST_BASES:
                    del self._bases[next(iter(self._bases))]
                base = self._bases[key] = self._make(point)
                return base, base.arguments
            arguments = list(base.arguments)
            for place, value in values.items():
                if value is not None:
                    arguments[base.values[place]] = value
            self._validate(base, values)
            return base, arguments

    def _divide(self) -> None:
        """Find the values that decide about nothing but themselves."""
        entries = self._template.to_document().get("resources") or {}
        for label in entries:
            self._class(label)  # a worker without the type must not begin any run
        candidates: dict[tuple[str, str], tuple[Any, tuple[str, ...]]] = {}
        for path, names in self._template.places.items():
            inner = path[2:] if path[0] == "resources" else ()
            inner = inner[1:] if inner[:1] == ("attributes",) else inner
            if len(inner) == 1 and _is_plain(entries[path[1]], str(inner[0])):
                label, name = str(path[1]), str(inner[0])
                entry = entries[label]
                value = entry[name] if name in entry else entry["attributes"][name]
                candidates[label, name] = value, names
            else:
                self._decisive.update(names)
        for place, (value, names) in candidates.items():
            if not self._decisive.issuperset(names):  # else it follows from the description
                is_text = self._class(place[0]).attributes[place[1]].kind is str
                self._plain[place] = Filling(
                    value, self._template.parameters, (), partial(_always, is_text)
                )

    def _class(self, label: str) -> type[ResourceManager]:
        return registry.find(str(self._template.to_document()["resources"][label]["type"]))

    def _value(
        self, place: tuple[str, str], filling: Filling, point: Mapping[str, Any]
    ) -> str | None:
        value = filling.at(point)
        return None if value is ABSENT else self._stored(place, dumps(value))

    def _check(self, place: tuple[str, str], text: str) -> str | None:
        """Return the stored value of an attribute as JSON; None if it is not stored."""
        label, name = place
        cls = self._class(label)
        attribute = cls.attributes[name]
        attribute.check_writable(label)
        value = json.loads(text)
        attrs: dict[str, Any] = {}
        if value is not None:
            keep(attrs, attribute, attribute.check(value, cls.rtype))
        return dumps(attrs[name]) if name in attrs else None

    def _validate(self, base: Base, values: Mapping[tuple[str, str], str | None]) -> None:
        """Check combinations of values."""
        if not (base.validated or base.bringing):
            return
        for (label, name), value in values.items():
            if value is not None:
                base.description.resource(label).attrs[name] = json.loads(value)
        for item in base.validated:
            conditional = {condition.action for condition in item.conds}
            base.description.instance(item.guid).validate(conditional)
        _refuse_files(base.description, base.bringing)

    def _make(self, point: Mapping[str, Any]) -> Base:
        description = self._template.describe(point)
        guids = list(description)
        description.check(guids, {"of this deploy": guids})
        guids += [guid for guid in description.complete(guids) if guid not in guids]
        items = [description.resource(guid) for guid in sorted(guids)]
        bringing = [
            item.guid for item in items if item.cls.local_paths is not ResourceManager.local_paths
        ]
        _refuse_files(description, bringing)
        goals = [item.guid for item in items if item.cls.ends_by_itself()]
        if not goals:
            raise CampaignError(
                f"{self._exp_id}: no resource ends by itself, so no run would end",
                hint="add an application, or a nepiq::Sleep with a duration",
            )
        leaders = Leaders(description)
        leaders.propose(guids)
        timeout: Argument = "" if self._timeout is None else self._timeout
        arguments: list[Argument] = [self._exp_id, timeout, len(goals), ranges(sorted(guids))]
        values = {}
        hosts = {}
        requesting = None
        for item in items:
            is_machine = item.cls.provides_host and not item.cls.emulates
            if is_machine and self._hard_release:
                item.attrs["hardRelease"] = True
            spec = description.spec(item.guid, settled=True, leader=leaders.of(item.guid))
            begin = len(arguments) + 3
            goal = item.guid in goals
            arguments += spec_arguments(self._nonce, spec, goal=goal)
            if requesting is None and issubclass(item.cls, Requester):
                requesting = Requesting(spec, goal, begin - 3, len(arguments))
            for number, name in enumerate(spec.attributes):
                values[item.label, name] = begin + 2 * number + 1
            if is_machine:
                hosts[item.label] = (item.guid, _host_name(item))
        validated = [item for item in items if item.cls.validate is not ResourceManager.validate]
        found = any(not name for _, name in hosts.values())
        self.finds_hosts = found or bool(self.finds_hosts)
        by_label = {item.label: item.guid for item in items}
        facts = {label: _facts(description, items, guid) for label, (guid, _) in hosts.items()}
        return Base(
            description,
            validated,
            bringing,
            arguments,
            values,
            by_label,
            hosts,
            facts,
            requesting,
        )


def _always(answer: bool, _: object) -> bool:
    return answer


def _is_plain(entry: Mapping[str, Any], name: str) -> bool:
    """Return whether nothing but its own value follows from an attribute."""
    cls = registry.find(str(entry["type"]))
    if name not in cls.attributes or name in ("critical", cls.leading):
        return False
    if cls.provides_host or cls.implied or cls.leading:
        return False
    return all(getattr(cls, hook) is getattr(ResourceManager, hook, None) for hook in _DECIDING)


def _host_name(item: Resource) -> str:
    """Return the name of a host; empty if it is leased from a pool."""
    if "hostname" not in item.cls.attributes or item.attrs.get("pool"):
        return ""
    return str(item.get("hostname"))


def _facts(
    description: Description, items: Sequence[Resource], host: int
) -> dict[int, Sequence[str]]:
    """Return the names of the attributes that are facts, of a host and the resources on it."""
    found: dict[int, Sequence[str]] = {}
    for item in items:
        names = [name for name, it in item.cls.attributes.items() if Flag.FACT in it.flags]
        if names and description.host_of(item.guid) == host:
            found[item.guid] = names
    return found


def _refuse_files(description: Description, guids: list[int]) -> None:
    for guid, paths in description.local_paths(guids).items():
        raise CampaignError(
            f"{paths[0]!r} is a file of this machine, which the runs of a campaign cannot bring",
            where=description.label(guid),
            hint="put it on the hosts before, for example with a first experiment",
        )
