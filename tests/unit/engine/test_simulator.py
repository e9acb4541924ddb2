"""Random experiments under random trouble: no violation."""

from __future__ import annotations

import pytest
from tests.reference.simulator import kept_seeds, simulate


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_experiments(first: int) -> None:
    for seed in range(first, first + 50):
        assert simulate(seed) == [], f"seed {seed}"


def test_seeds_that_failed_once() -> None:
    for seed in kept_seeds():
        assert simulate(seed) == [], f"seed {seed}"


def test_without_trouble() -> None:
    for seed in range(50):
        assert simulate(seed, []) == [], f"seed {seed}"


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1000, 11000, 500))
def test_many_random_experiments(first: int) -> None:
    for seed in range(first, first + 500):
        assert simulate(seed) == [], f"seed {seed}"
