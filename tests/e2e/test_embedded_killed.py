"""The embedded stack is started again with its data when parts of it are killed."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation, Process
from tests.processes import alive
from tests.stand import bearers, until

from nepiq.controller.services.place import Place

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(240)]

PARTS = ("keeper", "redis", "worker")
VICTIMS = [("redis",), ("keeper",), ("worker",), PARTS]

SCRIPT = """
import sys, time
from pathlib import Path
go = Path("go").absolute()
ec = ExperimentController("killed")
node = ec.register_resource("linux::Node")
app = ec.register_resource(
    "linux::Application", label="app", connectedTo=node,
    command=f"while [ ! -e {go} ]; do sleep 0.1; done; echo hello",
)
other = ec.register_resource("linux::Application", command="sleep 3000", connectedTo=node)
print("deploys", flush=True)
ec.deploy()
assert ec.wait_started(timeout=120)
print("started", ec.run_id, flush=True)
assert ec.wait_finished(app, timeout=120)
print(ec.trace(app, "stdout").strip(), flush=True)
ec.shutdown()
print("released", ec.state(other, hr=True), flush=True)
"""


def running(installation: Installation) -> dict[str, Any]:
    told = installation.status()
    assert told is not None
    return told


def kill(told: dict[str, Any], victims: tuple[str, ...]) -> None:
    for name in victims:
        os.kill(told[name], signal.SIGKILL)


def ended_well(process: Process) -> None:
    done = process.ended(150.0)
    assert done.code == 0, (done.out, done.err)
    run_id = done.out.splitlines()[1].split()[1]
    assert done.out.splitlines()[2:] == ["hello", "released RELEASED"]
    assert not bearers(run_id)


@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_killed_while_a_script_waits(fresh: Installation, victims: tuple[str, ...]) -> None:
    process = fresh.python(fresh.script(SCRIPT))
    process.wrote("started", 60.0)
    told = running(fresh)
    kill(told, victims)
    (fresh.folder / "go").touch()
    ended_well(process)
    now = running(fresh)
    assert all(now[name] != told[name] for name in victims)


@pytest.mark.parametrize("victims", [("redis",), PARTS], ids="+".join)
def test_killed_while_it_deploys(fresh: Installation, victims: tuple[str, ...]) -> None:
    assert fresh.nepiq("up").code == 0
    until(lambda: running(fresh)["worker"], 30.0, "no worker")
    (fresh.folder / "go").touch()
    process = fresh.python(fresh.script(SCRIPT))
    process.wrote("deploys", 60.0)
    kill(running(fresh), victims)
    ended_well(process)


def test_a_script_that_does_nothing_holds_it_too(fresh: Installation) -> None:
    script = SCRIPT.replace(
        "assert ec.wait_finished(app",
        "while not go.exists(): time.sleep(0.05)\nassert ec.wait_finished(app",
    )
    process = fresh.python(fresh.script(script))
    process.wrote("started", 60.0)
    told = running(fresh)
    kill(told, PARTS)
    until(lambda: (fresh.status() or told)["redis"] not in (told["redis"], None), 60.0, "no Redis")
    (fresh.folder / "go").touch()
    ended_well(process)


def test_a_run_without_a_client_is_held_by_the_worker(fresh: Installation) -> None:
    script = SCRIPT[: SCRIPT.index("assert ec.wait_finished")] + "ec.detach()\n"
    done = fresh.python(fresh.script(script)).ended()
    assert done.code == 0, done.err
    told = running(fresh)
    kill(told, ("keeper",))
    until(
        lambda: not any(alive(told[name]) for name in PARTS) and fresh.status() is not None,
        60.0,
        "it is not there again",
    )
    run_id = done.out.splitlines()[1].split()[1]
    assert fresh.runs()[0]["run_id"] == run_id
    assert fresh.nepiq("release", run_id).code == 0
    assert not bearers(run_id)


def test_its_files_are_for_its_user_only(fresh: Installation) -> None:
    place = Place.of(fresh.home)
    # As a version of before left them.
    (place.data / "appendonlydir").mkdir(parents=True)
    (place.data / "redis.log").write_text("old\n")
    for path in (fresh.home, fresh.home / "embedded", place.data, place.data / "appendonlydir"):
        path.chmod(0o755)
    (place.data / "redis.log").chmod(0o644)
    before = os.umask(0o022)
    try:
        # What an application writes has the rights that its user wants.
        process = fresh.python(fresh.script(SCRIPT.replace("echo hello", "umask")))
        process.wrote("started", 60.0)
        assert len(list(fresh.home.rglob("served/*/*/*"))) == 1
        assert open_ones(fresh.home) == []
        (fresh.folder / "go").touch()
        done = process.ended(60.0)
    finally:
        os.umask(before)
    assert "0022" in done.out, done.err
    assert open_ones(fresh.home) == []


def open_ones(folder: Path) -> list[str]:
    """Everything below a folder, and itself, that others than its user may use."""
    found = []
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            found.append(f"{path} {stat.filemode(mode)}")
    return found


@pytest.fixture(autouse=True)
def _outputs(fresh: Installation) -> Iterator[None]:
    """On failure pytest shows what the stack's logs say."""
    yield
    place = Place.of(fresh.home)
    for name in ("keeper", "redis", "worker"):
        if place.log(name).exists():
            print(f"--- {name}.log\n{place.log(name).read_text()[-3000:]}")
