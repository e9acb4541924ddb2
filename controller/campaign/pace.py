"""The pace at which the runs of a campaign end, and the time that is left."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.campaign_records import CampaignRecord

_RECENT = 200


class Pace:
    """The pace at which the last 200 runs of a campaign have ended."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_RECENT)

    def add(self, ended: float | None) -> None:
        """Add the end of a run, in seconds since the epoch."""
        if ended is not None:
            self._ends.append(ended)

    @property
    def rate(self) -> float | None:
        """Runs per second; None if it is unknown."""
        if len(self._ends) < 2 or (first := min(self._ends)) >= (last := max(self._ends)):
            return None
        return (len(self._ends) - 1) / (last - first)

    def left(self, record: CampaignRecord) -> float | None:
        """Return the estimated seconds until the campaign ends; None if they are unknown."""
        rate = self.rate
        if rate is None or record.phase != "running":
            return None
        return (record.total - record.done - record.skipped) / rate
