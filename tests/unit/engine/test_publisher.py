"""Messages that are made by hand are those that Celery would make."""

from __future__ import annotations

import json
import socket
from base64 import b64decode
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from nepiq.controller.engine.messaging import queues
from nepiq.controller.engine.messaging.celery_app import make_app
from nepiq.controller.engine.messaging.publisher import (
    BATCH,
    MOST_JOINT,
    MOST_PARALLEL,
    envelope,
    messages,
    task_message,
)
from nepiq.controller.engine.store.calls import DueStep

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


@pytest.mark.parametrize("eta", [None, MOMENT])
def test_an_envelope_is_what_kombu_would_write(eta: datetime | None) -> None:
    body, headers = task_message("nepiq.start", ["run", ["3.start", "é"]], "id", "shown", eta)
    ours = json.loads(envelope("nepiq.lab", body, headers))
    with Connection("memory://") as connection, connection.Producer() as producer:
        connection.SimpleQueue("nepiq.lab")
        producer.publish(
            body,
            routing_key="nepiq.lab",
            exchange="",
            serializer="json",
            headers=headers,
            correlation_id="id",
            reply_to="",
            delivery_mode=2,
        )
        theirs = producer.channel._get("nepiq.lab")
    for message in ours, theirs:
        assert UUID(message["properties"].pop("delivery_tag")).version == 4
    body, expected = (json.loads(b64decode(message.pop("body"))) for message in (ours, theirs))
    assert (ours, body) == (theirs, expected)


def test_a_worker_tries_to_reach_redis_every_three_seconds_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pauses: list[float] = []

    def failed(error: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 2:
            raise TimeoutError

    app = make_app(f"redis://127.0.0.1:{port}/0")
    with app.connection_for_read() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(failed, interval_start=3)
    assert pauses == [3, 3]


def due(count: int, *, batch: bool = False, delay: float = 0.0) -> list[DueStep]:
    return [DueStep(f"{n}.start", delay, "nepiq.default", batch, f"a-{n}") for n in range(count)]


def shared(queue: str, attempt: int) -> str:
    return queues.shared(queue)


def sizes(items: list[DueStep]) -> list[int]:
    return [len(args[1]) for _, _, args, _, _ in messages("run", items, shared)]


def test_few_steps_with_io_travel_alone() -> None:
    assert sizes(due(5)) == [1] * 5
    assert [args for _, _, args, _, _ in messages("run", due(1), shared)] == [["run", ["0.start"]]]


def test_many_steps_with_io_share_messages() -> None:
    found = list(messages("run", due(400), shared))
    assert {len(args[1]) for _, _, args, _, _ in found} == {MOST_PARALLEL}
    assert all(args[2] is True for _, _, args, _, _ in found)
    assert sum(sizes(due(50))) == 50


def test_ends_share_larger_messages() -> None:
    ends = [item._replace(step=f"{n}.release") for n, item in enumerate(due(400))]
    assert max(sizes(ends)) == MOST_JOINT


def test_steps_without_io_travel_in_batches() -> None:
    assert sizes(due(2 * BATCH + 1, batch=True)) == [BATCH, BATCH, 1]


def test_steps_due_later_are_announced() -> None:
    (task, _, args, _, delay), *more = messages("run", due(100, delay=5.0), shared)
    assert (task, delay, more) == ("nepiq.announce", 5.0, [])
    assert len(args[1]) == 100


def test_each_worker_gets_the_steps_on_its_hosts() -> None:
    def home(queue: str, attempt: int) -> str:
        plain, _, host = queue.partition("@")
        return f"{plain}@{'even' if int(host) % 2 == 0 else 'odd'}" if attempt == 1 else plain

    items = [step._replace(queue=f"nepiq.default@{n}") for n, step in enumerate(due(40))]
    items[0] = items[0]._replace(attempt=4)
    got: dict[str, list[str]] = {}
    for _, queue, args, _, _ in messages("run", items, home):
        got.setdefault(queue, []).extend(args[1])
    assert got.pop("nepiq.default") == ["0.start"]
    assert sorted(got) == ["nepiq.default@even", "nepiq.default@odd"]
    assert sorted(got["nepiq.default@odd"]) == sorted(f"{n}.start" for n in range(1, 40, 2))
    assert len(got["nepiq.default@even"]) == 19


def test_an_announcement_keeps_the_hosts_and_goes_to_any_worker() -> None:
    items = [
        step._replace(queue=f"nepiq.default@{n % 3}") for n, step in enumerate(due(9, delay=5.0))
    ]
    ((task, queue, args, _, _),) = messages("run", items, lambda queue, _: queue)
    assert (task, queue) == ("nepiq.announce", "nepiq.default")
    assert {item[1] for item in args[1]} == {f"nepiq.default@{n}" for n in range(3)}


def test_messages_are_in_words() -> None:
    def told(items: list[DueStep]) -> list[str]:
        return [shown for _, _, _, shown, _ in messages("77", items, shared)]

    assert told(due(1)) == ["start a-0, run 77, attempt 1"]
    (step,) = due(1)
    assert told([step._replace(attempt=3)]) == ["start a-0, run 77, attempt 3"]
    assert told([*due(2, batch=True), step._replace(batch=True, attempt=3)]) == [
        "start a-0 a-1 a-0, run 77, attempt 1 to 3"
    ]
    (many,) = told(due(20, batch=True))
    assert many == "start a-0 a-1 a-2 a-3 a-4 a-5 a-6 a-7 and 12 more, run 77, attempt 1"
