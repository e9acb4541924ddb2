"""Whoever dies, and whenever: of the network of a host nothing is left, and nothing is touched."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests import network_scan
from tests.e2e.installation import Done, Installation
from tests.faults import network_kinds
from tests.faults.lab import Lab
from tests.stand import until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "sshd", "ip", "nft", "tc"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("faults-networks"),
]

KINDS = network_kinds.__name__
#: What others have on the host (mininet 877, CORE 500): also names that are nearly ours.
DECOYS = f"""
leg=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
ip -batch - <<END
link add dec-bridge type bridge
link add nqdecoy0 type bridge
link add dec-left type veth peer name dec-right
link set dec-left alias somebodys
address add 192.0.2.1/24 dev dec-left
link set dec-left up
link add link $leg name {network_kinds.GUEST} type macvlan mode bridge
netns add dec-space
netns add nq-decoy
route add blackhole 203.0.113.0/24 proto static
rule add fwmark 77 table 77
END
ip -n dec-space link add eth0 type bridge
nft add table inet decoy
nft add table inet nq_decoy
nft 'add chain inet decoy c {{ type filter hook input priority 0; }}'
sysctl -qw net.ipv4.conf.all.rp_filter=2
"""

#: What shows that each kind is there.
SIGNS = (
    *("tbf", "vxlan", "198.18.0.0/24", "198.18.1.1", "fwmark", "tap", "macvlan"),
    *("table inet nq", "table ip nq", "ip_forward 1", "tcp_rmem 4096 65536"),
    f"gone: {network_kinds.GUEST}",
)


@pytest.fixture
def lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path, testbed) as made:
        made.stand.environment["NEPIQ_IMPORTS"] = KINDS
        made.start_workers(2)
        yield made


def root(host: Host) -> Callable[[str], str]:
    return lambda command: host.run(command, user="root").stdout


class Watched:
    """A host with decoys, and how its network was before."""

    def __init__(self, host: Host) -> None:
        self.host = host
        root(host)(DECOYS)
        self.before = self.scan()

    def scan(self) -> dict[str, list[str]]:
        return network_scan.scan(root(self.host))

    def expect_untouched(self, seconds: float = 5.0) -> None:
        """Fail unless all is as before, soon."""
        found: list[str] = []

        def same() -> bool:
            found[:] = network_scan.differences(self.before, self.scan())
            return not found

        try:
            until(same, seconds, f"{self.host.name} is not as before")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *found])) from None

    def expect_changed(self) -> None:
        """Fail unless each kind is there: else the tests would show nothing."""
        text = "\n".join(network_scan.differences(self.before, self.scan()))
        for sign in SIGNS:
            assert sign in text, f"{sign} is not in {text}"
        assert text.count("left: nq-") >= 3


SCRIPT = """
import sys
from nepiq.controller import ExperimentController
from tests.faults import network_kinds
ec = ExperimentController("script", quiet=True)
node = ec.register_resource("linux::Node", hostname={host!r})
made = network_kinds.register(ec, node)
ec.deploy()
assert ec.wait_deployed(made, timeout=60), ec.failures
print(ec.run_id, flush=True)
import threading
threading.Event().wait({wait!r})
ec.shutdown()
"""


def test_who_dies(lab: Lab) -> None:
    """Nobody, the script by ctrl-C or kill -9, the worker, and both (mininet 1174, 441)."""
    watched = [Watched(host) for host in lab.bed.hosts]
    waits = [0.1, None, None, None]
    scripts = [
        lab.stand.script(SCRIPT.format(host=item.host.name, wait=wait))
        for item, wait in zip(watched, waits, strict=True)
    ]
    try:
        runs = [_first_line(script) for script in scripts]
        for item in watched[1:]:
            item.expect_changed()
        assert scripts[0].wait(60) == 0, scripts[0].communicate()
        watched[0].expect_untouched()
        scripts[1].send_signal(signal.SIGINT)
        assert scripts[1].wait(60) == -signal.SIGINT
        watched[1].expect_untouched()
        scripts[2].kill()
        scripts[2].wait(10)
        lab.stand.experiment_of(runs[2]).release()
        watched[2].expect_untouched()
        lab.stand.workers[0].signal(signal.SIGKILL)
        lab.stand.workers[1].signal(signal.SIGKILL)
        scripts[3].kill()
        scripts[3].wait(10)
        lab.start_workers(1)
        ec = lab.stand.experiment_of(runs[3])
        ec.release()
        assert ec.failures == []
        watched[3].expect_untouched()
    finally:
        for script in scripts:
            script.kill()
            script.communicate()


def _first_line(script: subprocess.Popen[str]) -> str:
    assert script.stdout is not None
    line = script.stdout.readline().strip()
    assert line, script.communicate()
    return line


def describe(
    lab: Lab, host: Host, *also: str, without: Sequence[str] = ()
) -> tuple[ExperimentController, list[int]]:
    ec = lab.stand.experiment(f"on-{host.name}", quiet=True)
    (node,) = lab.nodes(ec, [host])
    return ec, network_kinds.register(ec, node, *also, without=without)


def deployed(lab: Lab, host: Host, without: Sequence[str] = ()) -> ExperimentController:
    ec, made = describe(lab, host, without=without)
    ec.deploy()
    assert ec.wait_deployed(made, timeout=60), ec.failures
    return ec


def test_while_it_is_made(lab: Lab) -> None:
    """A release, the end of what makes it, and that of the worker, in the middle of a change."""
    one, two, three = (Watched(host) for host in lab.bed.hosts[:3])
    ecs = []
    for item in (one, two, three):
        ec, made = describe(lab, item.host, "slow")
        ec.deploy()
        ecs.append((ec, made))
    for item in (one, two, three):
        until(item.host.inside("/tmp/slow").exists, 30.0, "it is not made")
    ecs[0][0].release()
    one.expect_untouched()
    # Only the shell is killed: what it has started would make something later.
    killed = root(two.host)("pgrep -f '[s]upervisor.sh carry_out' | xargs kill -9; echo done")
    assert killed == "done\n"
    lab.stand.workers[0].signal(signal.SIGKILL)
    lab.start_workers(1)
    for item, (ec, made) in zip((two, three), ecs[1:], strict=True):
        assert ec.wait_deployed(made, timeout=90), ec.failures
        item.expect_changed()
        ec.release()
        assert ec.failures == []
        item.expect_untouched()


def test_what_happens_to_the_host(lab: Lab) -> None:
    """It is rebooted, its link is cut while the run is released, its relay is killed.

    As asked for in containerlab 842.
    """
    one, two, three = (Watched(host) for host in lab.bed.hosts[:3])
    first, second, third = (deployed(lab, item.host) for item in (one, two, three))
    two.expect_changed()
    three.expect_changed()
    (relay,) = [it for it in three.host.processes() if "relay.pyz use" in it.args]
    root(three.host)(f"kill -9 {relay.pid}")
    until(lambda: bool(third.failures), 30.0, "the end of the relay is not noticed")
    third.release()
    three.expect_untouched()
    two.host.cut()
    releasing = threading.Thread(target=second.release)
    releasing.start()
    one.host.reboot()
    one.before = Watched(one.host).before
    first.release()
    one.expect_untouched()
    two.host.mend()
    releasing.join()
    two.expect_untouched(60.0)


def test_hosts_that_lack_something(lab: Lab) -> None:
    """No ip, no room in /run: it fails at once and says why. A full disk keeps nothing in place."""
    bare, narrow, full, fixed = (Watched(host) for host in lab.bed.hosts)
    root(bare.host)("mount --bind /dev/null $(readlink -f $(command -v ip))")
    root(narrow.host)(
        "mount -t tmpfs -o size=8k none /run/nepiq 2>/dev/null || { mkdir /run/nepiq;"
        " mount -t tmpfs -o size=8k none /run/nepiq; }; "
        "cat /dev/zero >/run/nepiq/fill 2>/dev/null || :"
    )
    for item in (full, fixed):
        root(item.host)("mount -t tmpfs -o size=2m,mode=755,uid=2001,gid=2001 none /home/lab")
    # The relay has an open file in the home, which is not to be written from now on.
    working = [deployed(lab, full.host), deployed(lab, fixed.host, without=["relay"])]
    root(full.host)("cat /dev/zero >/home/lab/fill 2>/dev/null || :")
    root(fixed.host)("mount -o remount,ro /home/lab")
    for item, why in ((bare, "lacks ip: install the package iproute2"), (narrow, "No space left")):
        ec = lab.stand.experiment(f"on-{item.host.name}", quiet=True)
        (node,) = lab.nodes(ec, [item.host])
        made = ec.register_resource("linux::Bridge", connectedTo=node)
        ec.deploy()
        assert not ec.wait_deployed(made, timeout=60)
        (failure,) = [failure for failure in ec.failures if failure.guid == made]
        assert why in failure.message
        ec.release()
    for item, ec in zip((full, fixed), working, strict=True):
        item.expect_changed()
        ec.release()
        item.expect_untouched()


# --- without the data of the run


def clean(lab: Lab, *arguments: str | Path) -> Done:
    made = lab.stand.owned(Installation(lab.stand.folder / "user", **lab.stand.environment))
    return made.nepiq("clean", *arguments)


def test_redis_loses_the_runs(testbed: Testbed, tmp_path: Path) -> None:
    """Workers clean hosts; without them ``nepiq clean`` does, by marks alone if need be.

    As asked for in mininet 804 and containerlab 1444 and 1978.
    """
    with Lab(tmp_path, testbed) as lab:
        lab.stand.environment["NEPIQ_IMPORTS"] = KINDS
        lab.start_workers(1)
        watched = [Watched(host) for host in lab.bed.hosts]
        lost = []
        for item in watched[:3]:
            # What marks do not tell: the value that a key had, and whose an interface was.
            without = network_kinds.UNMARKED if item is watched[2] else ()
            ec = deployed(lab, item.host, without)
            lost.append(ec.run_id)
            ec.detach()
            ec.close()
        lab.stand.workers[0].signal(signal.SIGKILL)
        lab.stand.workers[0].ended()
        lab.stand.backend().redis.flushall()
        served = lab.start_workers(1)[0]  # it has never heard of these
        ec = deployed(lab, watched[3].host)
        ec.detach()
        ec.close()
        lab.stand.backend().redis.flushall()
        # The second has lost its directory, the third the records, too.
        root(watched[1].host)("rm -rf /home/lab/.nepiq")
        root(watched[2].host)("rm -rf /home/lab/.nepiq /run/nepiq")
        for item, run in zip(watched[:3], lost, strict=True):
            shown = clean(lab, item.host.name, "--dry-run")
            assert shown.code == 0, shown.err
            assert run in shown.out
            assert network_scan.differences(item.before, item.scan())
        hosts = [item.host.name for item in watched[:3]]
        done = clean(lab, *hosts, "--yes")
        assert done.code == 0, done.err
        for item in watched[:3]:
            item.expect_untouched()
        assert "no leftovers" in clean(lab, *hosts).err
        watched[3].expect_untouched(60.0)
        assert served.process.poll() is None
