"""Progress of a campaign: a live display on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors.text import one_line
from ..reports.words import number, plural
from .console import Consoles, print_message, simple_table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ..campaign.campaign import Campaign
    from ..campaign.health import Health
    from ..campaign.summary import PointSummary
    from ..campaign.time_left import Left
    from ..engine.campaign_records import CampaignRecord, Repeated

REFRESH, LINES = 0.25, 10.0
"""Seconds between two views on a terminal, and between two lines elsewhere."""

INTERRUPTED = 130
"""Exit code after ctrl-C."""

MOST_POINTS = 50
"""Points up to which the summary of an ended campaign is shown without being asked for."""

_LONGEST = 30  # characters of a value in a table
_MOST_HOSTS = 4  # in a line


def lines(
    record: CampaignRecord,
    causes: Mapping[str, tuple[int, str]],
    health: Health | None = None,
    left: Left | None = None,
    repeats: Mapping[str, Repeated] | None = None,
) -> list[str]:
    """Return the status of a campaign as lines.

    Args:
        record: how far it is.
        causes: of its failures, with the number of runs and one of them.
        health: its hosts, and what is in trouble.
        left: the time until it ends.
        repeats: the runs that were begun again, by cause.
    """
    parts = [f"{record.name}: {record.phase}, {record.done} of {plural(record.total, 'run')} ended"]
    for count, word in (
        (record.active, "under way"),
        (record.placing, "waiting for hosts"),
        (record.waiting, "waiting for a function of the script"),
        (record.failed, "failed"),
        (record.cancelled, "cancelled"),
        (record.again, "begun again"),
        (record.skipped, "not needed"),
    ):
        if count:
            parts.append(f"{count} {word}")
    if record.priority:
        parts.append(f"priority {record.priority}")
    if health is not None and health.used:
        parts.append(health.hosts_in_use)
    if left is not None:
        parts.append(str(left))
    head = ", ".join(parts) + (f" ({record.why})" if record.why else "")
    failures = [
        f"{plural(count, 'run')}{f', such as {example}' if example else ''}: {cause}"
        for cause, (count, example) in causes.items()
    ]
    again = [
        f"{plural(item.runs, 'run')} begun again{_because_of(item.hosts)}, such as {item.example}: "
        f"{cause}"
        for cause, item in (repeats or {}).items()
    ]
    trouble = health.lines() if health is not None else []
    return [head, *(f"  {line}" for line in (*failures, *again, *trouble))]


def _because_of(hosts: Sequence[str]) -> str:
    shown = ", ".join(hosts[:_MOST_HOSTS])
    more = len(hosts) - _MOST_HOSTS
    return f" because of {shown}{f' and {more} more' if more > 0 else ''}" if hosts else ""


def summary_table(points: Sequence[PointSummary]) -> Table:
    """Return a table of points: parameters, runs, and means with 95 % confidence intervals."""
    parameters = dict.fromkeys(name for point in points for name in point.parameters)
    metrics = dict.fromkeys(name for point in points for name in (*point.samples, *point.texts))
    failed = ("failed",) if any(point.failed for point in points) else ()
    table = simple_table(*parameters, "runs", *failed, *metrics)
    for point in points:
        values = (_shown(point.parameters.get(name, "")) for name in parameters)
        counts = (str(point.runs), *([str(point.failed or "")] if failed else ()))
        table.add_row(*values, *counts, *(_estimate(point, name) for name in metrics))
    return table


def _estimate(point: PointSummary, metric: str) -> str:
    mean = point.mean(metric)
    if mean is None:
        return _shown(", ".join(point.texts.get(metric, ())))
    return number(mean, point.margin(metric))


def _shown(value: Any) -> str:
    return one_line(str(value), _LONGEST)


def follow(campaign: Campaign, *, summary: bool = True) -> int:
    """Show the progress of a campaign until it does nothing more; return the exit code.

    Args:
        campaign: the campaign.
        summary: print the summary of its points at the end, unless there are too many.
    """
    from ..campaign.summary import summaries

    with suppress(KeyboardInterrupt):
        if sys.stderr.isatty():
            _show(campaign)
        else:
            _log(campaign)
        record = campaign.status()
        causes, health, repeats = campaign.causes(), campaign.health(), campaign.repeats()
        for line in lines(record, causes, health, repeats=repeats):
            print_message(line)
        points = summaries(campaign.rows()) if summary else []
        if len(points) <= MOST_POINTS and any(point.samples or point.texts for point in points):
            Consoles().out.print(summary_table(points))
        return 0 if record.phase == "finished" and not record.failed else 1
    print_message(f"the campaign goes on: nepiq campaign watch {campaign.name}")
    return INTERRUPTED


def _log(campaign: Campaign) -> None:
    shown = time.monotonic()
    for _ in campaign.rows(follow=True):
        if time.monotonic() - shown >= LINES:
            shown = time.monotonic()
            health = campaign.health()
            print_message(lines(campaign.status(), {}, health, campaign.left())[0])


def _show(campaign: Campaign) -> None:
    from rich.live import Live

    with Live(_view(campaign), console=Consoles().err, auto_refresh=False, transient=True) as live:
        live.refresh()
        shown = time.monotonic()
        for _ in campaign.rows(follow=True):
            if time.monotonic() - shown >= REFRESH:
                shown = time.monotonic()
                live.update(_view(campaign), refresh=True)


def _view(campaign: Campaign) -> Text:
    from rich.text import Text

    record, causes, health = campaign.status(), campaign.causes(), campaign.health()
    shown = lines(record, causes, health, campaign.left(), campaign.repeats())
    return Text("\n".join(shown))
