"""What became of the steps of one message, for those who watch."""

from __future__ import annotations

import time

from ...controller.engine.store.calls import Grant
from ..runtime.metrics import Metrics

_MOST = 8
_BY_KIND = {"failed": "failed", "FAILED": "failed", "cancelled": "cancelled"}


class Account:
    """Takes note of how claimed steps ended; several threads may tell it.

    Args:
        metrics: the worker's.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.monotonic()
        self._told: list[str] = []

    def committed(self, grant: Grant, kind: str, status: str) -> None:
        """An attempt was committed.

        Args:
            grant: the step.
            kind: the outcome's.
            status: what the commit was answered; anything but ``OK`` says it came too late.
        """
        self.ended(grant, _BY_KIND.get(kind, "done") if status == "OK" else "stale")

    def ended(self, grant: Grant, outcome: str) -> None:
        """An attempt ended with one of :data:`.metrics.OUTCOMES`."""
        self._metrics.ended(grant.action, outcome, time.monotonic() - self._began)
        self._told.append(f"{grant.label} {outcome}, attempt {grant.tries}")

    def __str__(self) -> str:
        """What Flower shows as the result of the task."""
        more = len(self._told) - _MOST
        text = "; ".join(self._told[:_MOST]) or "nothing to do"
        return f"{text}; and {more} more" if more > 0 else text
