"""The whole history of a run, from its event stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Event, Run


def history(run: Run) -> Iterator[Event]:
    """Yield every event of a run so far, page by page."""
    last = "0-0"
    while True:
        page = run.events(last)
        if not page:
            return
        yield from page
        last = page[-1].id
