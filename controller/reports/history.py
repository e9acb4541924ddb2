"""The history of a run, read from its event stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Event, Run


def history(run: Run) -> Iterator[Event]:
    """Yield all events of a run so far, loaded page by page."""
    last = "0-0"
    while True:
        page = run.events(last)
        if not page:
            return
        yield from page
        last = page[-1].id
