"""What a seed says of a storm before it begins."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .faults import FAULTS, Fault, pause_worker
from .hosts import answer_oddly, fill_disk
from .site import FAKETIME

_SPAN = 22.0
_KEPT = 3.0
#: Drawn apart from the others, so that a seed without them is what it was before there were any.
MORE: tuple[Fault, ...] = (pause_worker, fill_disk, answer_oddly)


@dataclass(frozen=True)
class Forecast:
    """What a seed says before anything has begun. Whom faults hit is drawn when they come.

    Attributes:
        skew: seconds by which the clock of one worker machine is ahead.
        poisoned: the experiment has a start that kills its worker.
        faults: each with the seconds after the deployment at which it comes, in that order.
        astray: a seed for applications that remove or move their run directory; empty for none.
        small: which host has a small disk; -1 for none.
        pooled: the hosts are leased from a pool.
    """

    skew: float
    poisoned: bool
    faults: tuple[tuple[float, Fault], ...]
    astray: str = ""
    small: int = -1
    pooled: bool = False

    @classmethod
    def drawn(cls, seed: int, rng: random.Random, hosts: int, *, more: bool = True) -> Forecast:
        """Draw one; the same seed gives the same.

        Args:
            seed: the seed.
            rng: made from it; what the storm draws later is drawn from it, too.
            hosts: how many there are.
            more: with the faults of ``MORE``, and applications that go astray.
        """
        skew = 2.0 if rng.random() < 0.4 and FAKETIME.exists() else 0.0
        poisoned = rng.random() < 0.4
        faults = [(rng.uniform(_KEPT, _SPAN), rng.choice(FAULTS)) for _ in range(rng.randint(4, 7))]
        if not more:
            return cls(skew, poisoned, tuple(sorted(faults, key=_at)))
        other = random.Random(f"{seed} and more")
        kinds = other.sample(MORE, other.choice([1, 1, 2]))
        faults += [(other.uniform(_KEPT, _SPAN), kind) for kind in kinds]
        astray = f"{seed} astray" if other.random() < 0.5 else ""
        small = other.randrange(hosts) if fill_disk in kinds else -1
        pooled = random.Random(f"{seed} pooled").random() < 0.5
        return cls(skew, poisoned, tuple(sorted(faults, key=_at)), astray, small, pooled)

    @property
    def conditions(self) -> list[str]:
        """What holds from the beginning, for people."""
        told = [f"clock of m1 {self.skew:+g} s"] if self.skew else []
        told += ["a start that kills its worker"] if self.poisoned else []
        told += ["hosts of a pool"] if self.pooled else []
        return told + (["applications that remove their directory"] if self.astray else [])

    def __str__(self) -> str:
        """All of it, for people."""
        coming = [f"{at:.1f} s {fault.__name__}" for at, fault in self.faults]
        return "; ".join([*self.conditions, *coming])


def _at(item: tuple[float, Fault]) -> float:
    return item[0]
