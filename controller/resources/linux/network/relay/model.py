"""The model of an impairment: its parameters, and what it draws for each packet."""

from __future__ import annotations

import random
from typing import Any

from .netlink import Refused

DROP, PASS, TWICE = 0, 1, 2
LIMIT = 10_000

_RANGES = {
    "delay": (0, 3600),
    "jitter": (0, 3600),
    "loss": (0, 100),
    "burst": (0, 1e6),
    "reorder": (0, 100),
    "duplicate": (0, 100),
    "limit": (1, 1e7),
    "seed": (0, 2**63),
}


class Model:
    """Parameters, and draws by them.

    Args:
        values: by name. ``delay``: seconds that each packet is held. ``jitter``: seconds by which
            that varies at most, evenly. ``loss``: percentage of packets that are dropped.
            ``burst``: mean number of packets that are dropped in a row; 0 for independent losses.
            ``reorder``: percentage of packets that pass at once, before those that are held.
            ``duplicate``: percentage of packets that pass twice. ``limit``: number of packets that
            are held at most. ``seed``: start of the sequence of random numbers.

    Attributes:
        values: all parameters.
        limit: number of packets that are held at most.
        is_plain: True if all packets have the same delay, and none is dropped.

    Raises:
        Refused: a parameter is unknown or out of its range.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name not in _RANGES:
                raise Refused(f"unknown parameter {name!r}; there are {', '.join(_RANGES)}")
            least, most = _RANGES[name]
            if not isinstance(value, (int, float)) or not least <= value <= most:
                raise Refused(f"{name} must be a number from {least} to {most:g}, not {value!r}")
        self.values = {name: 0 for name in _RANGES if name != "seed"}
        self.values.update({"limit": LIMIT, **values})
        self.limit = int(self.values["limit"])
        self._delay = round(self.values["delay"] * 1e9)
        self._jitter = round(self.values["jitter"] * 1e9)
        self._reorder = self.values["reorder"] / 100
        self._duplicate = self.values["duplicate"] / 100
        loss, burst = self.values["loss"] / 100, self.values["burst"]
        # The two states of Gilbert (1960): in the bad one all packets are dropped.
        self._leave = 0.0 if loss == 1 else 1 / burst if burst else 1 - loss
        self._enter = 1.0 if loss == 1 else min(1.0, loss * self._leave / (1 - loss))
        self._bad = False
        self._draw = random.Random(self.values.get("seed")).random  # noqa: S311 - no secret
        self.is_plain = not (loss or self._jitter or self._reorder or self._duplicate)

    def draw(self) -> tuple[int, int]:
        """Return for how many nanoseconds a packet is held, and then DROP, PASS or TWICE."""
        if self.is_plain:
            return self._delay, PASS
        draw, delay = self._draw, self._delay
        if self._enter:
            self._bad = draw() >= self._leave if self._bad else draw() < self._enter
            if self._bad:
                return delay, DROP
        verdict = TWICE if self._duplicate and draw() < self._duplicate else PASS
        if self._reorder and draw() < self._reorder:
            return 0, verdict
        if self._jitter:
            delay = max(0, delay + round((2 * draw() - 1) * self._jitter))
        return delay, verdict
