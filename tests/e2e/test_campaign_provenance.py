"""The provenance of a campaign that no client stays for: its code, its environment, its hosts."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from tests.e2e.installation import Installation

from nepiq.controller import Campaign
from nepiq.controller.engine import Backend

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "ping", "git"),
    pytest.mark.timeout(120),
]

SWEEP = """\
nepiq: 1
exp_id: traced
campaign:
  space: {grid: {probes: [1, 2]}}
  repetitions: 2
  metrics: {delay: ping.rttAvg}
resources:
  here: {type: linux::Node, hostname: localhost}
  ping: {type: linux::Ping, node: here, target: 127.0.0.1, count: "${probes}", interval: 10ms}
  shell: {type: linux::Application, node: here, command: "true"}
"""


def test_a_detached_campaign_keeps_its_provenance(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "study" / "sweep.yaml"
    file.parent.mkdir()
    file.write_text(SWEEP)
    for command in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=Ada", "-c", "user.email=a@example.org", "commit", "-qm", "first"),
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    file.write_text(SWEEP + "# TOKEN=" + "a1b2c3d4e5f6\n# -----BEGIN RSA PRIVATE " + "KEY-----\n")

    refused = installation.nepiq("campaign", "run", file, "--detach")
    assert refused.code == 2
    assert "uncommitted changes of 'study/sweep.yaml'" in refused.complaint
    assert Backend(installation.settings()).campaigns() == []

    command = ("campaign", "run", file, "--detach", "--reviewed", "study/sweep.yaml")
    assert installation.nepiq(*command).code == 0
    with Campaign.attach("traced", settings=installation.settings()) as campaign:
        assert campaign.wait("60s").finished == 4
        provenance, [host] = campaign.provenance(), campaign.hosts()
        assert provenance is not None
        assert provenance.tree is not None
        assert len(provenance.tree.commit) == 40
        assert "+# -----BEGIN RSA" in provenance.tree.diff
        assert provenance.versions["python"] == platform.python_version()
        assert provenance.packages["celery"] == provenance.versions["celery"]
        assert provenance.plan["repetitions"] == 2

        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert host.name == "localhost"
        assert (host.facts["bootId"], host.facts["kernel"]) == (boot_id, platform.release())
        assert host.facts["clockError"] >= 0
        assert list(host.resources) == ["ping"]
        assert "ping" in host.resources["ping"]["programVersion"].lower()

        # The same campaign once more, from a tree that has changed: its runs are those of before.
        subprocess.run(["git", "checkout", "-q", "."], cwd=tmp_path, check=True)
        assert installation.nepiq("campaign", "run", file, "--detach").code == 0
        assert campaign.provenance() == provenance

        redis = Backend(installation.settings()).campaign("traced")._redis
        assert list(redis.scan_iter("nepiq:{campaign:traced}:*"))
        campaign.remove()
        assert not list(redis.scan_iter("nepiq:{campaign:traced}:*"))
