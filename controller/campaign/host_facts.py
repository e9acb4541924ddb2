"""The facts of a campaign's hosts, recorded once by each worker and boot of a host.

A fact is an attribute with :attr:`.Flag.FACT`: of a host its kernel and its processor, of a tool
the version of its program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .compiled import Base

FRESH = 600.0
"""Seconds after which a worker reads the facts of a host again, since it may have rebooted."""


@dataclass(frozen=True)
class HostFacts:
    """The facts of a host as of one of its runs.

    Attributes:
        name: the name of the host.
        recorded: when, in seconds since the epoch.
        facts: its attributes that are facts.
        resources: facts of the resources on it, by label and attribute.
    """

    name: str
    recorded: float
    facts: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]]

    @property
    def key(self) -> str:
        """The same for the same host until it reboots."""
        return f"{self.name} {self.facts.get('bootId', '')}"

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HostFacts:
        """Return the facts that :func:`vars` gave. Unknown fields are ignored."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})


class HostRecorder:
    """The choice of the hosts whose facts a worker has to record."""

    def __init__(self) -> None:
        self._recorded: dict[str, float] = {}

    def wanted(self, base: Base, hosts: Mapping[str, str], now: float) -> Sequence[int]:
        """Return the guids of the resources with facts, on hosts that are not recorded lately.

        Args:
            base: the description of the run.
            hosts: names of its hosts by label.
            now: the time.
        """
        return [guid for label in self._due(hosts, now) for guid in base.facts[label]]

    def record(
        self,
        base: Base,
        hosts: Mapping[str, str],
        attributes: Mapping[int, Mapping[str, Any]],
        now: float,
    ) -> list[HostFacts]:
        """Return the facts of the hosts that are to be recorded.

        Args:
            base: the description of the run.
            hosts: names of its hosts by label.
            attributes: stored attributes of the resources that :meth:`wanted` named, by guid.
            now: the time.
        """
        records = []
        for label in self._due(hosts, now):
            known = {
                guid: {name: stored[name] for name in names if name in stored}
                for guid, names in base.facts[label].items()
                if (stored := attributes.get(guid))
            }
            facts = known.pop(base.hosts[label][0], None)
            if not facts:
                continue  # it was not deployed
            labels = {base.description.label(guid): values for guid, values in known.items()}
            resources = {label: values for label, values in labels.items() if values}
            records.append(HostFacts(hosts[label], round(now, 3), facts, resources))
            self._recorded[hosts[label]] = now
        return records

    def _due(self, hosts: Mapping[str, str], now: float) -> list[str]:
        return [
            label
            for label, name in hosts.items()
            if now - self._recorded.get(name, -FRESH) >= FRESH
        ]
