"""Hosts that answer without end, or not what was asked: they fail, and nothing else does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.lab import APPLICATION, Lab
from tests.stand import Worker, until
from tests.testbed import Host, Testbed

from nepiq.controller import ExperimentController, ResourceState
from nepiq.controller.errors import AnswerError

pytestmark = [
    pytest.mark.needs("redis-server", "sshd"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
    pytest.mark.xdist_group("security-endless"),
]

MOST = 100_000
"""kB by which the memory of a worker may grow."""
WITHOUT_END = "exec tr '\\0' x </dev/zero"
DOES = 'case $1 in {verbs}) {what} ;; esac\nexec sh "${{0%/*}}/real.sh" "$@"\n'


@pytest.fixture
def lab(testbed: Testbed, tmp_path: Path) -> Iterator[Lab]:
    """Hosts, and one worker."""
    with Lab(tmp_path, testbed) as made:
        made.start_workers(1)
        yield made


def spoil(host: Host, run_id: str, node: int, verbs: str, what: str = WITHOUT_END) -> None:
    """Have what a node's supervisor is asked be done in another way."""
    folder = host.root / "lab" / ".nepiq" / run_id / str(node)
    script = folder / "supervisor.sh"
    if not (folder / "real.sh").exists():
        script.rename(folder / "real.sh")
    fresh = folder / "fresh"
    fresh.write_text(DOES.format(verbs=verbs, what=what))
    fresh.rename(script)


def hang_up(host: Host) -> None:
    """End the connections with a host, so that the worker makes them anew."""
    for process in host.processes():
        if process.args.startswith("sshd: lab"):
            host.run(f"kill -9 {process.pid} 2>/dev/null || true", user="root")


def peak(worker: Worker) -> int:
    """The most memory that a worker has had, in kB."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


class Pair:
    """Two hosts, with an application that goes on on each; the first one will misbehave."""

    def __init__(self, lab: Lab, ec: ExperimentController) -> None:
        self.lab, self.ec = lab, ec
        self.worker = lab.stand.workers[0]
        self.host = lab.bed.hosts[0]
        self.bad, self.good = lab.nodes(ec, lab.bed.hosts[:2], critical=False)
        self.on_bad, on_good = (self.app("sleep 300", node) for node in (self.bad, self.good))
        ec.deploy()
        assert ec.wait_started([self.on_bad, on_good], timeout=60.0), ec.failures
        self.before = peak(self.worker)

    def app(self, command: str, node: int, **how: object) -> int:
        return self.ec.register_resource(
            APPLICATION, command=command, connectedTo=node, critical=False, **how
        )

    def fails(self, guid: int, text: str) -> None:
        """A resource fails and says why."""
        until(lambda: self.ec.state(guid) is ResourceState.FAILED, 60.0, "it does not fail")
        told = [str(failure) for failure in self.ec.failures if failure.guid == guid]
        assert len(told) == 1
        assert text in told[0]
        assert told[0].isascii()
        assert len(told[0]) < 1000

    def others_go_on(self) -> None:
        """On the other host all is well, and the worker has not grown."""
        app = self.app("echo well", self.good)
        self.ec.deploy([app])
        assert self.ec.wait_finished(app, timeout=30.0)
        assert self.ec.trace(app, "stdout") == "well\n"
        assert self.worker.process.poll() is None
        grown = peak(self.worker) - self.before
        print(f"\nthe worker grew by {grown / 1000:.0f} MB")
        assert grown < MOST

    def released(self, seconds: float) -> None:
        """The release comes to its end."""
        began = time.monotonic()
        self.ec.release()
        took = time.monotonic() - began
        print(f"released after {took:.1f} s")
        assert took < seconds
        assert self.ec.state(self.bad) is ResourceState.RELEASED


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (WITHOUT_END, "the host cannot be followed: the host sent a line of more than"),
        ("exec yes '\033[31mhello'", "the host's answer is not understood: '\\x1b[31mhello'"),
    ],
    ids=["no line", "no sense"],
)
def test_a_watch(lab: Lab, what: str, text: str) -> None:
    with lab.stand.experiment("watch") as ec:
        pair = Pair(lab, ec)
        spoil(pair.host, ec.run_id, pair.bad, "watch", what)
        hang_up(pair.host)
        pair.fails(pair.bad, text)
        pair.others_go_on()
        pair.released(20.0)


def test_what_is_asked(lab: Lab) -> None:
    with lab.stand.experiment("verbs") as ec:
        pair = Pair(lab, ec)
        spoil(pair.host, ec.run_id, pair.bad, "run|launch|launches|starts|write|ends")
        apps = [
            pair.app("echo plain", pair.bad),
            pair.app("echo waits", pair.bad, startedWhen="output:waits"),
            pair.app("cat", pair.bad, stdin="x" * 10_000, tearDown="true"),
        ]
        ec.deploy(apps)
        for app in apps:
            pair.fails(app, "bytes, which begins with 'xxxx")
        pair.others_go_on()
        pair.released(60.0)
        assert [f for f in ec.failures if f.guid == pair.on_bad]


def test_a_login_shell(lab: Lab) -> None:
    """Whatever is run, its login says more than anybody wants to hear."""
    with lab.stand.experiment("login") as ec:
        pair = Pair(lab, ec)
        profile = pair.host.root / "lab" / ".bashrc"
        profile.write_text("tr '\\0' x </dev/zero\n")
        try:
            hang_up(pair.host)
            pair.fails(pair.bad, "the host sent a greeting of its login shell of more than")
            pair.others_go_on()
            pair.released(20.0)
        finally:
            profile.unlink()


def test_logs(lab: Lab) -> None:
    with lab.stand.experiment("logs") as ec:
        pair = Pair(lab, ec)
        spoil(pair.host, ec.run_id, pair.bad, "follow")
        with pytest.raises(AnswerError, match="is not understood"):
            list(ec.logs(pair.on_bad, follow=True))
        pair.others_go_on()
        pair.released(20.0)


def test_garbage(lab: Lab) -> None:
    """Each answer is one line that means nothing."""
    with lab.stand.experiment("garbage") as ec:
        pair = Pair(lab, ec)
        verbs = "run|launch|launches|starts|write"
        spoil(pair.host, ec.run_id, pair.bad, verbs, "echo 'no \033[1m'; exit 0")
        apps = [
            pair.app("echo plain", pair.bad),
            pair.app("cat", pair.bad, stdin="x" * 10_000),
        ]
        ec.deploy(apps)
        for app in apps:
            pair.fails(app, "the host's answer is not understood: 'no \\x1b[1m'")
        spoil(pair.host, ec.run_id, pair.bad, "starts", "echo running 1 1 1; echo more; exit 0")
        more = pair.app("echo more", pair.bad)
        ec.deploy([more])
        pair.fails(more, "the host's answer is not understood: 'running 1 1 1\\nmore")
        pair.others_go_on()
        pair.released(20.0)
