"""The history of a campaign, as a client reads and follows it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ..engine.campaign_history import START
from ..engine.campaign_records import CampaignRecord, Entry
from ..engine.redis_errors import contact
from ..errors import WaitTimeout
from .measuring import Functions, Measuring
from .row import Row

if TYPE_CHECKING:
    from ..engine.campaigns import CampaignStore
    from .campaign_link import CampaignLink

PATIENCE = 5.0
"""Seconds without an entry after which a campaign is looked at."""


def entries(store: CampaignStore, after: str = START) -> Iterator[Entry]:
    """Yield the entries that there are after a position."""
    while True:
        with contact():
            found = store.history(after)
        if not found:
            return
        yield from found
        after = found[-1].id


class History:
    """The rows of a campaign; functions of the script measure its runs while they are followed.

    Args:
        link: to the campaign.
        functions: those of the script.
    """

    def __init__(self, link: CampaignLink, functions: Functions) -> None:
        self._link = link
        self._functions = functions
        self._measuring: Measuring | None = None

    def rows(self, run_ids: Collection[str] = (), *, follow: bool = False) -> Iterator[Row]:
        """Yield the row of each run that has ended, in the order in which they ended.

        Args:
            run_ids: only these runs; all by default.
            follow: wait for further ones until the campaign does nothing more.
        """
        for entry in self._follow() if follow else entries(self._link.store):
            if entry.row:
                row = Row.from_json(entry.row)
                if not run_ids or row.run_id in run_ids:
                    yield row

    def wait(self, timeout: float | None) -> None:
        """Wait until the campaign does nothing more by itself.

        Args:
            timeout: seconds; None for no limit.

        Raises:
            WaitTimeout: it takes longer.
        """
        with contact():
            last = self._link.store.last()
        for _ in self._follow(last, timeout):
            pass

    def _follow(self, after: str = START, timeout: float | None = None) -> Iterator[Entry]:
        """Yield entries behind a position until the campaign does nothing more by itself."""
        store, measuring = self._link.store, self._measured()
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if measuring is not None:
                measuring.work()
            # Before the entries: those of its last change come after it.
            over = _is_over(self._link.record(), measures=measuring is not None)
            left = PATIENCE if end is None else min(PATIENCE, end - time.monotonic())
            with contact():
                found = store.history(after, 0.0 if over else max(0.001, left))
            yield from found
            if found:
                after = found[-1].id
            elif over:
                return
            elif end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"campaign {store.name} takes longer than {timeout:g} s")

    def _measured(self) -> Measuring | None:
        """Return what measures runs that wait for the script; None if it has no functions."""
        if self._functions and self._measuring is None:
            link = self._link
            self._measuring = Measuring(link.access, link.store, self._functions)
        return self._measuring


def _is_over(record: CampaignRecord, *, measures: bool) -> bool:
    if measures and record.waiting:
        return False
    failed = record.phase == "paused" and record.why and (record.held or not record.active)
    return record.over or bool(failed)
