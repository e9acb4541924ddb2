"""Cases 1 to 5: callbacks at some time of the run."""

from __future__ import annotations

import functools
import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.conformance import kinds
from tests.conformance.conftest import Make
from tests.stand import Stand, until

from nepiq.controller import (
    ECState,
    ExperimentController,
    InvalidValue,
    ResourceState,
    Task,
    TaskStatus,
)

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.timeout(120)]


def ended(ec: ExperimentController, task: int) -> Task:
    until(lambda: ec.get_task(task).status is not TaskStatus.NEW, 20.0, f"task {task} was not run")
    found = ec.get_task(task)
    assert found is not None
    return found


def test_case_1_schedule_now(ec: ExperimentController, stand: Stand) -> None:
    task = ec.schedule("0s", kinds.hello, track=True)
    assert ended(ec, task) == Task(task, TaskStatus.DONE, "hola!")
    other = ExperimentController.attach(ec.run_id, settings=stand.settings)
    assert other.get_task(task) == ec.get_task(task)
    other.close()
    assert ec.get_task(task + 1) is None
    assert task not in ec.resources


def test_case_2_schedule_later(ec: ExperimentController) -> None:
    begun = time.time()
    relative = ec.schedule("400ms", kinds.now)
    absolute = ec.schedule(datetime.now().astimezone() + timedelta(seconds=0.4), kinds.now)
    digits = (datetime.now(timezone.utc) + timedelta(seconds=0.4)).strftime("%Y%m%d%H%M%S%f")
    written = ec.schedule(digits, kinds.now)
    for task in (relative, absolute, written):
        assert ended(ec, task).result - begun >= 0.4


def test_a_client_whose_clock_is_ahead(
    ec: ExperimentController, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        real = time.time
        ahead.setattr(time, "time", lambda: real() + 3600.0)
        begun = time.monotonic()
        task = ec.schedule("400ms", kinds.hello)
    assert ended(ec, task).result == "hola!"
    assert time.monotonic() - begun >= 0.4


def test_case_3_a_callback_that_raises(ec: ExperimentController) -> None:
    task = ended(ec, ec.schedule("", kinds.fail, track=True))
    assert task.status is TaskStatus.ERROR
    assert "ValueError: as it was told" in task.result
    assert ec.ecstate is ECState.RUNNING
    assert ended(ec, ec.schedule(None, kinds.hello)).result == "hola!"
    assert ec.failures == []


def test_case_4_in_the_order_of_their_times(tmp_path: Path) -> None:
    file = tmp_path / "order"
    # In one slot: callbacks that are due together may run at the same time in several.
    with Stand(tmp_path / "stand", NEPIQ_IMPORTS=kinds.__name__) as alone:
        alone.start_worker(threads=1)
        with alone.experiment("order", quiet=True) as ec:
            # Absolute times: the calls themselves may take long.
            begin = datetime.now(timezone.utc) + timedelta(seconds=2.0)
            for delay in (1.5, 0.5, 1.0):
                note = functools.partial(kinds.note, str(file), text=str(delay))
                ec.schedule(begin + timedelta(seconds=delay), note)
            until(lambda: file.exists() and file.read_text().count("\n") == 3, 20.0, "not all ran")
    assert [line.split()[0] for line in file.read_text().splitlines()] == ["0.5", "1.0", "1.5"]


def test_case_5_an_error_stops_no_other(ec: ExperimentController) -> None:
    tasks = [ec.schedule(None, kinds.fail if n == 2 else kinds.hello) for n in range(6)]
    found = [ended(ec, task).status.name for task in tasks]
    assert found == ["DONE", "DONE", "ERROR", "DONE", "DONE", "DONE"]


def test_a_release_calls_off_what_is_due_later(make: Make, tmp_path: Path) -> None:
    ec = make()
    task = ec.schedule("1h", functools.partial(kinds.note, str(tmp_path / "no"), "x"))
    ec.release()
    assert ec.get_task(task) == Task(task, TaskStatus.NEW)
    assert not (tmp_path / "no").exists()


def test_methods_of_the_experiment(ec: ExperimentController) -> None:
    app = ec.register_resource("dummy::Application")
    ec.deploy()
    assert ec.wait_started(app, timeout=20)
    ec.schedule("0s", functools.partial(ec.set, app, "x", "from a worker"))
    until(lambda: ec.get(app, "x") == "from a worker", 20.0, "not set")
    ec.schedule("100ms", functools.partial(ec.stop, app))
    assert ec.wait(app, ResourceState.STOPPED, timeout=20)
    ec.schedule("100ms", ec.release)
    assert ec.wait_released(app, timeout=20)


def test_what_a_worker_cannot_call(ec: ExperimentController) -> None:
    def local() -> None: ...

    for callback in (
        lambda: None,
        local,
        ec.wait_finished,
        functools.partial(kinds.note, object()),
    ):
        with pytest.raises(TypeError):
            ec.schedule("0s", callback)
    task = ended(ec, ec.schedule("0s", time.time))
    assert task.status is TaskStatus.ERROR
    assert "NEPIQ_IMPORTS" in task.result


def test_a_result_that_is_too_long(ec: ExperimentController) -> None:
    task = ended(ec, ec.schedule(None, kinds.much))
    assert task.status is TaskStatus.DONE
    assert task.result.startswith("'xxx")
    assert task.result.endswith("...")
    assert len(task.result) < 50_000


@pytest.mark.parametrize(
    "call",
    [
        {"method": "__class__", "args": [], "kwargs": {}},
        {"method": "detach", "args": [], "kwargs": {}},
        {"function": f"{kinds.__name__}:time.time", "args": [], "kwargs": {}},
        {"function": "os:getcwd", "args": [], "kwargs": {}},
    ],
)
def test_calls_that_somebody_forged(ec: ExperimentController, call: dict[str, object]) -> None:
    forged = ec.register_resource("nepiq::Callback", critical=False, call=json.dumps(call))
    ec.deploy(forged)
    assert ec.wait_finished(forged, timeout=20)
    assert ec.get(forged, "outcome") == "ERROR"


@pytest.mark.parametrize("date", ["bogus", "2 fortnights", "20231301000000000000", -1])
def test_d6_a_date_that_is_none(ec: ExperimentController, date: str) -> None:
    with pytest.raises(InvalidValue, match="is no date"):
        ec.schedule(date, kinds.hello)
    assert ec.ecstate is ECState.RUNNING
