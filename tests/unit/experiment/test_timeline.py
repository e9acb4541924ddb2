"""What ran when: one bar for each attempt, drawn to scale."""

from __future__ import annotations

from nepiq.controller.engine import Event
from nepiq.controller.reports.timeline import Span, last_states, spans, timeline


def event(time: float, guid: int, what: str, step: str = "", attempt: int = 0) -> Event:
    return Event(f"{time}-0", time, guid, what, step, attempt, "w1" if step else "")


DEPLOYED = [
    event(10.0, 1, "claim", "1.deploy", 1),
    event(10.1, 1, "DISCOVERED", "1.deploy", 1),
    event(10.5, 1, "READY", "1.deploy", 1),
]
RAN = [
    *DEPLOYED,
    event(11.0, 1, "claim", "1.start", 1),
    event(11.2, 1, "STARTED", "1.start", 1),
    event(19.0, 1, "FINISHED"),
    event(20.0, 0, "RELEASING"),
    event(20.0, 1, "RELEASED"),
]


def test_attempts_and_running_become_spans() -> None:
    assert spans(RAN)[1] == [
        Span(1, "deploy", 10.0, 10.5, 1, "READY", "w1"),
        Span(1, "start", 11.0, 11.2, 1, "STARTED", "w1"),
        Span(1, "run", 11.2, 19.0, 0, "FINISHED"),
    ]


def test_each_attempt_is_a_span_of_its_own() -> None:
    told = spans(
        [
            event(1.0, 1, "claim", "1.start", 1),
            event(2.0, 1, "lost", "1.start", 1),
            event(4.0, 1, "claim", "1.start", 2),
            event(4.5, 1, "again", "1.start", 2),
            event(6.0, 1, "claim", "1.start", 3),
            event(7.0, 1, "FAILED", "1.start", 3),
        ]
    )[1]
    assert [(span.begin, span.end, span.attempt, span.outcome) for span in told] == [
        (1.0, 2.0, 1, "lost"),
        (4.0, 4.5, 2, "again"),
        (6.0, 7.0, 3, "FAILED"),
    ]


def test_what_goes_on_has_no_end() -> None:
    told = spans([*RAN[:5], event(12.0, 1, "claim", "1.stop", 1)])[1]
    assert [(span.kind, span.end) for span in told[-2:]] == [("run", None), ("stop", None)]


def test_a_second_start_is_a_second_stretch_of_running() -> None:
    events = [
        event(1.0, 1, "STARTED", "1.start"),
        event(2.0, 1, "STOPPED", "1.stop"),
        event(3.0, 1, "STARTED", "1.start.1"),
        event(4.0, 1, "FINISHED"),
    ]
    assert [(s.begin, s.end) for s in spans(events)[1] if s.kind == "run"] == [(1, 2), (3, 4)]


def test_the_end_is_told_rather_than_the_release() -> None:
    assert last_states(RAN) == {1: "FINISHED"}
    assert last_states([*DEPLOYED, event(20.0, 1, "RELEASED")]) == {1: "RELEASED"}


def test_bars_are_drawn_to_scale() -> None:
    drawn = timeline(RAN, {1: "app"}, width=66, ascii_only=True).splitlines()
    axis, row, legend = drawn
    assert axis.split() == ["0", "s", "5", "s", "10", "s"]
    bars = row[4:54]
    assert row.startswith("app ")
    assert row.endswith("FINISHED")
    assert bars.startswith("---")
    assert 37 <= bars.count("#") <= 40
    assert "+" in bars
    assert legend.split()[:4] == ["-", "deploy", "+", "start"]


def test_failed_attempts_are_marked() -> None:
    events = [
        event(0.0, 1, "claim", "1.start", 1),
        event(4.0, 1, "lost", "1.start", 1),
        event(9.0, 1, "claim", "1.start", 2),
        event(10.0, 1, "FAILED", "1.start", 2),
    ]
    row = timeline(events, {1: "app"}, width=66, ascii_only=True).splitlines()[1]
    assert row.count("!") == 2


def test_many_resources_are_cut_short_and_counted() -> None:
    events = [event(float(g), g, "READY", f"{g}.deploy") for g in range(1, 101)]
    labels = {guid: f"r{guid}" for guid in range(1, 101)}
    drawn = timeline(events, labels, longest=10)
    assert "... and 90 more" in drawn
    assert len(drawn.splitlines()) == 13


def test_nothing_to_draw_is_nothing() -> None:
    assert timeline([], {1: "app"}) == ""


def test_long_labels_and_short_runs_fit() -> None:
    label = "x" * 63
    drawn = timeline([event(1.0, 1, "STARTED", "1.start")], {1: label}, width=80)
    assert all(len(line) <= 80 for line in drawn.splitlines())
