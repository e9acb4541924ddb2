"""Fake pools of hosts, for tests of resource classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from ..errors import NepiqError
from ..model.facts import Facts
from ..model.pools import Granted, HostLease, Queued, Want
from ..model.resource import ResourceManager
from .fake_host import FACTS


class FakePools:
    """Fake pools of hosts: requests are granted as a whole while hosts are free.

    Attributes:
        kept: pools that are kept in the installation, by name.
        known: facts of hosts, by key.
        leases: guid of the resource that each leased host is for, by key.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.leases: dict[str, int] = {}
        self._tokens = count(1)

    def installed(self, name: str) -> Mapping[str, Any] | None:
        """Return a pool of :attr:`kept`."""
        return self.kept.get(name)

    def facts(self, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the known facts of hosts."""
        return {host: self.known[host] for host in hosts if host in self.known}

    def learn(self, host: str, facts: Mapping[str, Any]) -> None:
        """Add to :attr:`known`."""
        known = {**self.known.get(host, {}), **facts}
        self.known[host] = {name: value for name, value in known.items() if value is not None}

    def inspect(self, hosts: Mapping[str, ResourceManager]) -> dict[str, Facts | NepiqError]:
        """Return the facts of a fake host for each."""
        return dict.fromkeys(hosts, FACTS)

    def lease(self, wants: Sequence[Want]) -> Granted | Queued:
        """Grant the first free hosts that each resource can use, or none."""
        found: dict[int, HostLease] = {}
        taken = {
            host for host, guid in self.leases.items() if all(guid not in w.guids for w in wants)
        }
        token = next(self._tokens)
        for want in wants:
            free = [host for host in want.hosts if host not in taken]
            for guid, host in zip(want.guids, free, strict=False):
                found[guid] = HostLease(host, token)
                taken.add(host)
        if len(found) < sum(len(want.guids) for want in wants):
            return Queued(0.0)
        self.leases |= {lease.host: guid for guid, lease in found.items()}
        return Granted(found, 0.0)

    def give_back(self, request: int | None = None, guid: int | None = None) -> None:
        """Free the host of a resource, or all."""
        del request
        self.leases = {
            host: owner for host, owner in self.leases.items() if guid not in (None, owner)
        }
