"""Rows are small, come back as they were, and survive a writer that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller import CampaignError
from nepiq.controller.campaign.row import LONGEST_TEXT, OUTCOMES, Row, read_rows

USUAL = Row(
    campaign="wifi-rates",
    point="3f2a9c81d4e5",
    parameters={"protocol": "olsr", "rate": 54, "distance": 12.5},
    repetition=12,
    seed=2**62 + 1,
    run_id="20261130012606123456",
    hosts={"ap": "fit01", "sta": "fit02"},
    began=1796000000.1234,
    ended=1796000012.3456,
    attempts=2,
    metrics={"rtt": 10.123456789012345, "loss": 0.0},
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
ROWS = st.builds(
    Row,
    campaign=TEXT,
    point=TEXT,
    parameters=st.dictionaries(
        TEXT, SCALARS.filter(lambda v: not isinstance(v, float) or abs(v) < 1e300)
    ),
    repetition=st.integers(1),
    seed=st.integers(0, 2**63 - 1),
    run_id=TEXT,
    hosts=st.dictionaries(TEXT, TEXT),
    began=st.none() | st.floats(0, 1e10),
    ended=st.none() | st.floats(0, 1e10),
    outcome=st.sampled_from(OUTCOMES),
    cause=TEXT,
    attempts=st.integers(0),
    metrics=st.dictionaries(TEXT, SCALARS),
    error=TEXT,
)


@given(ROWS)
def test_a_row_comes_back_as_it_was(row: Row) -> None:
    text = row.to_json()
    assert "\n" not in text
    assert Row.from_json(text) == row


def test_the_usual_row_is_small() -> None:
    assert len(USUAL.to_json().encode()) <= 400
    assert USUAL.duration == pytest.approx(12.223)


def test_a_long_error_is_truncated_and_on_one_line() -> None:
    row = Row("c", "p", {}, 1, 0, "r", outcome="failed", cause="x" * 5000, error="a\nb" * 5000)
    assert len(row.cause) == len(row.error) == LONGEST_TEXT
    assert "\n" not in row.error


def test_a_metric_that_is_not_finite_is_missing() -> None:
    row = Row("c", "p", {}, 1, 0, "r", metrics={"a": float("nan"), "b": float("inf"), "c": 1})
    assert row.metrics == {"a": None, "b": None, "c": 1}
    assert Row.from_json(row.to_json()) == row


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{}",
        '{"campaign":1}',
        USUAL.to_json().replace("finished", "burned"),
        USUAL.to_json().replace('"repetition":12', '"repetition":"12"'),
    ],
)
def test_what_is_not_a_row_is_refused(text: str) -> None:
    with pytest.raises(CampaignError):
        Row.from_json(text)


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_parameter_that_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(CampaignError, match="point p: a parameter cannot be kept"):
        Row("c", "p", {"x": value}, 1, 0, "r").to_json()


def test_a_line_that_was_not_completed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = USUAL.to_json()
    path.write_text(f"{line}\n{line}\n{line[:50]}")
    assert list(read_rows(path)) == [USUAL, USUAL]
    path.write_text(f"{line}\n{line[:50]}\n{line}\n")
    with pytest.raises(CampaignError, match=r"rows\.jsonl:2: not a row"):
        list(read_rows(path))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"nothing\.jsonl: cannot read rows: No such file"):
        list(read_rows(tmp_path / "nothing.jsonl"))
