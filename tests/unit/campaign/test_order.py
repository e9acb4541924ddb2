"""The order of the runs of a campaign, and their seeds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.campaign.space import Order, run_seed
from nepiq.controller.campaign.space.permutation import Permutation


@given(st.integers(1, 300), st.text(max_size=5))
def test_a_permutation_has_each_number_once_and_an_inverse(size: int, key: str) -> None:
    permutation = Permutation(size, key)
    places = [permutation[number] for number in range(size)]
    assert sorted(places) == list(range(size))
    assert [permutation.inverse(place) for place in places] == list(range(size))


@given(st.integers(2, 2**700), st.data())
def test_a_permutation_of_many_numbers_has_an_inverse(size: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, size - 1))
    permutation = Permutation(size, "key")
    assert 0 <= permutation[number] < size
    assert permutation.inverse(permutation[number]) == number


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_each_number_comes_to_each_place_about_equally_often(size: int) -> None:
    keys, numbers = 3000, range(size)
    permutations = [Permutation(size, str(key)) for key in range(keys)]
    counts = Counter((number, item[number]) for item in permutations for number in numbers)
    expected = keys / size
    deviations = [counts[a, b] - expected for a in numbers for b in numbers]
    chi_square = sum(deviation**2 for deviation in deviations) / expected
    freedom = (size - 1) ** 2
    # Six standard deviations above the mean of the chi-square distribution.
    assert chi_square < freedom + 6 * (2 * freedom) ** 0.5


@given(st.integers(1, 40), st.integers(1, 5), st.one_of(st.none(), st.integers(0, 2**64)))
def test_blocks_of_one_repetition_of_every_point(
    points: int, repetitions: int, seed: int | None
) -> None:
    order = Order(points, repetitions, seed)
    runs = list(order)
    assert len(order) == len(runs) == points * repetitions
    for repetition in range(repetitions):
        block = runs[repetition * points : (repetition + 1) * points]
        assert sorted(block) == [(point, repetition) for point in range(points)]
    assert [order.position(*run) for run in runs] == list(range(len(runs)))
    # More repetitions change no earlier position.
    assert list(Order(points, repetitions + 2, seed))[: len(runs)] == runs


def test_the_seed_shuffles() -> None:
    plain = [point for point, _ in Order(50, 1, None)]
    shuffled = [[point for point, _ in Order(50, 2, seed)] for seed in (1, 1, 2)]
    assert plain == list(range(50))
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert shuffled[0][:50] != plain
    assert shuffled[0][:50] != shuffled[0][50:]


def test_there_is_no_such_run() -> None:
    order = Order(3, 2, 1)
    for position in (-1, 6):
        with pytest.raises(IndexError):
            order[position]
    for point, repetition in ((3, 0), (0, 2), (-1, 0)):
        with pytest.raises(IndexError):
            order.position(point, repetition)


def test_a_position_of_a_large_campaign_needs_no_list() -> None:
    order = Order(10**12, 1000, 5)
    point, repetition = order[10**14 + 12345]
    assert repetition == 100
    assert order.position(point, repetition) == 10**14 + 12345


def test_sem_29_the_same_seeds_across_variants() -> None:
    assert run_seed(1, 0) == run_seed(1, 0) != run_seed(1, 1)
    assert run_seed(1, 0, "aaa") != run_seed(1, 0, "bbb")
    seeds = [run_seed(campaign, repetition) for campaign in range(3) for repetition in range(500)]
    assert all(0 < seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
