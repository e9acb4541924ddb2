"""Offset of this machine's clock from that of Redis, the clock of the engine."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

TOLERATED = 0.5
"""Seconds of clock offset above which a warning is given."""

SAMPLES = 5


def ahead_of(redis: Redis, samples: int = SAMPLES) -> float:
    """Return the seconds by which this machine's clock is ahead of Redis'; negative if behind.

    Of several samples the one with the shortest round trip counts. Redis is assumed to read its
    clock in the middle of that trip, so the error is at most half of it.
    """
    best = (float("inf"), 0.0)
    for _ in range(samples):
        before, began = time.time(), time.monotonic()
        reply: Any = redis.time()
        trip = time.monotonic() - began
        best = min(best, (trip, before + trip / 2 - (reply[0] + reply[1] / 1e6)))
    return best[1]
