"""Confidence intervals, and when repetitions of a point suffice."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nepiq.controller.campaign.precision import Precision
from nepiq.controller.campaign.statistics import (
    interval,
    median_interval,
    share_interval,
    student,
)
from nepiq.controller.errors import InvalidValue


@pytest.mark.parametrize(
    ("freedom", "factors"),
    # scipy.stats.t.ppf((1 + c) / 2, freedom) of scipy 1.17, for c of 0.9, 0.95 and 0.99.
    [
        (1, (6.313751514675037, 12.706204736174694, 63.656741162871526)),
        (2, (2.9199855803537242, 4.302652729749462, 9.924843200918287)),
        (3, (2.3533634348018233, 3.1824463052837078, 5.840909309733355)),
        (4, (2.1318467863266495, 2.7764451051977934, 4.604094871349992)),
        (10, (1.8124611228116756, 2.228138851986274, 3.16927267261695)),
        (100, (1.6602343260853392, 1.9839715185235518, 2.6258905214380173)),
        (200, (1.6525081009108769, 1.9718962236339088, 2.600634436191558)),
        (201, (1.6524698419699857, 1.971836506779859, 2.6005099190831933)),
        (1000, (1.6463788172854643, 1.9623390808264083, 2.580754698065951)),
    ],
)
def test_factors_of_student(freedom: int, factors: tuple[float, ...]) -> None:
    found = [student(freedom, confidence) for confidence in (0.9, 0.95, 0.99)]
    assert found == pytest.approx(factors, rel=1e-8)


@pytest.mark.parametrize(
    ("count", "rank"),
    # From scipy.stats.binom.cdf(rank - 1, count, 0.5) <= 0.025 < binom.cdf(rank, count, 0.5).
    [
        (1, 0),
        (5, 0),
        (6, 1),
        (10, 2),
        (20, 6),
        (21, 6),
        (100, 40),
        (1000, 469),
        (1100, 518),
        (5000, 2431),
    ],
)
def test_ranks_of_an_interval_of_the_median(count: int, rank: int) -> None:
    samples = list(range(1, count + 1))
    random.Random(1).shuffle(samples)
    expected = (rank, count + 1 - rank) if rank else None
    assert median_interval(samples) == expected


@pytest.mark.parametrize(
    ("successes", "total", "bounds"),
    # Table I of R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998).
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_intervals_of_a_share(successes: int, total: int, bounds: tuple[float, float]) -> None:
    assert share_interval(successes, total) == pytest.approx(bounds, abs=5e-5)
    low, high = bounds
    mirrored = share_interval(total - successes, total)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_no_samples() -> None:
    assert share_interval(0, 0) is None
    assert median_interval([]) is None
    assert interval([1.0]) is None


@pytest.mark.parametrize(
    ("precision", "samples", "reached"),
    [
        # Half-width of [10, 12, 11, 11] at 95 %: 1.2992; at 90 %: 0.9608.
        (Precision("delay", 1.3), [10, 12, 11, 11], True),
        (Precision("delay", 1.29), [10, 12, 11, 11], False),
        (Precision("delay", 1.0, confidence=0.9), [10, 12, 11, 11], True),
        (Precision("delay", 0.119, relative=True), [10, 12, 11, 11], True),
        (Precision("delay", 0.118, relative=True), [-10, -12, -11, -11], False),
        (Precision("delay", 1000), [5], False),
        (Precision("delay", 1e-9), [5, 5], True),
        # Samples 1 to 10: from the second to the ninth, half-width 3.5.
        (Precision("delay", 3.5, of="median"), [3, 1, 2, 10, 9, 8, 7, 6, 5, 4], True),
        (Precision("delay", 3.4, of="median"), [3, 1, 2, 10, 9, 8, 7, 6, 5, 4], False),
        (Precision("delay", 1000, of="median"), [1, 2, 3, 4, 5], False),
        # 10 of 20: from 0.2993 to 0.7007.
        (Precision("lost", 0.201, of="share"), [True, False] * 10, True),
        (Precision("lost", 0.2, of="share"), [1, 0] * 10, False),
        (Precision("lost", 1, of="share"), [], False),
    ],
)
def test_what_suffices(precision: Precision, samples: list[float], reached: bool) -> None:
    assert precision.is_reached(samples) is reached
    assert Precision.of_document(precision.to_document()) == precision


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"metric": "delay"}, "'within' is missing"),
        ({"within": 1}, "'metric' is missing"),
        ({"metric": "delay", "within": "x%"}, "within cannot be 'x%'"),
        ({"metric": "delay", "within": 0}, "within must be a positive number"),
        ({"metric": "delay", "within": "little"}, "within must be a positive number"),
        ({"metric": "delay", "within": 1, "of": "mode"}, "of cannot be 'mode'"),
        ({"metric": "delay", "within": 1, "confidence": 95}, "between 0 and 1"),
        ({"metric": "delay", "within": 1, "min": 2}, "unknown key 'min'"),
    ],
)
def test_refused_precisions(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Precision.of_document(document)
