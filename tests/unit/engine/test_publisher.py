"""Messages that are made by hand are those that Celery would make."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from nepiq.controller.engine.broker import make_app
from nepiq.controller.engine.publisher import BATCH, MOST_APART, messages, task_message
from nepiq.controller.engine.store.calls import Due

MOMENT = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("eta", [None, MOMENT])
def test_a_message_is_what_celery_would_send(eta: datetime | None) -> None:
    app = make_app("redis://127.0.0.1:1/0")
    body, headers = task_message("nepiq.start", ["run", ["3.start"]], "an/id", "run a start", eta)
    theirs = app.amqp.as_task_v2(
        "an/id",
        "nepiq.start",
        ["run", ["3.start"]],
        argsrepr="run a start",
        kwargsrepr="",
        eta=eta,
        ignore_result=True,
    )
    given: dict[str, Any] = {**theirs.headers, "origin": headers["origin"]}
    assert headers == given
    assert body == [list(part) if isinstance(part, tuple) else part for part in theirs.body]


def due(count: int, *, batch: bool = False, delay: float = 0.0) -> list[Due]:
    return [Due(f"{n}.start", delay, "nepiq.default", batch, f"a-{n}") for n in range(count)]


def sizes(items: list[Due]) -> list[int]:
    return [len(args[1]) for _, _, args, _, _ in messages("run", items)]


def test_few_steps_with_io_travel_alone() -> None:
    assert sizes(due(5)) == [1] * 5
    assert [args for _, _, args, _, _ in messages("run", due(1))] == [["run", ["0.start"]]]


def test_many_steps_with_io_share_messages() -> None:
    found = list(messages("run", due(400)))
    assert {len(args[1]) for _, _, args, _, _ in found} == {MOST_APART}
    assert all(args[2] is True for _, _, args, _, _ in found)
    assert sum(sizes(due(50))) == 50


def test_steps_without_io_travel_in_batches() -> None:
    assert sizes(due(2 * BATCH + 1, batch=True)) == [BATCH, BATCH, 1]


def test_steps_due_later_are_announced() -> None:
    (task, _, args, _, delay), *more = messages("run", due(100, delay=5.0))
    assert (task, delay, more) == ("nepiq.announce", 5.0, [])
    assert len(args[1]) == 100


def test_messages_are_in_words() -> None:
    def told(items: list[Due]) -> list[str]:
        return [shown for _, _, _, shown, _ in messages("77", items)]

    assert told(due(1)) == ["start a-0, run 77, attempt 1"]
    (step,) = due(1)
    assert told([step._replace(attempt=3)]) == ["start a-0, run 77, attempt 3"]
    assert told([*due(2, batch=True), step._replace(batch=True, attempt=3)]) == [
        "start a-0 a-1 a-0, run 77, attempt 1 to 3"
    ]
    (many,) = told(due(20, batch=True))
    assert many == "start a-0 a-1 a-2 a-3 a-4 a-5 a-6 a-7 and 12 more, run 77, attempt 1"
