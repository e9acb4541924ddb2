"""``python -m tests.benchmarks.coverage``: how often intervals of campaigns have the truth.

Each campaign measures one metric of a known distribution at one point. Its interval is that of
the plan of a campaign; it covers if the true value is inside. Then the same with repetitions that
stop when the interval is narrow enough, and the power of comparisons with and without common seeds.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nepiq.controller.campaign.comparison import Difference, compare
from nepiq.controller.campaign.precision import Precision
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.table import Table

CAMPAIGNS, RUNS, MOST = 2000, 30, 300
SEED = 17
#: Of the outcomes of two levels with a common seed; and their difference.
CORRELATION, GAIN = 0.5, 0.5

Draw = Callable[[random.Random], float]


class Metric(NamedTuple):
    """A metric with a known distribution.

    Attributes:
        name: its name.
        draw: returns the metric of a run.
        truth: the true value of what is estimated.
        spread: its standard deviation, or what takes the place of it.
        of: the estimate, as in a plan.
    """

    name: str
    draw: Draw
    truth: float
    spread: float
    of: str = "mean"


def _modes(chance: random.Random) -> float:
    return chance.gauss(10, 1) if chance.random() < 0.7 else chance.gauss(20, 1)


def _rounds(chance: random.Random) -> int:
    """Poisson, with a mean of 4: exponential times until they exceed 4."""
    count, time = 0, chance.expovariate(1)
    while time < 4:
        count, time = count + 1, time + chance.expovariate(1)
    return count


#: What simulations and testbeds measure.
METRICS = (
    Metric("normal: throughput", lambda c: c.gauss(50, 5), 50, 5),
    Metric("uniform: phase of a beacon", lambda c: c.uniform(0, 100), 50, 100 / math.sqrt(12)),
    Metric("triangular: jitter", lambda c: c.triangular(0, 10, 5), 5, 10 / math.sqrt(24)),
    Metric("Poisson: retries", _rounds, 4, 2),
    Metric("two modes: delay over two routes", _modes, 13, math.sqrt(1 + 0.21 * 100)),
    Metric("gamma, shape 3: time of a transfer", lambda c: c.gammavariate(3, 2), 6, math.sqrt(12)),
    Metric("beta (4, 2): utilisation", lambda c: c.betavariate(4, 2), 2 / 3, math.sqrt(8 / 252)),
    Metric("log-normal: response time", lambda c: c.lognormvariate(2, 1), math.exp(2), 9, "median"),
    Metric(
        "Pareto, shape 1.5: flow size", lambda c: c.paretovariate(1.5), 2 ** (2 / 3), 1.3, "median"
    ),
    Metric("0 or 1: is delivered", lambda c: float(c.random() < 0.8), 0.8, 0.4, "share"),
)
#: Means of skewed distributions, which need more runs.
SKEWED = (
    Metric("exponential, its mean", lambda c: c.expovariate(0.1), 10, 10),
    Metric("log-normal, its mean", lambda c: c.lognormvariate(2, 1), math.exp(2.5), 16),
)


class Stopping(NamedTuple):
    """Campaigns whose repetitions stop by precision.

    Attributes:
        share: of campaigns whose interval has the truth.
        runs: mean number of repetitions.
    """

    share: float
    runs: float


def covered(metric: Metric, runs: int, campaigns: int) -> float:
    """The share of campaigns of so many runs whose interval has the truth."""
    precision = Precision(metric.name, 1, of=metric.of)
    hits = 0
    for chance in _chances(metric, campaigns):
        hits += _has(precision, [metric.draw(chance) for _ in range(runs)], metric.truth)
    return hits / campaigns


def stopped(metric: Metric, least: int, campaigns: int, runs: int = RUNS) -> Stopping:
    """Campaigns that stop once the interval is as narrow as it is with so many runs on average."""
    within = statistics.NormalDist().inv_cdf(0.975) * metric.spread / math.sqrt(runs)
    precision = Precision(metric.name, within, of=metric.of)
    hits = total = 0
    for chance in _chances(metric, campaigns):
        samples = [metric.draw(chance) for _ in range(least)]
        while len(samples) < MOST and not precision.is_reached(samples):
            samples.append(metric.draw(chance))
        hits += _has(precision, samples, metric.truth)
        total += len(samples)
    return Stopping(hits / campaigns, total / campaigns)


class Power(NamedTuple):
    """Comparisons of two levels whose metric differs by half a standard deviation.

    Attributes:
        width: mean half-width of the interval of the difference, in standard deviations.
        share: of comparisons that find the difference.
    """

    width: float
    share: float


def power(repetitions: int, campaigns: int, *, common: bool, gain: float = GAIN) -> Power:
    """Comparisons of levels with common seeds, by which outcomes are correlated, or without."""
    differences = [
        compared(repetitions, random.Random(f"{SEED} {number}"), common=common, gain=gain)
        for number in range(campaigns)
    ]
    bounds = [item.interval for item in differences if item.interval]
    return Power(
        statistics.fmean((high - low) / 2 for low, high in bounds),
        sum(item.answer == "higher" for item in differences) / campaigns,
    )


def compared(
    repetitions: int, chance: random.Random, *, common: bool, gain: float = GAIN
) -> Difference:
    """A comparison of the levels of one campaign; a seed has half of the variance."""
    rows = []
    for repetition in range(1, repetitions + 1):
        effects = [chance.gauss(0, math.sqrt(CORRELATION)) for _ in range(2)]
        for number, protocol in enumerate(("old", "new")):
            seed = 0 if common else number
            own = chance.gauss(0, math.sqrt(1 - CORRELATION))
            metrics = {"rate": effects[seed] + own + gain * number}
            point = {"protocol": protocol}
            rows.append(
                Row("c", protocol, point, repetition, 2 * repetition + seed, "", metrics=metrics)
            )
    [difference] = compare(Table.of_rows(lambda: rows), by="protocol", against="old")
    return difference


def _chances(metric: Metric, campaigns: int) -> Iterator[random.Random]:
    return (random.Random(f"{SEED} {metric.name} {number}") for number in range(campaigns))


def _has(precision: Precision, samples: list[float], truth: float) -> bool:
    bounds = precision.interval(samples)
    return bounds is not None and bounds[0] <= truth <= bounds[1]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=CAMPAIGNS)
    campaigns = parser.parse_args().campaigns
    print(f"| metric | estimate | {RUNS} runs | from 3 | from 10 | from {RUNS} |")
    print("|---|---|---|---|---|---|")
    for metric in (*METRICS, *SKEWED):
        cells = [f"{100 * covered(metric, RUNS, campaigns):.1f}"]
        for least in (3, 10, RUNS):
            share, runs = stopped(metric, least, campaigns)
            cells.append(f"{100 * share:.1f} ({runs:.0f})")
        print(f"| {metric.name} | {metric.of} | {' | '.join(cells)} |", flush=True)
    print("\n| seeds | repetitions of each | half-width | found |\n|---|---|---|---|")
    for common, repetitions in ((True, 40), (False, 40), (False, 80)):
        width, share = power(repetitions, campaigns, common=common)
        name = "common" if common else "independent"
        print(f"| {name} | {repetitions} | {width:.3f} | {100 * share:.1f} |")


if __name__ == "__main__":
    main()
