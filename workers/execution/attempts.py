"""Outcomes of the steps of one Celery message, returned as the task result (shown by Flower)."""

from __future__ import annotations

import time

from ...controller.engine.store.calls import Claim
from ..runtime.metrics import Metrics

_LONGEST_LIST = 8
_BY_KIND = {"failed": "failed", "FAILED": "failed", "cancelled": "cancelled"}


class AttemptSummary:
    """Collects the outcomes of claimed steps; may be used by several threads.

    Args:
        metrics: of the worker.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.monotonic()
        self._lines: list[str] = []

    def committed(self, claim: Claim, kind: str, status: str) -> None:
        """Record an attempt that was committed.

        Args:
            claim: the step.
            kind: of the outcome.
            status: reply to the commit; anything but ``OK`` means that it came too late.
        """
        self.ended(claim, _BY_KIND.get(kind, "done") if status == "OK" else "stale")

    def ended(self, claim: Claim, outcome: str) -> None:
        """Record an attempt that ended with one of :data:`.metrics.OUTCOMES`."""
        self._metrics.ended(claim.action, outcome, time.monotonic() - self._began)
        self._lines.append(f"{claim.label} {outcome}, attempt {claim.tries}")

    def __str__(self) -> str:
        """Return the first outcomes, and the number of the others."""
        more = len(self._lines) - _LONGEST_LIST
        text = "; ".join(self._lines[:_LONGEST_LIST]) or "nothing to do"
        return f"{text}; and {more} more" if more > 0 else text
