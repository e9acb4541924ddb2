"""What a worker counts and measures, and how Prometheus reads it.

Labels are of few values only: an action, an outcome, a state. Never a run, a resource or a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ...controller.engine.store.calls import Grant

ACTIONS = ("deploy", "discover", "provision", "start", "stop", "set", "release")
OUTCOMES = ("done", "failed", "cancelled", "again", "retry", "silent", "lost", "stale")
LATENESS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Buckets of lateness, in seconds."""
DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Buckets of durations, in seconds."""


class Metrics:
    """Takes note of nothing: what a worker has that nobody asks."""

    def claimed(self, grants: Sequence[Grant]) -> None:
        """Steps were claimed."""

    def ended(self, action: str, outcome: str, seconds: float) -> None:
        """An attempt of a step has ended.

        Args:
            action: of the step.
            outcome: one of :data:`OUTCOMES`.
            seconds: since it was claimed.
        """

    def renewed(self, answers: Iterable[str]) -> None:
        """Leases were renewed; ``answers`` says ``ok``, ``lost`` or ``cancel`` of each."""

    def transfer(self, kind: str) -> AbstractContextManager[object]:
        """Something is on its way while the block runs: fetch, gather, place or follow."""
        return nullcontext()

    def close(self) -> None:
        """Answer nobody any more."""
