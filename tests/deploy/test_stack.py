"""The commands of units and of compose.yaml, started as they stand, and an experiment on it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from tests.deploy.files import DEPLOY, compose, unit_command
from tests.e2e.installation import Installation
from tests.security.site import free_port
from tests.stand import ROOT, until

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

EXPERIMENT = """
with ExperimentController("deployed") as ec:
    node = ec.register_resource("linux::Node", label="here")
    app = ec.register_resource("linux::Application", connectedTo=node, command="echo deployed")
    ec.deploy()
    ec.wait_finished(app)
    print(ec.trace(app, "stdout"))
"""
PLACES = {
    "/opt/nepiq/bin/": "",
    "/opt/nepiq/deploy": str(DEPLOY),
    "/nepiq/": str(DEPLOY / "redis") + "/",
}


def here(command: list[str], data: str) -> list[str]:
    """A command with the paths of this machine."""
    made = []
    for word in command:
        for place, instead in PLACES.items():
            word = word.replace(place, instead)  # noqa: PLW2901
        made.append(data if word in {"/data", "/var/lib/nepiq-redis"} else word)
    if made[0] == "nepiq":
        made = [sys.executable, "-m", "nepiq.controller.cli", *made[1:]]
    return made


def from_units() -> dict[str, list[str]]:
    """The commands of the units."""
    return {
        "redis": unit_command(DEPLOY / "systemd/nepiq-redis.service"),
        "worker": unit_command(DEPLOY / "systemd/nepiq-worker@.service"),
    }


def from_compose() -> dict[str, list[str]]:
    """The commands of the services."""
    known = {"NEPIQ_REDIS_PASSWORD": "x", "NEPIQ_FLOWER_PASSWORD": "x"}
    services = compose(known)["services"]
    return {name: services[name]["command"] for name in ("redis", "worker")}


@contextmanager
def running(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to end at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def offered(verb: list[str], user: Installation) -> list[str]:
    """The command without an option that this version's verb does not have."""
    told = user.nepiq("worker", "--help").out
    if "--metrics" in verb and "--metrics" not in told:
        at = verb.index("--metrics")
        return verb[:at] + verb[at + 2 :]
    return [word.replace(":9109", f":{free_port()}") for word in verb]


@pytest.mark.parametrize("commands", [from_units, from_compose], ids=["units", "compose"])
def test_an_experiment_on_it(commands: object, tmp_path: Path) -> None:
    found = commands()  # type: ignore[operator]
    password, port = secrets.token_hex(32), free_port()
    base = f"redis://nepiq:{password}@127.0.0.1:{port}"
    settings = {"NEPIQ_BROKER_URL": f"{base}/0", "NEPIQ_STATE_URL": f"{base}/1"}
    user = Installation(tmp_path, **settings)
    user.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / ".typing"), str(ROOT)])
    with ExitStack() as stack:
        data = tempfile.mkdtemp(prefix="nq")
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        redis = [*here(found["redis"], data), "--port", str(port)]
        if "0.0.0.0" in redis:
            redis[redis.index("0.0.0.0")] = "127.0.0.1"
        environment = {**os.environ, "NEPIQ_REDIS_PASSWORD": password}
        stack.enter_context(running(redis, environment, tmp_path / "redis.log"))
        client = Redis.from_url(settings["NEPIQ_STATE_URL"])
        stack.callback(client.close)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except OSError:
                return False
            except Exception:  # noqa: BLE001 - not there yet
                return False

        until(answers, 20.0, "Redis does not answer")
        info = client.info()
        assert (info["aof_enabled"], info["maxmemory_policy"]) == (1, "noeviction")
        worker = offered(here(found["worker"], data), user)
        log = tmp_path / "worker.log"
        process = stack.enter_context(running(worker, user.environment, log))
        done = user.run(EXPERIMENT)
        assert done.code == 0, done.err + log.read_text()
        assert "deployed" in done.out
        found_out = user.nepiq("doctor")
        assert found_out.code == 0, found_out.out
        assert "keeps its data" in found_out.out
        # A warm shutdown, as systemd and Docker ask for it.
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    shutil.rmtree(user.state, ignore_errors=True)


def test_redis_wants_a_password_worth_the_name(tmp_path: Path) -> None:
    start = str(DEPLOY / "redis" / "start")
    for password, said in (("", "set it: the password"), ("short", "less than 16 characters")):
        done = subprocess.run(
            [start, str(tmp_path)],
            env={**os.environ, "NEPIQ_REDIS_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert said in done.stderr
