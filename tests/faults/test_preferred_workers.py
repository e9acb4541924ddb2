"""One worker of a site logs in to a host, and a worker that joins gets its share at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-homes"),
]

APPLICATIONS = 8


def logins(hosts: list[Host]) -> list[int]:
    """How often each host was logged in to since its boot."""
    return [host.log().count("Accepted publickey") for host in hosts]


def experiment(lab: Lab, ec: ExperimentController, hosts: list[Host]) -> list[int]:
    """Applications on each host, some of them later."""
    nodes = lab.nodes(ec, hosts)
    apps = [
        ec.register_resource(APPLICATION, command="echo done", connectedTo=node)
        for node in nodes
        for _ in range(APPLICATIONS)
    ]
    for app, other in zip(apps[1::2], apps[::2], strict=True):
        ec.register_condition(app, "START", other, "STARTED", "500ms")
    return apps


def carry_out(lab: Lab, hosts: list[Host]) -> None:
    """An experiment from its description to its release."""
    with lab.stand.experiment("homes") as ec:
        apps = experiment(lab, ec, hosts)
        ec.deploy()
        assert ec.wait_finished(apps, timeout=60.0)
        assert {ec.trace(app, "stdout") for app in apps} == {"done\n"}


def homes(lab: Lab, hosts: list[Host]) -> list[str]:
    """The worker that is the home of each host."""
    known = lab.stand.backend().affinity
    return [known.worker(f"nepiq.default@{host.name}") for host in hosts]


def test_a_host_has_sessions_with_one_worker(testbed: Testbed, tmp_path: Path) -> None:
    hosts = list(testbed.hosts)
    with Lab(tmp_path, testbed) as lab:
        lab.start_workers(3)
        before = logins(hosts)
        for _ in range(2):
            carry_out(lab, hosts)
        assert [now - then for now, then in zip(logins(hosts), before, strict=True)] == [1] * len(
            hosts
        )
        # Another worker takes over what it is the home of, and nothing else moves.
        old = homes(lab, hosts)
        lab.start_workers(1)
        until(lambda: homes(lab, hosts) != old, 20.0, "it is the home of none")
        new = homes(lab, hosts)
        before = logins(hosts)
        carry_out(lab, hosts)
        moved = [int(one != other) for one, other in zip(old, new, strict=True)]
        assert [now - then for now, then in zip(logins(hosts), before, strict=True)] == moved
        assert {home for home, moves in zip(new, moved, strict=True) if moves} == {"w3@here"}


def test_hosts_that_nothing_uses_are_disconnected(testbed: Testbed, tmp_path: Path) -> None:
    hosts = list(testbed.hosts)[:2]

    def logged_in() -> bool:
        return any(p.args.startswith("sshd: lab") for host in hosts for p in host.processes())

    with Lab(tmp_path, testbed) as lab:
        lab.start_workers(1, NEPIQ_SESSION_IDLE="2")
        for _ in range(2):
            before = logins(hosts)
            carry_out(lab, hosts)
            assert [now - then for now, then in zip(logins(hosts), before, strict=True)] == [1, 1]
            until(lambda: not logged_in(), 10.0, "it stays connected")


def test_who_joins_a_run_gets_its_share_of_it(testbed: Testbed, tmp_path: Path) -> None:
    hosts = list(testbed.hosts)
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("joined") as ec:
        lab.start_workers(3)
        nodes = lab.nodes(ec, hosts)
        gate = ec.register_resource("nepiq::Null")
        for node in nodes:
            for number in range(200):
                app = ec.register_resource(APPLICATION, command="true", connectedTo=node)
                ec.register_condition(app, "START", gate, "STARTED", number * 0.1)
        ec.deploy()
        assert ec.wait_started(gate, timeout=60.0)
        (joined,) = lab.start_workers(1)
        began = time.monotonic()
        until(lambda: f"[{ec.run_id}/start" in joined.text(), 10.0, "it gets nothing")
        print(f"\nthe first step came {time.monotonic() - began:.1f} s after it was ready")

        def follows() -> bool:
            told = lab.stand.backend().run(ec.run_id).store.redis
            journals = told.hgetall(f"nepiq:{{{ec.run_id}}}:journal").values()
            return any(b"w3@here" in journal for journal in journals)

        until(follows, 15.0, "it follows no journal")
        print(f"the first journal {time.monotonic() - began:.1f} s after it was ready")


def test_a_home_that_follows_nothing_is_given_nothing_back(
    testbed: Testbed, tmp_path: Path
) -> None:
    hosts = list(testbed.hosts)
    with Lab(tmp_path, testbed) as lab, lab.stand.experiment("stuck") as ec:
        lab.stand.start_worker("stuck", NEPIQ_FAULT="looking=100")  # its watcher takes no journal
        lab.stand.start_worker("other")
        until(lambda: all(homes(lab, hosts)), 10.0, "they have no homes")
        stuck = [home.startswith("stuck") for home in homes(lab, hosts)]
        assert any(stuck), "no host has that home"
        nodes = lab.nodes(ec, hosts)
        ec.deploy()
        assert ec.wait_deployed(nodes, timeout=60.0)
        store = lab.stand.backend().run(ec.run_id).store
        node = nodes[stuck.index(True)]

        def leased() -> tuple[str, float]:
            told = store.redis.hget(store.keys.of("journal"), str(node))
            return json.loads(told)["worker"] if told else "", store.watches()[node]

        until(lambda: leased()[0].startswith("other"), 20.0, "the other one does not follow")
        first, lease = leased()

        def renewed() -> bool:
            holder, until_then = leased()
            assert (holder, until_then > 0.0) == (first, True), "it was given up"
            return until_then > lease

        for _ in range(3):  # it was given up instead of renewed before
            until(renewed, 10.0, "it is not renewed")
            _, lease = leased()
