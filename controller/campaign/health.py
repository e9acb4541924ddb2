"""The hosts and points of a campaign that are in trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reports.words import clock, plural
from .quarantine import Quarantine, Suspect


@dataclass(frozen=True)
class Health:
    """The hosts and points of a campaign that are in trouble.

    Attributes:
        quarantined: keys of the hosts in quarantine, and when each may be used again.
        suspects: hosts on which commands fail far more often than elsewhere, worst first.
        points: ids of the points that are at fault themselves.
    """

    quarantined: Mapping[str, float]
    suspects: Sequence[Suspect]
    points: Sequence[str]

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> Health:
        """Return the health of a campaign from what it keeps; without anything all is well."""
        if data is None:
            return cls({}, [], [])
        quarantine = Quarantine.from_data(int(data["size"]), data)
        return cls(quarantine.hosts, quarantine.suspects(), quarantine.points)

    def lines(self) -> list[str]:
        """Return lines for people."""
        quarantined = [
            f"host {host} is in quarantine until {clock(until)}: runs failed because of it"
            for host, until in self.quarantined.items()
        ]
        suspects = [
            f"host {item.host} is suspect: commands failed in {item.failed[0]} of "
            f"{plural(item.failed[1], 'run')}, elsewhere in {item.elsewhere[0]} of "
            f"{item.elsewhere[1]}"
            for item in self.suspects
        ]
        points = [
            f"point {point} is at fault: it failed on hosts where others do not"
            for point in self.points
        ]
        return [*quarantined, *suspects, *points]
