"""Two runs, and the nepiq of somebody else, on one host at once (mininet 15)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import network_scan
from tests.e2e.installation import Installation
from tests.faults.lab import Lab
from tests.stand import until
from tests.testbed import Host, Testbed
from tests.testbed.files import PASSWORD

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "ip", "curl"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-networks"),
]

SERVER = "echo {name} >name; exec python3 -m http.server 8000 --bind 10.0.0.2"


class Network:
    """A client and a server with the same names, addresses and port in every run."""

    def __init__(self, lab: Lab, name: str, host: Host, **how: str) -> None:
        self.name, self.host = name, host
        self.ec: ExperimentController = lab.stand.experiment(name, quiet=True)
        (node,) = lab.nodes(self.ec, [host], **how)
        left, right = (
            self.ec.register_resource("netns::Node", label=label, connectedTo=node)
            for label in ("client", "server")
        )
        link = self.ec.register_resource(
            "netns::Link",
            ends=[left, right],
            name1="eth0",
            name2="eth0",
            ip1="10.0.0.1/24",
            ip2="10.0.0.2/24",
        )
        bridge = self.ec.register_resource("linux::Bridge", connectedTo=node)
        made = [left, right, link, bridge]
        self.server = self.ec.register_resource(
            "linux::Application",
            command=SERVER.format(name=name),
            connectedTo=right,
            startedWhen="port:8000",
        )
        self.ec.register_condition(self.server, "START", link, "READY")
        self.client, self.ran = left, 0
        self.ec.deploy()
        assert self.ec.wait_deployed(made, timeout=60), self.ec.failures
        assert self.ec.wait_started(self.server, timeout=60), self.ec.failures
        self.space = str(self.ec.get(left, "namespace"))

    def works(self) -> bool:
        done = self.host.run(
            f"ip netns exec {self.space} curl -sS -m 5 http://10.0.0.2:8000/name",
            user="root",
            check=False,
        )
        return done.stdout == f"{self.name}\n"


def test_each_is_cleaned_on_its_own(testbed: Testbed, tmp_path: Path) -> None:
    host = testbed.hosts[0]

    def scan() -> dict[str, list[str]]:
        return network_scan.scan(lambda command: host.run(command, user="root").stdout)

    before = scan()
    with Lab(tmp_path / "one", testbed) as lab, Lab(tmp_path / "two", testbed) as others:
        for each in (lab, others):
            each.start_workers(1)
        one = Network(lab, "one", host)
        two = Network(lab, "two", host)
        password = tmp_path / "password"
        password.write_text(PASSWORD)
        three = Network(others, "three", host, username="student", sudoPassword=f"file:{password}")
        assert [each.works() for each in (one, two, three)] == [True, True, True]
        assert len({one.space, two.space, three.space}) == 3
        one.ec.shutdown()
        assert [each.works() for each in (two, three)] == [True, True]
        # What this Redis does not know may be of somebody else, as the records say.
        two.ec.detach()
        lab.stand.workers[0].signal(9)
        lab.stand.backend().redis.flushall()
        user = lab.stand.owned(Installation(tmp_path / "user", **lab.stand.environment))
        done = user.nepiq("clean", host.name, "--yes")
        assert done.code == 0, done.err
        assert [each.works() for each in (two, three)] == [False, True]
        assert "no leftovers" in user.nepiq("clean", host.name).err
        two.ec.close()
        three.ec.shutdown()
        until(lambda: not network_scan.differences(before, scan()), 10.0, "something is left")
