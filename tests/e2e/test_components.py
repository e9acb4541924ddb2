"""What applications are made of, on hosts that two workers reach over SSH."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand import Stand, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [pytest.mark.needs("redis-server", "sshd", "gcc"), pytest.mark.timeout(240)]

SIZE = 24_000_000
PER_HOST = 5

SUM = """
#include <stdio.h>

int
main (void)
{
    unsigned long sum = 0;
    for (int c; (c = getchar ()) != EOF;)
        sum += c;
    printf ("%lu\\n", sum);
}
"""


@pytest.fixture(scope="module")
def stand(shared_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Two workers that know the shared hosts by their ssh_config."""
    folder = tmp_path_factory.mktemp("stand")
    with Stand(folder, NEPIQ_SSH_CONFIG=str(shared_testbed.ssh_config)) as made:
        workers = [made.start_worker(wait=False) for _ in range(2)]
        for worker in workers:
            until(lambda w=worker: " ready." in w.text(), 60.0, f"no {worker.name}")  # type: ignore[misc]
        yield made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree of random bytes, which no compression makes smaller."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "sum.c").write_text(SUM)
    (folder / "closed").mkdir()
    (folder / "closed/file").touch()
    (folder / "closed").chmod(0o555)  # as Go's caches are; a plain rm does not remove it
    for number in range(8):
        (folder / f"part-{number}").write_bytes(os.urandom(SIZE // 8))
    return folder


def received(host: Host) -> int:
    """Bytes that the interfaces of a host have received since its boot."""
    lines = host.run("cat /proc/net/dev").stdout.splitlines()[2:]
    return sum(int(line.split()[1]) for line in lines if not line.strip().startswith("lo:"))


def run(stand: Stand, hosts: list[Host], tree: Path) -> tuple[float, set[str]]:
    """Deploy five applications a host, wait for them; the seconds, and what they printed."""
    with stand.experiment("tree") as ec:
        nodes = [ec.register_resource("linux::Node", hostname=host.name) for host in hosts]
        apps = [
            ec.register_resource(
                "linux::Application",
                connectedTo=node,
                sources=str(tree),
                build="echo once >>$HOME/compiled; gcc -O2 ${SRC}/tree/sum.c -o sum",
                command="cat ${SRC}/tree/part-* | ./sum",
            )
            for node in nodes
            for _ in range(PER_HOST)
        ]
        began = time.monotonic()
        ec.deploy()
        assert ec.wait_finished(apps, timeout=180), ec.failures
        seconds = time.monotonic() - began
        return seconds, {ec.trace(app, "stdout") for app in apps}


def expected(tree: Path) -> set[str]:
    return {f"{sum(sum(path.read_bytes()) for path in tree.glob('part-*'))}\n"}


def test_each_byte_once_a_host_and_one_build(stand: Stand, testbed: Testbed, tree: Path) -> None:
    hosts = testbed.hosts
    before = [received(host) for host in hosts]
    first, printed = run(stand, hosts, tree)
    carried = [received(host) - one for host, one in zip(hosts, before, strict=True)]
    assert printed == expected(tree)
    assert all(SIZE < count < 1.2 * SIZE for count in carried), carried
    assert [host.run("cat compiled").stdout for host in hosts] == ["once\n"] * len(hosts)

    before = [received(host) for host in hosts]
    second, printed = run(stand, hosts, tree)
    carried = [received(host) - one for host, one in zip(hosts, before, strict=True)]
    print(f"\nfirst {first:.2f} s, second {second:.2f} s")
    assert printed == expected(tree)
    assert all(count < 0.05 * SIZE for count in carried), carried
    assert [host.run("cat compiled").stdout for host in hosts] == ["once\n"] * len(hosts)

    (tree / "part-0").write_bytes(b"changed")
    _, printed = run(stand, hosts[:1], tree)
    assert printed == expected(tree)
    assert hosts[0].run("cat compiled").stdout == "once\nonce\n"
    for host in hosts:
        assert list((host.root / "lab/.nepiq/.usr/part").iterdir()) == []


def deployed(ec: ExperimentController, host: Host, **options: object) -> int:
    node = ec.register_resource("linux::Node", hostname=host.name)
    app = ec.register_resource("linux::Application", connectedTo=node, **options)
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    return app


def test_as_root(stand: Stand, testbed: Testbed, tmp_path: Path) -> None:
    script = tmp_path / "who.sh"
    script.write_text('#!/bin/sh\nid -u; cat ${SHARE}/installed; echo "$@"\n')
    host = testbed.hosts[0]
    with stand.experiment("root") as ec:
        app = deployed(
            ec,
            host,
            script=str(script),
            arguments=["a b", 2],
            env="SHARE=${SHARE}",
            build="id -u >built",
            install="cat built; id -u | tee ${SHARE}/installed",
            sudo=True,
            hardRelease=True,
        )
        assert ec.trace(app, "stdout") == "0\n0\na b 2\n"
        mine = host.run("id -u").stdout
        assert ec.trace(app, "install_stdout") == f"{mine}0\n"
        assert ec.trace(app, "deploy_stdout").endswith(f"{mine}0\n")
    # A release with hardRelease removes what is of the run, and not the caches.
    usr = host.root / "lab/.nepiq/.usr"
    assert len(list(usr.glob("build/*/ready"))) == 1
    assert host.run("cat .nepiq/.usr/share/installed").stdout == "0\n"
    with stand.experiment("clean") as ec:
        node = ec.register_resource("linux::Node", hostname=host.name, cleanHome=True)
        ec.deploy(node)
        assert ec.wait_deployed(node, timeout=30), ec.failures
        assert not usr.exists()
