"""Pools of hosts: scripts that lease hosts from each other, on real ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import Need
from tests.e2e.installation import Installation
from tests.stand import Stand, until
from tests.testbed.bed import Testbed
from tests.testbed.spaces import missing

from nepiq.controller.engine.pools import PoolStore

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bed(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Eight hosts."""
    lacking = missing()
    need("hosts made by namespaces", not lacking, f"needs {lacking}")
    with Testbed(hosts=8, folder=tmp_path_factory.mktemp("testbed")) as made:
        yield made


@pytest.fixture(scope="module")
def stand(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A Redis and two workers that reach them."""
    with Stand(tmp_path_factory.mktemp("stand")) as made:
        for _ in range(2):
            made.start_worker(NEPIQ_SSH_CONFIG=str(bed.ssh_config))
        yield made


@pytest.fixture
def pools(stand: Stand) -> Iterator[PoolStore]:
    """Who has hosts; at the end nobody."""
    store = PoolStore(stand.stack().redis)
    yield store
    until(lambda: not store.allocation().leases, 15.0, "leases were left")
    assert not store.allocation().queue


NODES = """
import sys
ec = ExperimentController("{name}", quiet=True)
pool = ec.register_resource("linux::Pool", label="lab", hosts="host-[1-8]")
nodes = [ec.register_resource("linux::Node", label=f"n{{i}}", pool=pool) for i in range({count})]
"""

RUNS = """
import random
COMMAND = '''echo "begin $RUN" >>~/log; sleep {seconds}; echo "end $RUN" >>~/log'''
"""


def test_one_run(user: Installation, pools: PoolStore) -> None:
    script = (
        NODES.format(name="one", count=3)
        + """
apps = [
    ec.register_resource("linux::Application", command="hostname; echo here", connectedTo=node)
    for node in nodes
]
ec.deploy()
assert ec.wait_finished(timeout=60), ec.failures
print(sorted(ec.get(node, "hostname") for node in nodes))
print([ec.trace(app, "stdout").split()[-1] for app in apps])
"""
    )
    done = user.python(user.script(script)).ended()
    assert done.code == 0, done.err
    assert done.out == "['host-1', 'host-2', 'host-3']\n['here', 'here', 'here']\n"
