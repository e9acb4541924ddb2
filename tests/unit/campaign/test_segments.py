"""Repetitions that are added are the runs that there would have been with more from the start."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.campaign.definition import Definition
from nepiq.controller.campaign.plan import CampaignPlan
from nepiq.controller.campaign.segment import Segment, further
from nepiq.controller.campaign.space import Space


def plan(points: range, repetitions: int, order: str) -> CampaignPlan:
    return CampaignPlan(Space.grid(n=list(points)), repetitions, order=order)


def definition(*segments: object) -> Definition:
    data = Definition.data("few", {"nepiq": 1, "resources": {}}, CampaignPlan())
    return Definition("few", data, json.loads(json.dumps(segments)))


@given(
    st.integers(1, 9),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.sampled_from(["shuffled", "given"]),
)
def test_repetitions_are_added(points: int, counts: list[int], order: str) -> None:
    segments = [Segment.data(plan(range(points), counts[0], order))]
    for count in counts[1:]:
        more = further([Segment(item) for item in segments], count)
        segments += [] if more is None else [dict(more)]
        assert further([Segment(item) for item in segments], count) is None
    made = definition(*segments)
    whole = definition(Segment.data(plan(range(points), max(counts), order)))
    assert made.total == whole.total
    assert [made.place(slot) for slot in range(made.total)] == [
        whole.place(slot) for slot in range(made.total)
    ]
    assert [made.point(slot) for slot in range(made.total)] == [
        whole.point(slot) for slot in range(made.total)
    ]


def test_each_space_has_its_own_number() -> None:
    segments = [
        Segment.data(plan(range(3), 2, "given")),
        Segment.data(plan(range(3, 5), 1, "given")),
    ]
    while more := further([Segment(item) for item in segments], 3):
        segments.append(dict(more))
    assert [item.get("of") for item in segments] == [None, None, 0, 1]
    made = definition(*segments)
    places = [(made.place(slot).point["n"], made.place(slot).repetition) for slot in range(15)]
    assert sorted(places) == [(n, number) for n in range(5) for number in (1, 2, 3)]
    assert [made.point(slot) for slot in range(15)] == [point for point, _ in places]
