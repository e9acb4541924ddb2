"""The lessons of R2lab, on a gateway and the hosts behind it, as a user runs them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.installation import Done, Installation
from tests.e2e.shells import NotingShell, planned
from tests.stand import ROOT
from tests.testbed.bed import Testbed
from tests.testbed.files import USERS

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "scp", "nc", "ping"),
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("every_host"),
]

EXAMPLES = ROOT / "examples"

Lesson = Callable[..., Done]


@pytest.fixture
def lesson(user: Installation, testbed: Testbed, shells: list[NotingShell]) -> Lesson:
    """Run a script of examples/r2lab on the gateway and the hosts behind it."""

    def run(name: str, *arguments: str) -> Done:
        command: list[str | Path] = [EXAMPLES / "r2lab" / name, "--gateway", "gateway"]
        command += ["--slice", "lab", "--user", "lab", "--identity", testbed.identity]
        command += ["--interface", "eth0", *arguments]
        told = user.nepiq("plan", "--json", *command)
        assert told.code == 0, told.err
        done = user.start(sys.executable, "-u", *command).ended()
        ran: Counter[str] = sum((shell.ran() for shell in shells), Counter())
        # What this machine itself runs is compared in test_planning.
        wanted = Counter({text: n for text, n in planned(told.out).items() if "scp -q" not in text})
        if not told.err:
            assert ran == wanted
        return done

    return run


@pytest.fixture
def shells(testbed: Testbed) -> Iterator[list[NotingShell]]:
    """What notes the commands that run on the gateway and behind it."""
    made = []
    homes = [host.root / "lab" for host in (testbed.gateway, *testbed.private) if host is not None]
    for home in homes:
        made.append(NotingShell(home, "/home/lab"))
        # bash reads it for commands that sshd runs.
        (home / ".bashrc").write_text(f"PATH={made[-1].path}:$PATH\n")
        for path in (home / ".bashrc", made[-1].bin, *made[-1].bin.iterdir()):
            os.chown(path, USERS["lab"], USERS["lab"])
    yield made
    for home, shell in zip(homes, made, strict=True):
        (home / ".bashrc").unlink()
        shell.remove()


def test_a_ping(lesson: Lesson, testbed: Testbed) -> None:
    assert testbed.gateway is not None
    done = lesson("a_ping.py", "private-1", "--target", testbed.gateway.legs[1].address)
    assert (done.code, done.err) == (0, "")
    assert "1 packets transmitted, 1 received, 0% packet loss" in done.out


def test_b_pings_in_steps(lesson: Lesson) -> None:
    done = lesson("b_pings.py", "private-1", "private-2")
    assert (done.code, done.err) == (0, "")
    steps = re.split(r"^\d\. ", done.out, flags=re.MULTILINE)[1:]
    assert "1 received" in steps[0]
    assert "inet 192.168.2.1/24" in steps[1]
    assert "inet 192.168.2.2/24" in steps[2]
    assert "64 bytes from 192.168.2.2" in steps[3]


def test_c_configuring_side_by_side(lesson: Lesson, testbed: Testbed) -> None:
    done = lesson("c_adhoc.py", "private-1", "private-2")
    assert (done.code, done.err) == (0, "")
    one, two = re.split(r"^--- private-\d$", done.out, flags=re.MULTILINE)[1:]
    assert "inet 10.0.0.1/24" in one
    assert "PING 10.0.0.2" in one
    assert "inet 10.0.0.2/24" in two
    assert "PING 10.0.0.1" in two
    assert done.out.count("3 packets transmitted, 3 received") == 2
    for host in testbed.private:  # the release undid it
        assert "10.0.0." not in host.run("ip -o -4 address show dev eth0").stdout


def test_d_a_file_by_way_of_four_machines(lesson: Lesson, testbed: Testbed, tmp_path: Path) -> None:
    _equip(testbed)
    sent = tmp_path / "sent"
    sent.write_text("".join(f"line {number}\n" for number in range(20_000)))
    done = lesson(
        "d_transfer.py",
        *("private-1", "private-2", "--file", str(sent), "--results", str(tmp_path / "results")),
        *("--scp", f"scp -q -F {testbed.ssh_config}"),
    )
    assert (done.code, done.err) == (0, "")
    size = sent.stat().st_size
    for line, (one, two) in zip(
        done.out.splitlines(),
        [("private-1", "private-2"), ("private-2", "private-1")],
        strict=True,
    ):
        assert line.startswith(f"{one} -> {two}: ")
        assert f" {size} " in line
        assert (tmp_path / "results" / f"{one}-{two}.txt").read_text().strip() in line
    for host in testbed.private:
        assert host.run("cat r2lab-received").stdout == sent.read_text()


def _equip(testbed: Testbed) -> None:
    """Give the user of the gateway what opens the hosts behind it."""
    assert testbed.gateway is not None
    ssh = testbed.gateway.root / "lab" / ".ssh"
    ssh.mkdir()
    shutil.copy(testbed.identity, ssh / "id_ed25519")
    names = {host.address: host.name for host in testbed.private}
    known = [line.split(" ", 1) for line in testbed.known_hosts.read_text().splitlines()]
    lines = [f"{names[address]},{address} {key}\n" for address, key in known if address in names]
    (ssh / "known_hosts").write_text("".join(lines))
    for path in (ssh, *ssh.iterdir()):
        os.chown(path, USERS["lab"], USERS["lab"])


def test_g_a_fleet(lesson: Lesson, testbed: Testbed) -> None:
    network = testbed.private[0].address.rpartition(".")[0]
    absent = [f"{network}.{number}" for number in range(100, 135)]
    done = lesson("g_fleet.py", "private-1", "private-2", *absent)
    assert (done.code, done.err) == (0, "")
    head, *rows = done.out.splitlines()
    assert head.split() == ["node", "alive", "answer"]
    told = {row.split()[0]: row.split()[1] for row in rows}
    assert told == {"private-1": "yes", "private-2": "yes", **dict.fromkeys(absent, "no")}
    assert "64 bytes from private-1" in rows[0]


def test_the_script_of_nepi_on_another_machine(user: Installation, testbed: Testbed) -> None:
    host = testbed.hosts[0]
    done = user.start(
        sys.executable, "-u", EXAMPLES / "nepi_port.py", host.name, "lab", testbed.identity
    ).ended()
    assert (done.code, done.out, done.err) == (0, "server: HOLA\nclient: CLIENT STARTED\n", "")
    assert host.run("cat .nepiq/*/*/*/1/answer").stdout == "HOLA\n"


def test_the_example_of_two_hosts(user: Installation, testbed: Testbed) -> None:
    done = user.nepiq("run", EXAMPLES / "two_hosts.yaml")
    assert done.code == 0, done.err
    assert user.nepiq("trace", "two-hosts", "client").out == "served by host-1\n"


def test_what_fails_is_told(lesson: Lesson) -> None:
    done = lesson("a_ping.py", "private-1", "--target", "nowhere.invalid")
    assert done.code == 0
    assert "nowhere.invalid: " in done.err
    assert "application-2 on node-1" in done.err
    assert "exited with 2" in done.err


def test_the_remote_example_of_the_readme(user: Installation, testbed: Testbed) -> None:
    page = (ROOT / "README.md").read_text().split("## On two remote hosts")[1]
    text = page.split("```python\n")[1].split("```")[0]
    told = {
        "fit01": "private-1",
        "fit02": "private-2",
        "faraday.inria.fr": "gateway",
        "my_slice": "lab",
        '"root"': '"lab"',
    }
    for name, here in told.items():
        text = text.replace(name, here)
    path = user.folder / "remote.py"
    path.write_text(text)
    done = user.python(path).ended()
    assert (done.code, done.out, done.err) == (0, "served by private-1\n\n", "")
