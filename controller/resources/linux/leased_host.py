"""A leased host, as a node and its reservation keep it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...errors import HostError, InvalidValue
from ...model import Facts, HostLease, Pools
from .where import Where

#: Facts that hosts report and that expressions may name. Those that a host does not report have
#: no value.
FACTS = ("arch", "cpus", "kernel", "memory", "os", "system")
#: Least and most seconds for which a host that could not be reached is passed over.
PASSED_OVER = (10.0, 300.0)


class LeasedHost(dict[str, Any]):
    """The host of a lease: where it is, and the number of the lease.

    It has the fields ``host`` (key), ``token``, ``request`` (guid of the reservation), ``login``
    (attributes of the node by name) and ``labels``.
    """

    @classmethod
    def parse(cls, value: Any) -> LeasedHost:
        """Return a leased host from its JSON form."""
        if not isinstance(value, Mapping) or not isinstance(value.get("login"), Mapping):
            raise InvalidValue("must be a leased host")
        return cls(value)

    @property
    def host(self) -> str:
        """The key of the host."""
        return str(self["host"])

    @property
    def number(self) -> HostLease:
        """The host's key and the number of the lease."""
        return HostLease(self.host, int(self["token"]))

    @property
    def request(self) -> int:
        """The guid of the resource that requested it."""
        return int(self["request"])

    @property
    def login(self) -> Mapping[str, Any]:
        """Attributes of the node that the pool gives."""
        login: Mapping[str, Any] = self["login"]
        return login

    def suspect(self, pools: Pools) -> None:
        """Keep that the host could not be reached, so that it is not leased next."""
        pools.learn(self.host, unreachable_now(pools.facts([self.host]).get(self.host, {})))

    def confirm(self, pools: Pools, facts: Facts, where: Where | None) -> None:
        """Keep the facts of the host, and check that it is as its node wants it.

        Raises:
            HostError: it has changed since its facts were kept.
        """
        known = facts_of(facts)
        pools.learn(self.host, known)
        if where is not None and not where.matches({**known, **self["labels"]}):
            raise HostError(
                f"host {self.host} does not fulfil {where}",
                hint="it has changed since it was last used; deploy again to lease another one",
            )


def facts_of(facts: Facts) -> dict[str, Any]:
    """Return the facts of a host in the form in which they are kept."""
    known = {name: getattr(facts, name, None) for name in FACTS}
    return {**known, "inspected": time.time(), "unreachable": None, "unreachableSince": None}


def unreachable_now(known: Mapping[str, Any]) -> dict[str, float]:
    """Return what is to be kept of a host that could not be reached just now.

    Args:
        known: what is kept of it so far.
    """
    now = time.time()
    return {"unreachable": now, "unreachableSince": float(known.get("unreachableSince") or now)}


def is_passed_over(known: Mapping[str, Any]) -> bool:
    """Return whether a host is left out if others are enough, since it could not be reached.

    It is for as long as it has been unreachable, so that a host that boots is back soon, and one
    that is off is tried seldom.

    Args:
        known: what is kept of it.
    """
    last = float(known.get("unreachable") or 0.0)
    least, most = PASSED_OVER
    lasted = last - float(known.get("unreachableSince") or last)
    return time.time() - last < min(max(lasted, least), most)
