"""Failures, rows and numbers as people read them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nepiq.controller.reports import words
from nepiq.controller.reports.failures import failures
from nepiq.controller.reports.figures import figures
from nepiq.controller.reports.tables import rows, summary


def record(guid: int, **more: Any) -> Any:
    told = {
        "guid": guid,
        "label": f"r{guid}",
        "rtype": "linux::Application",
        "state": "STARTED",
        "milestones": {"STARTED": 0.0},
        "critical": True,
        "error": None,
        "host": None,
        "is_host": False,
        "attributes": {},
    }
    return SimpleNamespace(**{**told, **more})


ERROR = {
    "type": "CommandError",
    "message": "exited with 3",
    "where": "r1 on here, start",
    "hint": "look",
}


def test_failures_say_what_where_and_what_to_do() -> None:
    (failure,) = failures([record(1, error=ERROR, milestones={"FAILED": 5.0}), record(2)])
    assert str(failure) == "r1: exited with 3, on here, start (look)"
    assert failure.kind == "CommandError"
    assert failure.critical
    assert not failure.released
    assert failure.info["hint"] == "look"


def test_critical_failures_come_first_and_then_by_time() -> None:
    found = failures(
        [
            record(1, error=ERROR, critical=False, milestones={"FAILED": 1.0}),
            record(2, error=ERROR, milestones={"FAILED": 9.0}),
            record(3, error=ERROR, milestones={"FAILED": 2.0}),
        ]
    )
    assert [failure.guid for failure in found] == [3, 2, 1]
    assert "not critical" in str(found[-1])


def test_an_error_of_the_release_is_told_as_such() -> None:
    (failure,) = failures([record(1, error=ERROR, milestones={"FAILED": 1.0, "RELEASED": 1.0})])
    assert failure.released


def test_figures_have_units() -> None:
    measured = {
        "bitsPerSecond": 18_407_242.0,
        "bytesReceived": 512,
        "retransmits": 20_000,
        "rttAvg": 40.3004,
        "time": "10s",
        "loss": None,
    }
    client = record(1, rtype="linux::Iperf3Client", attributes=measured)
    others = [record(2, attributes={"command": "true"}), record(3, rtype="gone::Type")]
    assert list(figures([client, *others])) == [
        ("r1", "bitsPerSecond 18.41 Mbit/s, bytesReceived 512 B, retransmits 20000, rttAvg 40.3 ms")
    ]


def test_rows_tell_host_and_end() -> None:
    table = rows(
        [
            record(2, host=1, attributes={"exitCode": 0}, state="FINISHED"),
            record(1, host=1, is_host=True),
            record(3, error={"message": "no space"}, state="FAILED"),
        ]
    )
    assert [(row.label, row.host, row.note) for row in table] == [
        ("r1", "", ""),
        ("r2", "r1", "exit code 0"),
        ("r3", "", "no space"),
    ]
    assert summary(["NEW", "READY", "NEW"]) == "2 NEW, 1 READY"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1 s"),
        (2.5, "2.5 s"),
        (99.96, "1 min 40 s"),
        (200, "3 min 20 s"),
        (3900, "1 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (3100, "3.1 kB"), (20_000_000, "20 MB")]
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


def test_lists_and_counts() -> None:
    assert words.some(["a", "b"]) == "a, b"
    assert words.some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert words.plural(1, "run") == "1 run"
    assert words.plural(0, "run") == "0 runs"
