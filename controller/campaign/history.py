"""The history of a campaign, as a client reads and follows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..engine.campaign_history import START
from ..engine.campaign_records import CampaignRecord, Entry
from ..engine.campaigns import CampaignStore
from ..engine.redis_errors import contact
from ..errors import WaitTimeout
from .measuring import Measuring

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


def follow(
    store: CampaignStore,
    status: Callable[[], CampaignRecord],
    measuring: Measuring | None,
    after: str = START,
    timeout: float | None = None,
) -> Iterator[Entry]:
    """Yield entries until the campaign does nothing more by itself.

    Args:
        store: the campaign.
        status: returns how far it is.
        measuring: measures runs that wait for a script; None if this process has no functions.
        after: position of the last entry that is known.
        timeout: seconds; None for no limit.

    Raises:
        WaitTimeout: it takes longer.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        if measuring is not None:
            measuring.work()
        # Before the entries: those of its last change come after it.
        over = _is_over(status(), measures=measuring is not None)
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


def _is_over(record: CampaignRecord, *, measures: bool) -> bool:
    if measures and record.waiting:
        return False
    failed = record.phase == "paused" and record.why and (record.held or not record.active)
    return record.over or bool(failed)
