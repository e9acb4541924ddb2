"""The effect of an impairment in one direction, and its forms for the programs that have it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

PACKET = 1500  # bytes
LEAST_QUEUE = 100  # packets
UNLIMITED = 10e9  # bit/s, for the queue of a delay without a rate


class Effect(NamedTuple):
    """What happens to packets in one direction.

    Attributes:
        delay: seconds that each packet takes more.
        jitter: seconds by which that varies at most.
        loss: percentage of packets that are lost.
        burst: mean number of packets that are lost in a row; 0 for independent losses.
        reorder: percentage of packets that overtake those that are delayed.
        duplicate: percentage of packets that arrive twice.
        rate: bits per second; 0 for no limit.
        queue: packets that are delayed or wait at most; 0 for the default of :attr:`packets`.
        seed: start of the random numbers; None for any.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    rate: float = 0.0
    queue: int = 0
    seed: int | None = None

    @property
    def needs_more_than_rate(self) -> bool:
        """Return whether a token bucket and independent losses without a seed are not enough."""
        seeded = self.loss and self.seed is not None
        return bool(
            self.delay or self.jitter or self.burst or self.reorder or self.duplicate or seeded
        )

    @property
    def packets(self) -> int:
        """Return the length of the queue; by default 1.5 x rate x delay, 1500 bytes each."""
        in_flight = (self.rate or UNLIMITED) * (self.delay + self.jitter) / 8 / PACKET
        return self.queue or max(LEAST_QUEUE, math.ceil(1.5 * in_flight))

    @property
    def netem(self) -> str:
        """Return the options of tc-netem(8)."""
        words = [f"limit {self.packets}"]
        if self.delay or self.jitter or self.reorder:
            jitter = f" {_us(self.jitter)}" if self.jitter else ""
            words.append(f"delay {_us(self.delay)}{jitter}")
        if self.loss and self.burst:
            # Gilbert's model: from the good state to the bad one, and back.
            leave = 1 / self.burst
            enter = min(1.0, self.loss / 100 * leave / (1 - self.loss / 100))
            words.append(f"loss gemodel {enter * 100:.6g}% {leave * 100:.6g}%")
        elif self.loss:
            words.append(f"loss {self.loss:.6g}%")
        if self.duplicate:
            words.append(f"duplicate {self.duplicate:.6g}%")
        if self.reorder:
            words.append(f"reorder {self.reorder:.6g}%")
        if self.rate:
            words.append(f"rate {round(self.rate)}bit")
        if self.seed is not None:
            words.append(f"seed {self.seed}")
        return " ".join(words)

    @property
    def tbf(self) -> str:
        """Return the options of tc-tbf(8)."""
        burst = max(16_000, round(self.rate / 8 * 0.004))  # the kernel's clock may have 4 ms
        return f"rate {round(self.rate)}bit burst {burst}b limit {self.packets * PACKET + burst}b"

    @property
    def relay(self) -> dict[str, Any]:
        """Return the parameters of the relay; the rate is not its part."""
        values = {name: getattr(self, name) for name in ("delay", "jitter", "loss", "burst")}
        values |= {"reorder": self.reorder, "duplicate": self.duplicate}
        if self.seed is not None:
            values["seed"] = self.seed
        return {**values, "limit": max(self.packets, 1000)}

    def __str__(self) -> str:
        """Return it for people."""
        words = [f"{name} {_ms(getattr(self, name))}" for name in ("delay", "jitter")]
        words += [f"{name} {getattr(self, name):g}%" for name in ("loss", "reorder", "duplicate")]
        words += [f"rate {self.rate:g} bit/s", f"queue {self.packets}"]
        return ", ".join(word for word in words if f"{word} ".split(" ")[1] not in ("0", "0%"))


def _us(seconds: float) -> str:
    return f"{round(seconds * 1e6)}us"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:g} ms"
