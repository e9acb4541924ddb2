"""Quarantine: the hosts that a campaign leaves alone for a while, and the points at fault.

It only judges: what it is given are the results of runs and the time, and it reads no clock, so
that two processes with the same results come to the same verdict. Its state is JSON data.

- A host with three failures that hosts are to blame for, within its last ten runs and from two
  points or more, is put into quarantine for a minute, then probed. Each time in a row doubles the
  time, up to an hour. At most a fifth of the hosts are in quarantine, but one is always possible:
  if more hosts fail, what they have in common is the cause, such as a network, and they stay in
  use.
- A point with such failures on three hosts, on none of which another point has failed lately, is
  itself at fault. Its failures no longer count against hosts.
- Suspects are hosts on which commands fail far more often than on the others, by
  :func:`.fisher.tail`. They stay in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from . import fisher
from .causes import Blame
from .row import FAILED, FINISHED


@dataclass(frozen=True)
class Limits:
    """The limits of a quarantine.

    Attributes:
        failures: number of failures that put a host into quarantine.
        points: least number of points that they come from.
        runs: number of last runs of a host in which failures are counted.
        share: largest share of the hosts in quarantine.
        hosts_of_point: number of hosts on which a point at fault fails.
        pause: seconds of the first quarantine of a host.
        longest: maximum of its seconds.
        certainty: probability at which a host would be suspect by chance, of all hosts together.
    """

    failures: int = 3
    points: int = 2
    runs: int = 10
    share: float = 0.2
    hosts_of_point: int = 3
    pause: float = 60.0
    longest: float = 3600.0
    certainty: float = 1e-3


class VerdictKind(Enum):
    """The kinds of verdicts."""

    #: The host has been put into quarantine.
    QUARANTINED = "quarantined"
    #: The host is back in use.
    BACK = "back"
    #: The host would be put into quarantine, but too many are.
    TOO_MANY = "too many"
    #: The point is at fault.
    POINT_AT_FAULT = "point at fault"


@dataclass(frozen=True)
class Verdict:
    """A change that a result has caused.

    Attributes:
        kind: what has changed.
        host: the host; empty for a point.
        point: the point; empty for a host.
        until: time of the probe of a host in quarantine; else 0.
    """

    kind: VerdictKind
    host: str = ""
    point: str = ""
    until: float = 0.0


@dataclass(frozen=True)
class Suspect:
    """A host on which commands fail far more often than on the others.

    Attributes:
        host: the host.
        failed: number of failed runs that count, and of all ended ones, on this host.
        elsewhere: the same of all other hosts together.
        chance: probability of so many failures if all hosts were alike.
    """

    host: str
    failed: tuple[int, int]
    elsewhere: tuple[int, int]
    chance: float


@dataclass
class _Host:
    """The record of one host.

    Attributes:
        last: last results; the point of each failure, or empty text for a finished run.
        until: end of its quarantine; 0 if it is in use.
        level: number of quarantines in a row.
        finished: number of finished runs.
    """

    last: list[str] = field(default_factory=list)
    until: float = 0.0
    level: int = 0
    finished: int = 0


@dataclass
class _Point:
    """The record of a point that has failed.

    Attributes:
        lost: hosts on which it failed and which were to blame.
        failed: number of failures of its commands by host.
        finishes: True if a run of it has finished since.
        at_fault: True if it is at fault.
    """

    lost: list[str] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    finishes: bool = False
    at_fault: bool = False


class Quarantine:
    """The hosts of a campaign in quarantine, by the results of its runs.

    Args:
        size: number of hosts that the campaign may use.
        limits: the limits.

    Example:
        ::

            quarantine = Quarantine(size=20)
            for verdict in quarantine.record("fit01", point, "failed", Blame.HOST, time.time()):
                print(verdict.kind.value, verdict.host)
    """

    def __init__(self, size: int, limits: Limits | None = None) -> None:
        self.size = size
        self.limits = limits or Limits()
        self._hosts: dict[str, _Host] = {}
        self._points: dict[str, _Point] = {}

    # -- results ------------------------------------------------------------------------------

    def record(
        self, host: str, point: str, outcome: str, blame: Blame | None, at: float
    ) -> list[Verdict]:
        """Take the result of a run on one host into account.

        Of a run on several hosts, a finished one is recorded for each of them, a failed one only
        for the host of the resource that failed.

        Args:
            host: the host.
            point: id of the point.
            outcome: the outcome of the run; ``cancelled`` changes nothing.
            blame: the part that a failure is attributed to.
            at: time of its end, in seconds.

        Returns:
            What has changed by it.
        """
        if outcome == FINISHED:
            return self._finished(host, point)
        if outcome != FAILED or blame in (None, Blame.WORKER):
            return []
        record = self._points.setdefault(point, _Point())
        if blame is not Blame.HOST:
            record.failed[host] = record.failed.get(host, 0) + 1
            return []
        if record.at_fault:
            return []
        if host not in record.lost:
            record.lost.append(host)
        self._remember(host, point)
        return self._judge(host, at) + self._judge_point(point)

    def probed(self, host: str, *, ok: bool, at: float) -> list[Verdict]:
        """Take the result of the probe of a host in quarantine into account."""
        record = self._hosts.get(host)
        if record is None or not record.until:
            return []
        if not ok:
            return [self._put(host, at)]
        record.until, record.last = 0.0, []
        return [Verdict(VerdictKind.BACK, host)]

    # -- state --------------------------------------------------------------------------------

    @property
    def hosts(self) -> dict[str, float]:
        """The hosts in quarantine, with the time at which each is to be probed."""
        return {name: record.until for name, record in self._hosts.items() if record.until}

    @property
    def points(self) -> list[str]:
        """The points at fault."""
        return [name for name, record in self._points.items() if record.at_fault]

    def due(self, at: float) -> list[str]:
        """Return the hosts to probe at a time."""
        return [host for host, until in self.hosts.items() if until <= at]

    def suspects(self) -> list[Suspect]:
        """Return the hosts on which commands fail far more often than elsewhere, worst first."""
        failed = self._failed_commands()
        finished = {name: record.finished for name, record in self._hosts.items()}
        names = failed.keys() | finished.keys()
        ended = {name: failed.get(name, 0) + finished.get(name, 0) for name in names}
        all_failed, all_ended = sum(failed.values()), sum(ended.values())
        suspects = []
        for host, count in failed.items():
            elsewhere = (all_failed - count, all_ended - ended[host])
            chance = fisher.tail(count, ended[host], *elsewhere)
            # Each host is looked at: the probability that any is suspect by chance is the limit.
            if chance * len(names) < self.limits.certainty:
                suspects.append(Suspect(host, (count, ended[host]), elsewhere, chance))
        return sorted(suspects, key=lambda suspect: (suspect.chance, suspect.host))

    def to_data(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return {
            "hosts": {name: asdict(record) for name, record in self._hosts.items()},
            "points": {name: asdict(record) for name, record in self._points.items()},
        }

    @classmethod
    def from_data(
        cls, size: int, data: Mapping[str, Any], limits: Limits | None = None
    ) -> Quarantine:
        """Return the quarantine whose state :meth:`to_data` returned."""
        quarantine = cls(size, limits)
        quarantine._hosts = {name: _Host(**record) for name, record in data["hosts"].items()}
        quarantine._points = {name: _Point(**record) for name, record in data["points"].items()}
        return quarantine

    # -- inside -------------------------------------------------------------------------------

    def _finished(self, host: str, point: str) -> list[Verdict]:
        record = self._remember(host, "")
        record.finished += 1
        if not record.until and len(record.last) == self.limits.runs and not any(record.last):
            record.level = 0
        failing = self._points.get(point)
        if failing is not None:
            failing.finishes, failing.lost, failing.at_fault = True, [], False
        return []

    def _remember(self, host: str, point: str) -> _Host:
        record = self._hosts.setdefault(host, _Host())
        record.last = [*record.last, point][-self.limits.runs :]
        return record

    def _deserves(self, host: str) -> bool:
        points = [point for point in self._hosts[host].last if point]
        return len(points) >= self.limits.failures and len(set(points)) >= self.limits.points

    def _judge(self, host: str, at: float) -> list[Verdict]:
        if self._hosts[host].until or not self._deserves(host):
            return []
        if len(self.hosts) >= max(1, int(self.size * self.limits.share)):
            return [Verdict(VerdictKind.TOO_MANY, host)]
        return [self._put(host, at)]

    def _put(self, host: str, at: float) -> Verdict:
        record = self._hosts[host]
        pause = self.limits.pause * 2.0 ** min(record.level, 60)
        record.level += 1
        record.until = at + min(pause, self.limits.longest)
        return Verdict(VerdictKind.QUARANTINED, host, until=record.until)

    def _judge_point(self, point: str) -> list[Verdict]:
        record = self._points[point]
        sound = [host for host in record.lost if not set(self._hosts[host].last) - {point, ""}]
        if len(sound) < self.limits.hosts_of_point:
            return []
        record.at_fault = True
        verdicts = [Verdict(VerdictKind.POINT_AT_FAULT, point=point)]
        for host in record.lost:
            other = self._hosts[host]
            other.last = [name for name in other.last if name != point]
            if other.until and not self._deserves(host):
                other.until, other.level = 0.0, other.level - 1
                verdicts.append(Verdict(VerdictKind.BACK, host))
        return verdicts

    def _failed_commands(self) -> dict[str, int]:
        """Return the number of failures of commands that count, by host.

        A point that fails on two hosts and has not finished since has a wrong command, which says
        nothing of hosts. Of a point that has not finished since, one failure a host counts: it may
        have a wrong command, too.
        """
        counts: dict[str, int] = {}
        for record in self._points.values():
            if not record.finishes and len(record.failed) > 1:
                continue
            for host, count in record.failed.items():
                counts[host] = counts.get(host, 0) + (count if record.finishes else 1)
        return counts
