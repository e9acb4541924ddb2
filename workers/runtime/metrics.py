"""Metrics of a worker: the interface, and an implementation that records nothing.

Labels have few values: an action, an outcome, a state; never a run, a resource or a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ...controller.engine.store.calls import Claim

ACTIONS = ("deploy", "discover", "provision", "start", "stop", "finish", "set", "release")
OUTCOMES = ("done", "failed", "cancelled", "again", "retry", "silent", "lost", "stale")
LATENESS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Buckets of lateness, in seconds."""
DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Buckets of durations, in seconds."""


class Metrics:
    """Metrics that record nothing, for a worker without a metrics endpoint."""

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Record that steps were claimed."""

    def ended(self, action: str, outcome: str, seconds: float) -> None:
        """Record the end of an attempt of a step.

        Args:
            action: of the step.
            outcome: one of :data:`OUTCOMES`.
            seconds: since its claim.
        """

    def renewed(self, answers: Iterable[str]) -> None:
        """Record renewals of leases; each answer is ``ok``, ``lost`` or ``cancel``."""

    def transfer(self, kind: str) -> AbstractContextManager[object]:
        """Count a transfer while the block runs; its kind is fetch, gather, place or follow."""
        return nullcontext()

    def close(self) -> None:
        """Stop serving."""
