"""Messages in the queues that nepiq did not send: no worker is harmed, and none obeys them."""

from __future__ import annotations

import base64
import json
import pickle
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from tests.stand import Stand, Worker, until

from nepiq.controller.engine.messaging import publisher
from nepiq.controller.engine.messaging.publisher import task_message
from nepiq.controller.engine.redis_connection import connect
from nepiq.controller.model.spec import ResourceSpec

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

QUEUE = "nepiq"


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def envelope(body: bytes | str, **changes: Any) -> dict[str, Any]:
    """A message as kombu writes it into the list of a queue."""
    data = body.encode() if isinstance(body, str) else body
    _, headers = task_message("nepiq.start", [], "forged-1", "forged")
    made: dict[str, Any] = json.loads(publisher.envelope(QUEUE, [], headers))
    made["body"] = base64.b64encode(data).decode()
    for name, value in changes.items():
        made[name.replace("_", "-")] = value
    return made


def task(name: str, args: Any, **headers: Any) -> dict[str, Any]:
    """A message of a task."""
    body, plain = task_message(name, [], "forged-2", "forged")
    body[0] = args
    return envelope(json.dumps(body), headers={**plain, **headers})


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One worker, so that it is the one that gets every message."""
    imports = {"NEPIQ_IMPORTS": "tests.security.calls"}
    with Stand(tmp_path_factory.mktemp("stand"), **imports) as made:
        made.start_worker(threads=4)
        yield made


@pytest.fixture
def broker(stand: Stand) -> Iterator[Redis]:
    """The broker's Redis."""
    client = connect(stand.environment["NEPIQ_BROKER_URL"])
    yield client
    client.close()


def forge(broker: Redis, *messages: dict[str, Any] | bytes | str | list[Any]) -> None:
    """Put something into the queue that every worker serves."""
    for message in messages:
        raw = message if isinstance(message, bytes | str) else json.dumps(message)
        broker.lpush(f"nepiq:{QUEUE}", raw)


def serves(stand: Stand, broker: Redis) -> str:
    """The worker has taken all of it and still carries out an experiment; what it has logged."""
    worker: Worker = stand.workers[0]
    until(lambda: not broker.llen(f"nepiq:{QUEUE}"), 20.0, "the queue was not emptied")
    with stand.experiment("after") as ec:
        ec.register_resource("nepiq::Null", label="idle")
        app = ec.register_resource(
            "linux::Application",
            command="echo on",
            connectedTo=ec.register_resource("linux::Node", label="here"),
        )
        ec.deploy()
        assert ec.wait_finished(app, timeout=30)
    assert worker.process.poll() is None
    # Nothing comes back to the next worker later.
    assert not broker.keys("nepiq:unacked*")
    return worker.text()


BROKEN: dict[str, Any] = {
    "no JSON": b"hello",
    "no text": b"\xff\xfe\x00",
    "empty": b"",
    "a number": b"7",
    "null": b"null",
    "a list": [1, 2],
    "nested without end": b"[" * 50_000,
    "an empty object": {},
    "no properties": {"body": "", "headers": {}},
    "no tag": envelope("{}", properties={"delivery_info": {}}),
    "a tag that is an object": envelope("{}", properties={"delivery_tag": {}, "delivery_info": {}}),
    "no delivery info": envelope("{}", properties={"delivery_tag": "x"}),
    "headers of the wrong kind": envelope("{}", headers=[1]),
    "no headers": envelope("{}", headers=None),
    "no task": envelope("{}", headers={}),
    "no base64": {**envelope("{}"), "body": "%%%"},
    "a body of the wrong kind": {**envelope("{}"), "body": {"a": 1}},
    "no JSON inside": envelope("{"),
    "no message inside": envelope('"hello"'),
    "unknown encoding": envelope("[]", content_encoding="no-such"),
    "unknown content": envelope("[]", content_type="application/x-nothing"),
    "unknown compression": task("nepiq.start", ["run", ["1.start"]], compression="x-nothing"),
}

ODD: dict[str, Any] = {
    "unknown task": task("os.system", ["touch /"]),
    "a task that is a list": task(["nepiq.start"], []),  # type: ignore[arg-type]
    "no arguments": task("nepiq.start", []),
    "too many arguments": task("nepiq.start", list(range(9))),
    "arguments of the wrong kind": task("nepiq.start", [{}, 7, "apart"]),
    "arguments that are no list": task("nepiq.start", "run"),
    "steps of the wrong kind": task("nepiq.start", ["run", [None, {}, [[]], -1]]),
    "a run that does not exist": task("nepiq.start", ["20200101000000000000", ["1.start"]]),
    "a run whose name is a pattern": task("nepiq.deploy", ["*}:{", ["*"]]),
    "a file of a run that does not exist": task(
        "nepiq.fetch", ["nobody", 1, "/etc/shadow", "x", 0, None, 0]
    ),
    "a place in a run that does not exist": task(
        "nepiq.place", ["nobody", [1], "../../etc/passwd", 0o644, 5, "x", "x"]
    ),
    "a directory of a run that does not exist": task(
        "nepiq.gather", ["nobody", 1, "../../etc", "x", 0, None]
    ),
    "a log of nobody": task("nepiq.follow", ["nobody", "1", [], None]),
    "announced nonsense": task("nepiq.announce", ["nobody", [[], 1, None]]),
    "a time that is none": task("nepiq.start", ["r", ["1.start"]], eta="yesterday"),
    "an expiry that is none": task("nepiq.start", ["r", ["1.start"]], expires="never"),
    "limits of the wrong kind": task("nepiq.start", ["r", ["1.start"]], timelimit="long"),
    "retries of the wrong kind": task("nepiq.start", ["r", ["1.start"]], retries=[]),
    "an id of the wrong kind": task("nepiq.start", ["r", ["1.start"]], id={}),
    "Celery's own tasks": task("celery.chunks", [{"task": "os.system"}, [["id"]], 1]),
}


@pytest.mark.parametrize("kinds", [BROKEN, ODD], ids=["broken", "odd"])
def test_no_worker_is_harmed(stand: Stand, broker: Redis, kinds: dict[str, Any]) -> None:
    before = len(stand.workers[0].text())
    forge(broker, *kinds.values())
    # Each alone is enough to end a worker: all in one go say which only if that fails.
    said = serves(stand, broker)[before:]
    assert "Unrecoverable error" not in said
    assert "Consumer: Connection to broker lost" not in said


def test_what_it_says_about_one_that_is_no_message(stand: Stand, broker: Redis) -> None:
    before = len(stand.workers[0].text())
    forge(broker, b"hello", {"body": "secret-body", "headers": {}})
    said = serves(stand, broker)[before:]
    assert said.count("dropped a message") == 2
    assert "secret-body" not in said


def test_pickle_is_refused(stand: Stand, broker: Redis, tmp_path: Path) -> None:
    bait = tmp_path / "touched"
    dumped = pickle.dumps(Bomb(bait))
    kinds = [
        envelope(dumped, content_type=kind, content_encoding="binary")
        for kind in ("application/x-python-serialize", "application/x-pickle", "pickle")
    ]
    _, headers = task_message("nepiq.start", [], "forged-3", "forged")
    packed = base64.b64encode(zlib.compress(dumped)).decode()
    packing = {**headers, "compression": "application/x-gzip"}
    kinds.append(
        {**envelope(b"", content_type="application/x-python-serialize"), "headers": packing}
        | {"body": packed, "content-encoding": "binary"}
    )
    forge(broker, *kinds)
    serves(stand, broker)
    assert not bait.exists()


def test_ten_megabytes(stand: Stand, broker: Redis) -> None:
    before = len(stand.workers[0].text())
    big = "x" * 10_000_000
    forge(broker, big, task("nepiq.start", [big, [big]]), task(big, []), task("nobody", [big]))
    said = serves(stand, broker)[before:]
    assert len(said) < 100_000


def test_nothing_is_imported_because_of_a_message(
    stand: Stand, broker: Redis, tmp_path: Path
) -> None:
    bait, module = tmp_path / "imported", tmp_path / "bait_module.py"
    module.write_text(f"open({str(bait)!r}, 'w').close()\n")
    worker = stand.start_worker("bait", PYTHONPATH=f"{tmp_path}:.typing:.")
    try:
        forge(
            broker,
            task("bait_module.run", []),
            task("nepiq.start", ["r", ["1.start"]], chain=[{"task": "bait_module.run"}]),
            task("celery.map", [{"task": "bait_module.run"}, [[]]]),
        )
        # Celery's remote control can restart a pool with modules; here it must not.
        orders = {
            "method": "pool_restart",
            "arguments": {"modules": ["bait_module"], "reload": True},
            "destination": None,
            "pattern": None,
            "matcher": None,
        }
        order = envelope(json.dumps(orders), headers={"clock": 1, "expires": None})
        order["properties"]["delivery_info"] = {"exchange": "celery.pidbox", "routing_key": ""}
        said = json.dumps(order)
        until(
            lambda: broker.publish("nepiq:/0.celery.pidbox", said) == 2,  # soon after it is ready
            10.0,
            "the workers do not listen to remote control",
        )
        serves(stand, broker)
        until(lambda: "Pool restarts not enabled" in worker.text(), 10.0, "not refused")
        assert not bait.exists()
    finally:
        worker.signal(15)
        worker.ended()
        stand.workers.remove(worker)


def test_nor_because_of_a_record(stand: Stand, tmp_path: Path) -> None:
    """Somebody writes resources into Redis whose type or call is where workers do not look."""
    bait, module = tmp_path / "imported", tmp_path / "bait_module.py"
    module.write_text(f"open({str(bait)!r}, 'w').close()\ndef run(): pass\n")
    calls = [
        {"function": "bait_module:run", "args": [], "kwargs": {}},
        {"function": "os:system", "args": [f"touch {bait}"], "kwargs": {}},
        {"function": "nepiq.workers.execution.callbacks:json.loads", "args": ["1"], "kwargs": {}},
        {"function": "tests.security.calls:os.system", "args": [f"touch {bait}"], "kwargs": {}},
        {"function": "tests.security.calls:Path", "args": ["x"], "kwargs": {}},
        {"method": "_leave", "args": [], "kwargs": {}},
        {"method": "deploy.__func__.__globals__", "args": [], "kwargs": {}},
    ]
    types = ["bait_module::Thing", "tests::Bait", "os::system"]
    specs = [ResourceSpec(100 + n, rtype, f"t{n}", critical=False) for n, rtype in enumerate(types)]
    specs += [
        ResourceSpec(*(200 + n, "nepiq::Callback", f"c{n}"), attributes={"call": json.dumps(call)})
        for n, call in enumerate(calls)
    ]
    with stand.experiment("records") as ec:
        ec.register_resource("nepiq::Null", label="idle")
        ec.deploy()
        run = stand.backend().run(ec.run_id)
        assert run.store.upload("forger", specs) == "OK"
        run.deploy([spec.guid for spec in specs])

        def ended() -> bool:
            records = run.records([spec.guid for spec in specs])
            return all(record.state in {"FAILED", "FINISHED"} for record in records)

        until(ended, 20.0, "they did not end")
        for record in run.records([spec.guid for spec in specs]):
            if record.guid < 200:
                assert record.state == "FAILED"
                assert "cannot import" in str(record.error)
            else:
                assert record.attributes["outcome"] == "ERROR"
                told = record.attributes["traceback"]
                assert "NotAllowed" in told or "ClassNotImportable" in told
    assert not bait.exists()


def test_what_was_dropped_is_not_returned_by_a_worker_that_stops(
    stand: Stand, broker: Redis
) -> None:
    forge(broker, *BROKEN.values())
    serves(stand, broker)
    worker = stand.workers[0]
    worker.signal(signal.SIGTERM)
    worker.ended()
    assert broker.llen(f"nepiq:{QUEUE}") == 0
