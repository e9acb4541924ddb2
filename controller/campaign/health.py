"""The hosts of pools that a campaign uses, and its hosts and points that are in trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..reports.words import clock, plural
from .quarantine import Quarantine, Suspect

if TYPE_CHECKING:
    from ..engine.campaigns import CampaignStore
    from ..engine.pools import PoolStore


class Trouble(NamedTuple):
    """A host or a point that is in trouble.

    Attributes:
        host: key of the host; empty for a point.
        point: id of the point; empty for a host.
        text: what is wrong with it, as the rest of a sentence.
    """

    host: str
    point: str
    text: str


@dataclass(frozen=True)
class Health:
    """The hosts of pools that a campaign uses, and its hosts and points that are in trouble.

    Attributes:
        quarantined: keys of the hosts in quarantine, and when each may be used again.
        suspects: hosts on which commands fail far more often than elsewhere, worst first.
        points: ids of the points that are at fault themselves.
        used: keys of the hosts that its runs have now.
        size: number of hosts that it may use; 0 as long as that is unknown.
    """

    quarantined: Mapping[str, float]
    suspects: Sequence[Suspect]
    points: Sequence[str]
    used: Sequence[str] = ()
    size: int = 0

    @classmethod
    def of(cls, store: CampaignStore, pools: PoolStore) -> Health:
        """Return the health of a campaign now."""
        leases = pools.leases_of(store.active())
        return cls.from_data(store.quarantine(), [lease.host for lease in leases])

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None, used: Sequence[str] = ()) -> Health:
        """Return the health of a campaign from what it keeps; without anything all is well.

        Args:
            data: what its quarantine keeps.
            used: keys of the hosts that its runs have now.
        """
        if data is None:
            return cls({}, [], [], sorted(used))
        size = int(data["size"])
        quarantine = Quarantine.from_data(size, data)
        suspects = quarantine.suspects()
        return cls(quarantine.hosts, suspects, quarantine.points, sorted(used), size)

    @property
    def hosts_in_use(self) -> str:
        """How many hosts are in use, for people: ``7 of 20 hosts in use``; empty for none."""
        if not self.used:
            return ""
        of = f"{len(self.used)} of {plural(self.size, 'host')}" if self.size else ""
        return f"{of or plural(len(self.used), 'host')} in use"

    def troubles(self) -> list[Trouble]:
        """Return what is in trouble, hosts before points."""
        quarantined = [
            Trouble(host, "", f"is in quarantine until {clock(until)}: runs failed because of it")
            for host, until in self.quarantined.items()
        ]
        suspects = [
            Trouble(
                item.host,
                "",
                f"is suspect: commands failed in {item.failed[0]} of "
                f"{plural(item.failed[1], 'run')}, elsewhere in {item.elsewhere[0]} of "
                f"{item.elsewhere[1]}",
            )
            for item in self.suspects
        ]
        points = [
            Trouble("", point, "is at fault: it failed on hosts where others do not")
            for point in self.points
        ]
        return [*quarantined, *suspects, *points]

    def lines(self) -> list[str]:
        """Return lines for people about what is in trouble."""
        return [
            f"host {host} {text}" if host else f"point {point} {text}"
            for host, point, text in self.troubles()
        ]
