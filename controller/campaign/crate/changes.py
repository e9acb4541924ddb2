"""Changes of the environment between two campaigns: versions, and facts of hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..host_facts import HostFacts
from ..provenance import Provenance

#: Facts that may decide about results; others differ between any two hosts or boots.
_FACTS = ("os", "kernel", "arch", "cpus", "memory", "processor", "governor")


class Change(NamedTuple):
    """A part of the environment that differs.

    Attributes:
        kind: ``tool``, ``host`` or ``package``.
        name: of the tool, fact or package.
        before: its version or value; empty if it was not there.
        after: likewise.
    """

    kind: str
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before or 'none'} -> {self.after or 'none'}"


def changes(
    before: tuple[Provenance, Sequence[HostFacts]], after: tuple[Provenance, Sequence[HostFacts]]
) -> list[Change]:
    """Return what differs between two campaigns: tools first, then hosts, then packages.

    Args:
        before: where the first campaign was submitted from, and the facts of its hosts.
        after: those of the second one.
    """
    return [
        *_differing("tool", _tools(before[1]), _tools(after[1])),
        *_differing("host", _facts(before[1]), _facts(after[1])),
        *_differing("package", _packages(before[0]), _packages(after[0])),
    ]


def _tools(hosts: Sequence[HostFacts]) -> dict[str, str]:
    """Return the versions of tools, by label of the resource and name of the attribute."""
    values: dict[str, set[str]] = defaultdict(set)
    for host in hosts:
        for label, facts in host.resources.items():
            for name, value in facts.items():
                values[f"{name} of {label}"].add(str(value))
    return _joined(values)


def _facts(hosts: Sequence[HostFacts]) -> dict[str, str]:
    values: dict[str, set[str]] = defaultdict(set)
    for host in hosts:
        for name in _FACTS:
            if host.facts.get(name) not in (None, ""):
                values[name].add(str(host.facts[name]))
    return _joined(values)


def _joined(values: Mapping[str, set[str]]) -> dict[str, str]:
    return {name: ", ".join(sorted(found)) for name, found in values.items()}


def _packages(provenance: Provenance) -> dict[str, str]:
    return {**provenance.versions, **provenance.packages}


def _differing(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name, ""), after.get(name, "")
        if one != other:
            yield Change(kind, name, one, other)
