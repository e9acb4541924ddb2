"""How far a campaign is: one line that changes on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .statistics import interval

log = logging.getLogger("nepiq.campaign")

#: Told of each run that has ended: what of it, how many have, and the samples so far.
Said = Callable[[str, int, Sequence[float]], None]


def estimate(samples: Sequence[float]) -> str:
    """The mean of samples with its confidence interval, in words; empty without any."""
    if not samples:
        return ""
    mean = sum(samples) / len(samples)
    reach = interval(samples)
    return f"mean {mean:.4g}" + (f" ± {reach[1] - mean:.2g}" if reach else "")


@contextmanager
def progress(name: str, total: int | None, *, live: bool) -> Iterator[Said]:
    """Show how far a campaign is.

    Args:
        name: of the experiment.
        total: how many runs it has at most, or None.
        live: False if something else writes on the terminal, so that only lines are logged.
    """

    def line(what: str, done: int, samples: Sequence[float]) -> None:
        of = f" of {total}" if total else ""
        known = estimate(samples)
        log.info("%s: %s (%d%s done%s)", name, what, done, of, f", {known}" if known else "")

    if not (live and sys.stderr.isatty()):
        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[known]}", markup=False),
    ]
    console = Console(stderr=True)
    # What callbacks print goes above the bar, if it goes to the terminal at all.
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(name, total=total, known="")

        def show(what: str, done: int, samples: Sequence[float]) -> None:
            line(what, done, samples)
            bar.update(task, completed=done, known=estimate(samples))

        yield show
