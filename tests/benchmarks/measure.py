"""Workloads, the rounds in which the sides take turns, and what is made of their samples."""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Samples = list[float]


@dataclass(frozen=True)
class Measured:
    """Samples of a side, and what one run of it cost besides time: by name, a number."""

    samples: Samples
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """What nepiq may cost: ``limit`` for one statistic, ``median`` or ``p95``.

    The statistic ``ratio`` is the median to that of the workload's rival.
    """

    statistic: str
    limit: float


@dataclass(frozen=True)
class Workload:
    """One span that every side measures in the same way.

    Attributes:
        name: what ``--only`` selects.
        title: what is measured, for people.
        sides: by name of the side, a function that runs it once and returns its samples:
            one for a total, several where one run has several spans, such as the hops of a chain.
        budgets: what nepiq may cost.
        unit: ``s`` or ``B``, of samples and budgets.
        rounds: how often each side runs; the number asked for on the command line if None.
        rival: the side that all others are compared with; nepiq is, with each, if empty.
        ssh: it runs on hosts that are reached by SSH.
    """

    name: str
    title: str
    sides: Mapping[str, Callable[[], Samples | Measured]]
    budgets: tuple[Budget, ...] = ()
    unit: str = "s"
    rounds: int | None = None
    rival: str = ""
    ssh: bool = False


@dataclass
class Outcome:
    """The samples and costs of one side in one workload, or why there are none."""

    samples: Samples = field(default_factory=list)
    error: str = ""
    costs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, result: Samples | Measured) -> None:
        """Take in what one run of the side gave."""
        measured = result if isinstance(result, Measured) else Measured(result)
        self.samples += measured.samples
        for name, cost in measured.costs.items():
            self.costs.setdefault(name, []).append(cost)

    @property
    def median(self) -> float:
        """Half of the samples are below it."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The sample that 95 % do not exceed (nearest rank)."""
        ordered = sorted(self.samples)
        return ordered[math.ceil(0.95 * len(ordered)) - 1]

    def over(self, budgets: Iterable[Budget], rival: Outcome | None = None) -> list[Budget]:
        """The budgets that the samples exceed; one on the ratio needs the rival's samples."""
        figures = {"median": self.median, "p95": self.p95}
        if rival is not None and rival.samples:
            figures["ratio"] = self.median / rival.median
        return [item for item in budgets if figures.get(item.statistic, 0.0) > item.limit]


def measure(workload: Workload, rounds: int) -> dict[str, Outcome]:
    """Run every side once unmeasured, then round by round, each round beginning with another.

    A side that raises is left out of the rest; the others go on.
    """
    outcomes = {name: Outcome() for name in workload.sides}
    names = list(workload.sides)
    for number in range((workload.rounds or rounds) + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            outcome = outcomes[name]
            if outcome.error:
                continue
            try:
                result = workload.sides[name]()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the result
                traceback.print_exc()
                outcome.error = f"{type(error).__name__}: {error}"
            else:
                if number:
                    outcome.add(result)
    return outcomes
