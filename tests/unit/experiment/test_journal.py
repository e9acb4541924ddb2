"""The journal of a campaign survives what may happen to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepiq.controller import CampaignError
from nepiq.controller.campaign.journal import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NAME,
    Journal,
    RunRecord,
)

HEAD = {"a": "1", "b": "2"}


def opened(folder: Path) -> Journal:
    return Journal(folder, "exp", HEAD)


def filled(folder: Path) -> list[RunRecord]:
    with opened(folder) as journal:
        one, two, three, four = (journal.began(n, f"r{n}") for n in (1, 2, 3, 4))
        journal.ended(three, FINISHED, 0.5)
        journal.ended(one, FAILED, error="no é")
        journal.released(one)
        journal.ended(four, INTERRUPTED)
        journal.released(four)
        assert journal.runs == [three, one, four, two]
        return journal.runs


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = filled(tmp_path / "deep" / "folder")
    with opened(tmp_path / "deep" / "folder") as journal:
        assert journal.runs == written
        assert [record.counts for record in journal.runs] == [True, True, False, False]


def test_without_a_folder_nothing_is_kept() -> None:
    with Journal(None, "exp", HEAD) as journal:
        journal.ended(journal.began(1, "r1"), FINISHED)
        assert journal.runs[0].counts


@settings(max_examples=25)
@given(st.data())
def test_a_line_that_was_cut_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    filled(folder)
    path = folder / NAME
    whole = path.read_bytes()
    kept = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(kept)
    lines = max(0, kept.count(b"\n") - 1)
    with opened(folder) as journal:
        assert len(journal.runs) == min(4, lines)
        journal.began(9, "r9")
    with opened(folder) as journal:
        assert journal.runs[-1].run_id == "r9"


def test_two_processes_cannot_write_one(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(CampaignError, match="another process"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_runs_of_another_experiment_are_not_mixed(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(CampaignError, match="runs of experiment 'exp', not 'other'"):
        Journal(tmp_path, "other", HEAD)
    with pytest.raises(CampaignError, match="changed: b, c"):
        Journal(tmp_path, "exp", {"a": "1", "c": "2"})
    opened(tmp_path).close()


def test_what_is_no_journal_says_so(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text('{"campaign": 7}\n')
    with pytest.raises(CampaignError, match="not a campaign journal of version 1"):
        opened(tmp_path)
    path.unlink()
    filled(tmp_path)
    with path.open("a") as file:
        file.write("something else\n")
    with pytest.raises(CampaignError, match=r"line 11 of the journal is invalid"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CampaignError, match="cannot write the journal"):
        opened(tmp_path / "file")
