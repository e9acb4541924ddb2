"""This machine's clock beside that of Redis, which all times of the engine are by."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

TOLERATED = 0.5
"""Seconds by which a clock may be wrong before somebody is told."""

SAMPLES = 5


def ahead_of(redis: Redis, samples: int = SAMPLES) -> float:
    """Seconds by which this machine's clock is ahead of that of Redis; negative if behind.

    Of several samples the one with the shortest round trip counts, and half of that trip is taken
    for the way to Redis: the error is at most the other half.
    """
    best = (float("inf"), 0.0)
    for _ in range(samples):
        before, began = time.time(), time.monotonic()
        answer: Any = redis.time()
        trip = time.monotonic() - began
        best = min(best, (trip, before + trip / 2 - (answer[0] + answer[1] / 1e6)))
    return best[1]
