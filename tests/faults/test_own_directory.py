"""Applications that remove or move what nepiq keeps on their host, in whole experiments."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Stand, bearers, until

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-hosts-lost"),
]

DEEDS = {
    "directory": 'rm -rf "$PWD"',
    "moved": 'mv "$PWD" ~/moved-$NEPIQ_ID',
    "all": "rm -rf ~/.nepiq",
    "journal": 'rm -f "$PWD"/../../journal',
    "fences": 'rm -rf "$PWD"/../../fence',
}

deeds = pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)


def carry_out(
    ec: ExperimentController,
    node: int,
    deed: str,
    act: Callable[[], object],
    count: Callable[[], int],
) -> None:
    """Three applications do it: one ends by itself, one is stopped, one is released."""
    wait = "until [ -e ~/act ]; do sleep 0.05; done"
    ender, stopped, released = apps = [
        ec.register_resource(
            APPLICATION,
            command=f"echo up; {wait}; {deed}; {then}",
            # Until it runs, its supervisor needs a file that the others remove.
            startedWhen="output:up",
            okExitCodes="any",
            connectedTo=node,
        )
        for then in ("sleep 1; exit 3", "exec sleep 300", "exec sleep 300")
    ]
    ec.deploy()
    assert ec.wait_started(apps, timeout=60.0)
    act()
    assert ec.wait_finished([ender], timeout=30.0)
    assert (ec.state(ender), ec.get(ender, "exitCode")) == (ResourceState.FINISHED, 3)
    ec.stop(stopped)
    assert ec.state(stopped) is ResourceState.STOPPED
    until(lambda: count() <= 2, 10.0, "what was stopped runs on")  # the third, its supervisor
    assert ec.state(released) is ResourceState.STARTED
    ec.release()
    assert ec.failures == []
    assert count() == 0


@deeds
def test_over_ssh(lab: Lab, deed: str) -> None:
    host = lab.host
    with lab.stand.experiment("own-directory") as ec:
        (node,) = lab.nodes(ec, [host])
        count = lambda: len(host.bearers(f"{ec.run_id}."))  # noqa: E731
        carry_out(ec, node, deed, lambda: host.run("touch act"), count)
    host.run("rm -rf ~/moved-* ~/act")
    lab.expect_nothing(ec.run_id, host)
    with lab.stand.experiment("own-directory") as later:
        (node,) = lab.nodes(later, [host])
        app = later.register_resource(APPLICATION, command="echo works", connectedTo=node)
        later.deploy()
        assert later.wait_finished([app], timeout=60.0)
        assert later.trace(app, "stdout") == "works\n"


@deeds
def test_on_this_machine(stand: Stand, deed: str) -> None:
    with stand.experiment("own-directory") as ec:
        node = ec.register_resource("linux::Node", hostname="localhost")
        act = stand.home / "act"
        carry_out(ec, node, deed, act.touch, lambda: len(bearers(f"{ec.run_id}.")))
    act.unlink()
    for path in stand.home.glob("moved-*"):
        shutil.rmtree(path)
