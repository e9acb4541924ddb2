"""Clients that are killed, and several clients of one run."""

from __future__ import annotations

import itertools
import json
import signal
import sys
import threading
from collections import Counter

import pytest
from tests.e2e.installation import Installation
from tests.stand import Stand, bearers

from nepiq.controller import (
    ConditionCycle,
    ExperimentController,
    InvalidValue,
    ResourceAction,
    ResourceState,
)

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("faults-clients"),
]

STARTED = ResourceState.STARTED


# Twelve applications, each a moment after the one before it.
KILLED = """
import time
ec = ExperimentController("killed")
node = ec.register_resource("linux::Node", label="node")
for n in range(12):
    ec.register_resource("linux::Application", label=f"app-{n}", connectedTo=node,
                         command=f"echo {n}; sleep 0.1; echo {n} again")
    if n:
        ec.register_condition(f"app-{n}", START, f"app-{n - 1}", FINISHED, "50ms")
ec.deploy()
assert ec.wait_finished("app-2", timeout=30)
print(ec.run_id, flush=True)
time.sleep(60)
"""

HEIR = """
import json, sys
from nepiq.controller.engine import Backend
from nepiq.controller.settings import Settings
ec = ExperimentController.attach(sys.argv[1])
run = Backend(Settings.from_environment()).run(sys.argv[1])
events = run.events(block=5)
done = ec.wait_finished(timeout=30)
while more := run.events(events[-1].id):
    events += more
traces = [ec.trace(f"app-{n}", "stdout") for n in range(12)]
ec.release()
while more := run.events(events[-1].id):
    events += more
print(json.dumps({
    "done": done, "traces": traces, "events": [(e.guid, e.what) for e in events],
    "labels": {guid: ec._description.label(guid) for guid in ec.resources},
    "states": [ec.state(guid, hr=True) for guid in ec.resources],
    "failures": len(ec.failures), "after": ec.trace("app-11", "stdout"),
}))
"""


def test_another_process_takes_over_from_a_killed_script(user: Installation) -> None:
    process = user.python(user.script(KILLED))
    process.wrote("\n")
    process.signal(signal.SIGKILL)
    assert process.ended().code == -signal.SIGKILL
    run_id = process.out.read_text().strip()
    assert user.nepiq("status", run_id, "--json").code == 0
    heir = user.start(sys.executable, "-u", user.script(HEIR, "heir.py"), run_id).ended()
    assert (heir.code, heir.err) == (0, ""), heir.err
    told = json.loads(heir.out)
    assert told["done"] is True
    assert told["traces"] == [f"{n}\n{n} again\n" for n in range(12)]
    assert told["after"] == "11\n11 again\n"
    assert (set(told["states"]), told["failures"]) == ({"RELEASED"}, 0)
    events = [tuple(event) for event in told["events"]]
    assert [what for guid, what in events if not guid] == ["RUNNING", "RELEASING", "RELEASED"]
    seen = Counter(event for event in events if event[0])
    apps = [int(guid) for guid, label in told["labels"].items() if label != "node"]
    for guid in apps:
        for state in ("READY", "STARTED", "FINISHED", "RELEASED"):
            assert seen[guid, state] == 1, (guid, state)
    ends = [guid for guid, what in events if what == "FINISHED"]
    assert ends == sorted(apps)
    assert bearers(run_id) == []


def test_a_killed_script_can_be_followed_and_released_by_commands(user: Installation) -> None:
    process = user.python(user.script(KILLED.replace("killed", "killed-too")))
    process.wrote("\n")
    process.signal(signal.SIGKILL)
    process.ended()
    run_id = process.out.read_text().strip()
    lines = user.nepiq("logs", run_id, "-f").out.splitlines()
    assert [line.split()[-1] for line in lines if "app-11" in line] == ["11", "again"]
    assert user.nepiq("trace", run_id, "app-3").out == "3\n3 again\n"
    assert user.nepiq("release", run_id).code == 0
    states = json.loads(user.nepiq("status", run_id, "--json").out)
    assert {item["state"] for item in states["resources"]} == {"RELEASED"}
    assert bearers(run_id) == []


class Client(threading.Thread):
    """Registers, deploys and waits at the same time as others, in several rounds."""

    ROUNDS, EACH = 6, 9

    def __init__(self, ec: ExperimentController, name: str, meeting: threading.Barrier) -> None:
        super().__init__(name=name)
        self.ec = ec
        self.meeting = meeting
        self.mine: list[int] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._rounds()
        except BaseException as error:  # noqa: BLE001 - it is told by the test
            self.error = error
            self.meeting.abort()

    def _rounds(self) -> None:
        ec = self.ec
        for number in range(self.ROUNDS):
            self.meeting.wait(30.0)
            made = [
                ec.register_resource("nepiq::Null", label=f"{self.name}-{number}-{n}")
                for n in range(self.EACH)
            ]
            for one, next_one in itertools.pairwise(made):
                ec.register_condition(next_one, ResourceAction.START, one, STARTED, "1ms")
            ec.deploy(made)
            self.mine += made
            assert ec.wait_started(made, timeout=30.0)


def test_two_clients_of_one_run_register_at_the_same_time(stand: Stand) -> None:
    first = stand.experiment("shared", quiet=True)
    one = first.register_resource("nepiq::Null", label="one")
    first.deploy()
    second = stand.experiment_of(first.run_id)
    meeting = threading.Barrier(2)
    clients = [Client(first, "a", meeting), Client(second, "b", meeting)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60.0)
        assert client.error is None, client.error
    guids = [one, *clients[0].mine, *clients[1].mine]
    assert len(set(guids)) == len(guids) == 1 + 2 * Client.ROUNDS * Client.EACH
    for ec in (first, second):
        assert sorted(ec.resources) == sorted(guids)
        assert {ec.state(guid) for guid in guids} == {STARTED}
        assert ec.find("a-5-8") in clients[0].mine
        assert ec.find("b-5-8") in clients[1].mine
    # Each can wait for and release what the other has registered.
    second.release(clients[0].mine)
    assert first.wait_released(clients[0].mine, timeout=30.0)
    assert {first.state(guid) for guid in clients[1].mine} == {STARTED}
    first.release(clients[1].mine)
    assert {second.state(guid, hr=True) for guid in clients[1].mine} == {"RELEASED"}
    assert second.state(one) is STARTED
    second.release()
    assert first.ecstate.name == "RELEASED"
    first.shutdown()


def test_a_label_that_two_clients_gave_at_the_same_time(stand: Stand) -> None:
    first = stand.experiment("labels", quiet=True)
    first.register_resource("nepiq::Null", label="one")
    first.deploy()
    second = stand.experiment_of(first.run_id)
    mine = first.register_resource("nepiq::Null", label="server")
    other = second.register_resource("nepiq::Null", label="server")
    assert mine != other
    first.deploy()
    with pytest.raises(InvalidValue, match=r"label 'server' was given to guid \d+ by another"):
        second.deploy()
    assert first.find("server") == mine
    for ec in (first, second, stand.experiment_of(first.run_id)):
        assert mine in ec.resources
    assert first.wait_started(timeout=30.0)
    third = second.register_resource("nepiq::Null", label="other")
    second.deploy(third)
    assert second.wait_started(third, timeout=30.0)
    assert first.find("other") == third
    first.shutdown()


def test_a_circle_through_a_group_that_another_client_deployed(stand: Stand) -> None:
    first = stand.experiment("circle", quiet=True)
    for label in ("a", "b", "never"):
        first.register_resource("nepiq::Null", label=label)
    first.register_condition("a", ResourceAction.DEPLOY, "never", STARTED)
    first.deploy(["a", "b"])
    second = stand.experiment_of(first.run_id)
    with pytest.raises(ConditionCycle, match=r"a.deploy waits for b STARTED, b.start waits for g"):
        second.register_condition("a", ResourceAction.DEPLOY, "b", STARTED)
    first.deploy("never")
    assert second.wait_started(["a", "b"], timeout=30.0)
    first.shutdown()
