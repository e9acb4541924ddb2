"""When the mean of samples is known well enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.campaign.statistics import converged, interval

NEPI = [10, 10, 10, 10, 12, 10, 12, 10, 10, 11]
FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def test_nepis_rule_on_nepis_samples() -> None:
    assert [n for n in range(5, 11) if converged(NEPI[:n])] == [10]


@pytest.mark.parametrize("samples", [[], [7.0]])
def test_one_sample_says_nothing(samples: list[float]) -> None:
    assert not converged(samples)
    assert interval(samples) is None


@pytest.mark.parametrize(
    ("samples", "low", "high"),
    [
        # From tables of Student's t: 12.706, 3.182, 2.228 and 2.042.
        ([1.0, 3.0], 2 - 12.706, 2 + 12.706),
        ([10.0, 12.0, 11.0, 11.0], 11 - 3.182 * 0.8165 / 2, 11 + 3.182 * 0.8165 / 2),
        ([0.0] * 5 + [6.0] + [12.0] * 5, 6 - 2.228 * 6 / 11**0.5, 6 + 2.228 * 6 / 11**0.5),
        ([-1.0] * 15 + [0.0] + [1.0] * 15, -2.042 / 31**0.5, 2.042 / 31**0.5),
    ],
)
def test_the_interval_is_that_of_the_tables(samples: list[float], low: float, high: float) -> None:
    assert interval(samples) == pytest.approx((low, high), rel=5e-4)


def test_the_mean_may_be_negative_or_nothing() -> None:
    assert converged([-100.0, -101.0, -99.0])
    assert converged([0.0, 0.0])
    assert not converged([-1.0, 1.0])


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_the_order_does_not_matter(samples: list[float]) -> None:
    found = interval(samples)
    assert found is not None
    assert found == pytest.approx(interval(samples[::-1]), rel=1e-9, abs=1e-6)
    assert found[0] <= found[1]


@given(FINITE, st.integers(2, 20))
def test_equal_samples_have_converged(value: float, count: int) -> None:
    assert converged([value] * count)
