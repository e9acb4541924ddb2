"""Leases of hosts when scripts, workers or both are killed: the hosts are soon free, and clean."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Installation, Process
from tests.faults.lab import APPLICATION, Lab
from tests.stand import until
from tests.testbed import Testbed

from nepiq.controller import ExperimentController
from nepiq.controller.engine.pools import PoolStore

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "flock", "setsid"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-pools"),
    pytest.mark.usefixtures("every_host"),
]

#: Seconds after which the hosts of a script that was killed must be free.
FREE = 15.0

SCRIPT = """
import time
ec = ExperimentController("{name}", quiet=True)
pool = ec.register_resource("linux::Pool", label="lab", hosts="host-[1-4]")
for n in range({count}):
    node = ec.register_resource("linux::Node", label=f"n{{n}}", pool=pool)
    for command in ("sleep 300", "setsid sleep 300 & sleep 300"):
        ec.register_resource("linux::Application", command=command, connectedTo=node)
ec.deploy()
print("run", ec.run_id, flush=True)
{then}
"""
HOLD = """
assert ec.wait_started(timeout=60), ec.failures
print("started", flush=True)
time.sleep(120)
"""


class Scripts:
    """Scripts that lease hosts of a lab.

    Args:
        lab: the hosts and workers.
        user: runs the scripts.
    """

    def __init__(self, lab: Lab, user: Installation) -> None:
        self.lab = lab
        self.user = user
        self.pools = PoolStore(lab.stand.backend().redis)

    def start(self, name: str, count: int, then: str = HOLD) -> Process:
        """Start a script with so many nodes; it is called as its experiment."""
        text = SCRIPT.format(name=name, count=count, then=then)
        return self.user.python(self.user.script(text, f"{name}.py"))

    def holding(self, name: str, count: int) -> tuple[Process, str]:
        """Start a script and wait until it uses its hosts; the process and the run."""
        process = self.start(name, count)
        process.wrote("started\n", 90.0)
        return process, process.out.read_text().split()[1]

    def held(self, run_id: str) -> set[str]:
        """Return the hosts that a run has."""
        leases = self.pools.allocation().leases
        return {host for host, lease in leases.items() if lease.run_id == run_id}

    def freed(self, run_id: str, since: float, limit: float = FREE) -> float:
        """Wait until a run has no hosts, which are clean then; the seconds that it took."""
        left = limit - (time.monotonic() - since)
        until(lambda: not self.held(run_id), left, f"{run_id} still has hosts")
        took = time.monotonic() - since
        for host in self.lab.bed.hosts:
            assert host.bearers(run_id) == [], host
        return took


def user_of(lab: Lab, folder: Path) -> Installation:
    urls = {name: url for name, url in lab.stand.environment.items() if name.endswith("_URL")}
    return lab.stand.owned(Installation(folder, **urls))


@pytest.fixture
def scripts(lab: Lab, tmp_path: Path) -> Iterator[Scripts]:
    """Scripts in the shared lab; at the end no host is leased."""
    user = user_of(lab, tmp_path)
    made = Scripts(lab, user)
    yield made
    user.close()
    until(lambda: not made.pools.allocation().leases, FREE, "leases were left")
    assert made.pools.allocation().queue == []


def test_the_script_is_killed(scripts: Scripts) -> None:
    process, run_id = scripts.holding("killed", 3)
    waiting = scripts.start("waiting", 4)
    until(lambda: scripts.pools.allocation().queue, 30.0, "it does not wait")
    assert len(scripts.held(run_id)) == 3
    since = time.monotonic()
    process.signal(signal.SIGKILL)
    took = scripts.freed(run_id, since)
    print(f"\nfree and clean {took:.1f} s after kill -9")
    # Who waited for all of the hosts has them.
    waiting.wrote("started\n", 60.0)
    other = waiting.out.read_text().split()[1]
    assert len(scripts.held(other)) == 4
    # ctrl-C: the script itself releases.
    since = time.monotonic()
    waiting.signal(signal.SIGINT)
    assert waiting.ended().code == -signal.SIGINT
    scripts.freed(other, since)


def test_killed_while_it_waits(scripts: Scripts) -> None:
    holder, run_id = scripts.holding("holder", 4)
    waiting = scripts.start("waiting", 1)
    until(lambda: scripts.pools.allocation().queue, 30.0, "it does not wait")
    since = time.monotonic()
    waiting.signal(signal.SIGKILL)
    until(lambda: not scripts.pools.allocation().queue, FREE, "it is still in the queue")
    assert len(scripts.held(run_id)) == 4
    # Released by another client.
    since = time.monotonic()
    assert scripts.user.nepiq("release", run_id).code == 0
    scripts.freed(run_id, since)
    holder.end()


def test_a_run_that_was_detached_keeps_its_hosts(scripts: Scripts) -> None:
    then = """
assert ec.wait_started(timeout=60), ec.failures
print(ec.detach(), flush=True)
"""
    script = scripts.start("detached", 1, then)
    assert script.ended(90.0).code == 0
    run_id = script.out.read_text().split()[1]
    # As long as others take to lose theirs.
    other, _ = scripts.holding("other", 1)
    since = time.monotonic()
    other.signal(signal.SIGKILL)
    until(lambda: len(scripts.pools.allocation().leases) == 1, FREE, "the other one has its host")
    assert time.monotonic() - since > 5.0
    assert len(scripts.held(run_id)) == 1
    with ExperimentController.attach(run_id, settings=scripts.lab.stand.settings) as ec:
        ec.shutdown()
    scripts.freed(run_id, time.monotonic())


def test_the_worker_and_both_are_killed(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", testbed) as lab:
        (worker,) = lab.start_workers(1)
        user = user_of(lab, tmp_path)
        scripts = Scripts(lab, user)
        process, run_id = scripts.holding("worker", 2)
        worker.signal(signal.SIGKILL)
        worker.ended()
        (worker,) = lab.start_workers(1)
        process.signal(signal.SIGINT)
        assert process.ended(90.0).code == -signal.SIGINT
        scripts.freed(run_id, time.monotonic())
        # The worker dies while it deploys leased nodes, and the script with it.
        process = scripts.start("both", 2)
        until(lambda: scripts.pools.allocation().leases, 30.0, "no host was leased")
        process.signal(signal.SIGKILL)
        worker.signal(signal.SIGKILL)
        worker.ended()
        lease = next(iter(scripts.pools.allocation().leases.values()))
        run_id = lease.request.rpartition("/")[0]
        (_,) = lab.start_workers(1)
        # A lease of a claim that is lost ends after 12 s, and so does the pause of all sweepers.
        scripts.freed(run_id, time.monotonic(), 40.0)
        assert scripts.pools.allocation().queue == []
        user.close()


def test_a_host_that_was_given_back_unclean(scripts: Scripts) -> None:
    """Its next run ends what the earlier one left, which is refused there for good."""
    lab = scripts.lab
    with lab.stand.experiment("cut", quiet=True) as ec:
        ec.register_resource("linux::Pool", label="lab", hosts="host-1")
        node = ec.register_resource("linux::Node", label="node", pool="lab", critical=False)
        app = ec.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
        ec.deploy()
        assert ec.wait_started(app, timeout=60)
        run_id = ec.run_id
        # As when its release was in vain.
        (lease,) = scripts.pools.allocation().leases.values()
        scripts.pools.give_back(run_id, int(lease.request.rpartition("/")[2]))
        assert lab.host.bearers(run_id)
        with lab.stand.experiment("next", quiet=True) as other:
            other.register_resource("linux::Pool", label="lab", hosts="host-1")
            after = other.register_resource("linux::Node", label="node", pool="lab")
            other.register_resource(APPLICATION, command="sleep 300", connectedTo=after)
            other.deploy()
            assert other.wait_started(timeout=60), other.failures
            assert lab.host.bearers(run_id) == []
            late = ec.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
            ec.set(late, "critical", False)
            ec.deploy(late)
            assert ec.wait_finished(late, timeout=60)
            assert ec.state(late).name == "FAILED"
            assert lab.host.bearers(run_id) == []
