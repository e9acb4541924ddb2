"""What the units of deploy/systemd start, with the files and rights that they say."""

from __future__ import annotations

import base64
import platform
from collections.abc import Iterator

import pytest
from tests.conftest import Need
from tests.deploy.container import Container, Machine
from tests.deploy.installed import FLOWER, METRICS, Installed
from tests.stand import until
from tests.testbed import missing

pytestmark = [
    pytest.mark.needs("redis-server", "setpriv", "useradd"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("units"),
]

EXPERIMENT = """
from nepiq.controller import ExperimentController

with ExperimentController("deployed") as ec:
    node = ec.register_resource("linux::Node", label="here")
    command = "id -un; cd; pwd; touch file; mktemp; mktemp -p /var/tmp; touch /etc/x"
    app = ec.register_resource("linux::Application", connectedTo=node, command=command)
    ec.set(app, "okExitCodes", [1])
    ec.deploy()
    ec.wait_finished(app)
    print(ec.trace(app, "stdout"), ec.trace(app, "stderr"))
"""
ASK = """
import sys, urllib.error, urllib.request
headers = {"Authorization": "Basic " + sys.argv[2]} if len(sys.argv) > 2 else {}
try:
    answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers))
    print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
"""
NAMES = ("redis", "worker@", "flower", "metrics")
Units = dict[str, Container]


@pytest.fixture(scope="module")
def machine(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The machine, before its units are started."""
    lacking = missing()
    need("units in namespaces", not lacking, f"needs {lacking}")
    with Machine() as network:
        made = Installed(tmp_path_factory.mktemp("units"), network)
        made.set_up()
        made.tree.user("alice", 1000, "/home/alice")
        made.tree.file("home/alice/deployed.py", EXPERIMENT)
        yield made


@pytest.fixture(scope="module")
def units(machine: Installed) -> Units:
    """What systemctl start does."""
    redis = machine.start_unit("nepiq-redis")
    until(lambda: "Ready to accept" in redis.text(), 20.0, "Redis is not up")
    return {"redis": redis, **{name: machine.start_unit(f"nepiq-{name}") for name in NAMES[1:]}}


def test_an_experiment_on_a_localhost_node(machine: Installed, units: Units) -> None:
    done = machine.as_user("/opt/nepiq/bin/nepiq", "run", "-q", "deployed.py")
    assert done.ended() == 0, done.text() + units["worker@"].text()
    user, home, *rest = done.text().split("\n")
    assert (user, home) == ("nepiq", "/var/lib/nepiq")
    assert rest[0].startswith("/tmp/")
    assert rest[1].startswith("/var/tmp/")
    assert "Read-only file system" in done.text()
    # A user of the machine finds what the experiment wrote.
    assert (machine.tree.path / rest[0].lstrip("/")).is_file()
    assert (machine.tree.path / "var/lib/nepiq/file").is_file()


def ask(machine: Installed, *words: str) -> str:
    asked = machine.as_user("/opt/nepiq/bin/python", "-c", ASK, *words)
    asked.ended()
    return asked.text()


def test_flower_and_metrics_answer(machine: Installed, units: Units) -> None:
    flower, metrics = "http://127.0.0.1:5555/", "http://127.0.0.1:9108/metrics"
    for name, said in (("flower", "Connected to"), ("metrics", "metrics at")):
        until(lambda: said in units[name].text(), 30.0, f"{name} is not up")  # noqa: B023
    token = base64.b64encode(f"nepiq:{FLOWER}".encode()).decode()
    until(lambda: ask(machine, flower, token).startswith("200 "), 60.0, "Flower does not answer")
    assert ask(machine, flower) == "401\n"
    assert "\nnepiq_redis_up 1.0\n" in ask(machine, metrics)
    assert "\nnepiq_worker_slots 16.0\n" in ask(machine, f"http://{METRICS}/metrics")


# Of each unit, where it may write.
WRITABLE = {
    "redis": {"/var/lib/nepiq-redis", "/tmp", "/var/tmp"},
    "worker@": {"/var/lib/nepiq", "/tmp", "/var/tmp"},
    "flower": {"/tmp", "/var/tmp"},
    "metrics": {"/tmp", "/var/tmp"},
}


@pytest.mark.parametrize("name", WRITABLE)
def test_a_unit_writes_where_it_may(units: Units, name: str) -> None:
    others = {"/", "/etc", "/opt/nepiq", "/home/alice", "/var/lib", "/var/log"}
    for place in others.union(*WRITABLE.values()):
        done = units[name].run("touch", f"{place}/touched")
        assert (done.returncode == 0) == (place in WRITABLE[name]), (place, done.stderr)
    told = units[name].run("cat", "/proc/1/status").stdout
    assert "NoNewPrivs:\t1" in told
    assert f"CapEff:\t{'0' * 16}" in told
    for secret in ("/etc/nepiq/nepiq.env", "/etc/nepiq/redis.env"):
        assert units[name].run("cat", secret).returncode != 0
    homes = units[name].run("ls", "/home").stdout
    assert (homes == "") == (name != "worker@"), "ProtectHome"


def test_units_end_in_order(machine: Installed, units: Units) -> None:
    drain = machine.as_user("/opt/nepiq/bin/nepiq", "drain", platform.node())
    assert drain.ended() == 0, drain.text()
    # Not a failure: systemd does not start it again.
    assert units["worker@"].ended() == 0, units["worker@"].text()
    assert units["metrics"].stop() == 0
    units["flower"].stop()
    assert units["redis"].stop() == 0
    assert all("Traceback" not in unit.text() for unit in units.values())
