"""Progress of a campaign: a live display on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..reports.words import duration, plural
from .console import Consoles, print_message

if TYPE_CHECKING:
    from ..campaign.campaign import Campaign
    from ..engine.campaign_records import CampaignRecord

REFRESH, LINES = 0.25, 10.0
"""Seconds between two views on a terminal, and between two lines elsewhere."""

INTERRUPTED = 130
"""Exit code after ctrl-C."""

_RECENT = 200  # ended runs from which the time that is left is estimated


def lines(record: CampaignRecord, causes: Mapping[str, tuple[int, str]]) -> list[str]:
    """Return the status of a campaign as lines, the causes of failures among them."""
    parts = [f"{record.name}: {record.phase}, {record.done} of {plural(record.total, 'run')} ended"]
    for number, word in (
        (record.active, "under way"),
        (record.failed, "failed"),
        (record.cancelled, "cancelled"),
        (record.again, "begun again"),
        (record.skipped, "not needed"),
    ):
        if number:
            parts.append(f"{number} {word}")
    head = ", ".join(parts) + (f" ({record.why})" if record.why else "")
    failures = [
        f"  {plural(count, 'run')}{f', such as {example}' if example else ''}: {cause}"
        for cause, (count, example) in causes.items()
    ]
    return [head, *failures]


def follow(campaign: Campaign) -> int:
    """Show the progress of a campaign until it does nothing more; return the exit code."""
    with suppress(KeyboardInterrupt):
        if sys.stderr.isatty():
            _show(campaign)
        else:
            _log(campaign)
        record = campaign.status()
        for line in lines(record, campaign.causes()):
            print_message(line)
        return 0 if record.phase == "finished" and not record.failed else 1
    print_message(f"the campaign goes on: nepiq campaign watch {campaign.name}")
    return INTERRUPTED


def _log(campaign: Campaign) -> None:
    pace, shown = _Pace(), time.monotonic()
    for row in campaign.rows(follow=True):
        pace.add(row.ended)
        if time.monotonic() - shown >= LINES:
            shown = time.monotonic()
            record = campaign.status()
            print_message(lines(record, {})[0] + pace.left(record))


def _show(campaign: Campaign) -> None:
    from rich.live import Live
    from rich.text import Text

    pace, shown = _Pace(), 0.0
    with Live(Text(""), console=Consoles().err, auto_refresh=False, transient=True) as live:
        for row in campaign.rows(follow=True):
            pace.add(row.ended)
            if time.monotonic() - shown < REFRESH:
                continue
            shown = time.monotonic()
            record = campaign.status()
            head, *causes = lines(record, campaign.causes())
            live.update(Text("\n".join([head + pace.left(record), *causes])), refresh=True)


class _Pace:
    """The pace at which runs end."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_RECENT)

    def add(self, ended: float | None) -> None:
        """Add the end of a run."""
        if ended is not None:
            self._ends.append(ended)

    def left(self, record: CampaignRecord) -> str:
        """Return the estimated time that is left, as a part of a line; empty if it is unknown."""
        ends = sorted(self._ends)
        if len(ends) < 2 or ends[-1] <= ends[0] or record.phase != "running":
            return ""
        seconds = (record.total - record.done) * (ends[-1] - ends[0]) / (len(ends) - 1)
        return f", about {duration(seconds)} left"
