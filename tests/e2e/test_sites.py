"""A worker on the gateway of a site, which reaches Redis outside, as the page about it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError
from tests.stand import ROOT, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController, NoWorker
from nepiq.controller.settings import Settings

pytestmark = [pytest.mark.needs("redis-server", "ssh-keygen"), pytest.mark.timeout(120)]

PORT = 6379


@contextmanager
def inside(
    host: Host, command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the network of a host."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["nsenter", "-t", str(host.space.pid), "-n", "--", *command],
            env={**os.environ, **(environment or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(url: str) -> bool:
    client = Redis.from_url(url)
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False
    finally:
        client.close()


def test_a_worker_inside_a_site(testbed: Testbed, tmp_path: Path) -> None:
    outside, gateway = testbed.hosts[0], testbed.gateway
    assert gateway is not None
    url = f"redis://{outside.address}:{PORT}"
    settings = Settings(broker_url=f"{url}/0", state_url=f"{url}/1", worker_timeout=1.0)
    # In there no host is behind the gateway.
    config = tmp_path / "ssh_config"
    config.write_text(re.sub(r" *ProxyJump .*\n", "", testbed.ssh_config.read_text()))
    environment = {
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / ".typing"), str(ROOT)]),
        "NEPIQ_BROKER_URL": settings.broker_url,
        "NEPIQ_STATE_URL": settings.state_url,
        "NEPIQ_SSH_CONFIG": str(config),
    }
    redis = ["redis-server", "--port", str(PORT), "--bind", outside.address, "--save", ""]
    redis += ["--protected-mode", "no", "--maxmemory-policy", "noeviction"]
    worker = [sys.executable, "-m", "nepiq.controller.cli", "worker", "--site", "inside"]
    log = tmp_path / "worker.log"
    before = gateway.log().count("Accepted")  # others may have been there before in this boot
    with ExitStack() as stack:
        stack.enter_context(inside(outside, redis, tmp_path / "redis.log"))
        until(lambda: answers(url), 30.0, "Redis does not answer")
        stack.enter_context(inside(gateway, worker, log, environment))
        until(lambda: " ready." in log.read_text(), 30.0, "the worker does not serve")
        with ExperimentController("inside", settings=settings, quiet=True) as ec:
            nodes = [
                ec.register_resource("linux::Node", hostname=host.name, site="inside")
                for host in testbed.private
            ]
            apps = [
                ec.register_resource("linux::Application", connectedTo=node, command="hostname")
                for node in nodes
            ]
            ec.deploy()
            assert ec.wait_finished(apps, timeout=60)
            names = [f"{host.name}\n" for host in testbed.private]
            assert [ec.trace(app, "stdout") for app in apps] == names
            assert gateway.log().count("Accepted") == before, "somebody passed through its sshd"
        with ExperimentController("outside", settings=settings, quiet=True) as ec:
            ec.register_resource("linux::Node", hostname=outside.name)
            with pytest.raises(NoWorker, match="no worker serves site 'default'"):
                ec.deploy()
