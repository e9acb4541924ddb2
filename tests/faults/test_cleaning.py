"""What dead runs left on hosts is found and removed; what is alive is left alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Done, Installation
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Stand, bearers, until
from tests.testbed import Testbed

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(180)]


SLEEPS = "import time; time.sleep(300)"


def clean(stand: Stand, *arguments: str | Path, **environment: str) -> Done:
    folder = stand.folder / "user"
    settings = {**stand.environment, **environment}
    made = stand.owned(Installation(folder, **settings))
    made.environment["HOME"] = str(stand.home)
    return made.nepiq("clean", *arguments)


def listed(done: Done) -> dict[str, Any]:
    return {item["run_id"]: item for item in json.loads(done.out)}


def test_a_host_whose_redis_was_wiped(testbed: Testbed, tmp_path: Path) -> None:
    with Lab(tmp_path, testbed) as lab:
        stand, host = lab.stand, lab.host
        (worker,) = lab.start_workers(1)
        lost = stand.experiment("lost")
        (node,) = lab.nodes(lost, [host])
        stubborn = "setsid sleep 3001 & (trap '' TERM; exec sleep 3002) & exec sleep 3003"
        app = lost.register_resource(APPLICATION, command=stubborn, connectedTo=node)
        lost.deploy()
        assert lost.wait_started(app, "60s")
        until(lambda: len(host.bearers(lost.run_id)) >= 4, 10.0, "it does not run")
        lost.detach()
        worker.signal(signal.SIGKILL)
        worker.ended()
        stand.backend().redis.flushall()
        lab.start_workers(1)

        with stand.experiment("alive") as alive:
            (node,) = lab.nodes(alive, [host])
            app = alive.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
            alive.deploy()
            assert alive.wait_started(app, "60s")

            shown = clean(stand, host.name, "--dry-run", "--json")
            assert shown.code == 0, shown.err
            found = listed(shown)
            assert set(found) == {lost.run_id, alive.run_id}
            assert found[lost.run_id]["phase"] == "unknown"
            assert found[lost.run_id]["experiment"] == "lost"
            assert len(found[lost.run_id]["processes"]) >= 4
            assert host.bearers(lost.run_id)

            is_refused(clean(stand, host.name), lost.run_id, alive.run_id)
            address = f"lab@{host.address}:{host.port}"
            done = clean(stand, address, "--yes", "--json", "--identity", host.key)
            assert done.code == 0, done.err
            assert listed(done)[lost.run_id]["removed"]
            assert not listed(done)[alive.run_id]["removed"]
            assert host.bearers(lost.run_id) == []
            assert not (host.root / "lab" / ".nepiq" / lost.run_id).exists()
            assert len(host.bearers(alive.run_id)) >= 1
            assert alive.wait_started(app, "5s")


def is_refused(done: Done, dead: str, alive: str) -> None:
    assert done.code == 2
    assert "--yes" in done.complaint
    assert dead in done.out
    assert alive not in done.out
    assert "kept: 1 active run" in done.err


def test_this_machine(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.start_worker()
        with stand.experiment("local") as ec:
            node = ec.register_resource("linux::Node")
            app = ec.register_resource(APPLICATION, command="sleep 300", connectedTo=node)
            ec.deploy()
            assert ec.wait_started(app, "30s")
            done = clean(stand, "localhost", "--yes")
            assert done.code == 0
            assert len(bearers(ec.run_id)) > 0
            run_id = ec.run_id
        kept = stand.home / ".nepiq" / run_id
        assert kept.exists()
        # One that lost its directory is found by its mark; one of another home is not ours.
        with (
            stand.script(SLEEPS, NEPIQ_ID="lost.7.1") as stray,
            stand.script(SLEEPS, NEPIQ_ID="foreign.7.1", HOME=str(tmp_path)) as foreign,
        ):
            until(lambda: bearers("lost") and bearers("foreign"), 10.0, "no strays")
            done = clean(stand, "localhost", "--yes", "--json")
            assert done.code == 0, done.err
            assert set(listed(done)) == {run_id, "lost"}
            assert listed(done)[run_id]["phase"] == "RELEASED"
            assert stray.wait(10.0) == -signal.SIGTERM
            assert foreign.poll() is None
            foreign.kill()
        assert not kept.exists()
        assert "no leftovers of dead runs" in clean(stand, "localhost").err


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        assert clean(stand, "host name").code == 2
        done = clean(stand, "lab@127.0.0.1:1", NEPIQ_SSH_CONFIG="/dev/null")
        assert done.code == 4
        assert "connection refused" in done.complaint
