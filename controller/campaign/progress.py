"""Progress display of a campaign: a progress bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .statistics import interval

log = logging.getLogger("nepiq.campaign")

#: A function that reports progress: a message, the number of ended runs, and the samples.
Report = Callable[[str, int, Sequence[float]], None]


def estimate(samples: Sequence[float]) -> str:
    """Return the mean of samples with its confidence interval as text; empty for no samples."""
    if not samples:
        return ""
    mean = sum(samples) / len(samples)
    bounds = interval(samples)
    return f"mean {mean:.4g}" + (f" ± {bounds[1] - mean:.2g}" if bounds else "")


@contextmanager
def progress(name: str, total: int | None, *, live: bool) -> Iterator[Report]:
    """Display the progress of a campaign; yield the function that reports it.

    Args:
        name: name of the experiment.
        total: maximum number of runs, or None.
        live: False to log lines only, because another program writes to the terminal.
    """

    def write_line(message: str, done: int, samples: Sequence[float]) -> None:
        of = f" of {total}" if total else ""
        mean = estimate(samples)
        log.info("%s: %s (%d%s done%s)", name, message, done, of, f", {mean}" if mean else "")

    if not (live and sys.stderr.isatty()):
        yield write_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[mean]}", markup=False),
    ]
    console = Console(stderr=True)
    # Output of callbacks is printed above the bar, if stdout is a terminal.
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(name, total=total, mean="")

        def update_bar(message: str, done: int, samples: Sequence[float]) -> None:
            write_line(message, done, samples)
            bar.update(task, completed=done, mean=estimate(samples))

        yield update_bar
