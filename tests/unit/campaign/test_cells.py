"""The cells of a campaign's page, also of repetitions that were added."""

from __future__ import annotations

from typing import Any

import pytest

from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.segment import Segment
from nepiq.controller.campaign.space import Space, point_id
from nepiq.controller.web.campaign_cells import Cells


def segment(space: Space, repetitions: int, **further: Any) -> dict[str, Any]:
    return {
        "space": space.to_document(),
        "repetitions": repetitions,
        "order": 7,
        **further,
    }


SEGMENTS = [
    segment(Space.grid(n=[1, 2, 3]), 2),
    segment(Space.grid(n=[8, 9]), 1),
    segment(Space.grid(n=[1, 2, 3]), 2, of=0, first=2),
]


def test_each_run_has_the_cell_of_its_point_and_repetition() -> None:
    cells = Cells(SEGMENTS)
    assert cells.shape == [(3, 4), (2, 1)]
    assert cells.parameters()["points"] == [[1], [2], [3], [8], [9]]
    slot = 0
    for one in map(Segment, SEGMENTS):
        for position in range(len(one)):
            index, repetition = one[position]
            point = cells.point(Row("c", point_id(one.space[index]), {}, 1, 0, "r"))
            assert point is not None
            cells.update({"it": slot}, {}, [])
            [shown] = [item for item in cells.runs(point) if item[2]]
            assert shown == (repetition + 1, "a", "it", "")
            assert cells.letters.count("a") == 1
            slot += 1
    assert slot == len(cells.letters) == 14


@pytest.mark.parametrize("repetition", [1, 4])
def test_rows_of_added_repetitions(repetition: int) -> None:
    cells = Cells(SEGMENTS)
    cells.add(Row("c", point_id({"n": 2}), {"n": 2}, repetition, 0, "r", outcome="failed"), "5-0")
    cells.update({}, {}, [0])
    letters = ["-" * 4, "....", "....", ".", "."]
    letters[1] = "x".join(("." * (repetition - 1), "." * (4 - repetition)))
    assert cells.letters == "".join(letters)
