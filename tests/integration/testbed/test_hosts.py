"""A host of the test bed is a machine of its own."""

from __future__ import annotations

import os
import signal

import pytest
from tests.integration.testbed.reach import connects, ssh
from tests.testbed import PASSWORD, Host, Testbed, TestbedFailed
from tests.testbed.files import Key

MACHINE_FILES = ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/sudoers", "/etc/ssh")


def boot_id(host: Host) -> str:
    return host.run("cat /proc/sys/kernel/random/boot_id").stdout


def test_each_has_its_own_name_processes_and_files(testbed: Testbed) -> None:
    one, two = testbed.hosts[:2]
    assert ssh(testbed, one, "hostname; id -un; pwd; ls -A").stdout == "host-1\nlab\n/home/lab\n"
    one.run("echo 1 >/tmp/mark; echo 1 >mark; NEPIQ_ID=r1.7 sleep 1000 >/dev/null 2>&1 &")
    (pid,) = one.bearers("r1.")
    assert (pid, "lab", "sleep 1000") in one.processes()
    assert (one.root / "lab/mark").read_text() == "1\n"
    assert one.processes()[0].pid == 1
    assert two.bearers("r1.") == []
    assert two.run("ls -A; ls -A /tmp").stdout == ""
    assert boot_id(one) != boot_id(two)


def test_nothing_of_the_machine_can_be_changed(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    done = host.run("touch /usr/mark /etc/mark", user="root", check=False)
    assert done.stderr.count("Read-only file system") == 2
    for path in MACHINE_FILES:
        assert host.inside(path).stat().st_ino != os.stat(path).st_ino  # noqa: PTH116


def test_a_reboot_keeps_home_address_and_key_only(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    before = boot_id(host)
    host.run("echo kept >mark; touch /tmp/gone; sleep 1000 >/dev/null 2>&1 &")
    host.reboot()
    assert ssh(testbed, host, "cat mark; ls /tmp").stdout == "kept\n"
    assert boot_id(host) != before
    assert [process.args for process in host.processes() if "sleep" in process.args] == []
    assert float(host.run("cat /proc/uptime").stdout.split()[0]) < 60.0


def test_the_death_of_process_1_ends_all(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    host.run("setsid sleep 54321.5 >/dev/null 2>&1 &")
    outside = sleepers(b"54321.5")
    assert len(outside) == 1
    os.kill(host.space.pid, signal.SIGKILL)
    host.ended()
    assert sleepers(b"54321.5") == []
    assert not host.up
    with pytest.raises(TestbedFailed, match="host-1 is down"):
        host.run("true")
    assert not connects(host.address, seconds=0.5)


def sleepers(mark: bytes) -> list[str]:
    """Processes of the whole machine with an argument."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"{entry.path}/cmdline", "rb") as file:  # noqa: PTH123
                    if mark in file.read().split(b"\0"):
                        found.append(entry.name)
            except OSError:
                continue
    return found


def test_it_survives_what_a_root_of_its_own_kills(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    host.run("kill -KILL -1", user="root", check=False)
    assert host.up
    # Its kernel closes what sshd listened on when sshd has been taken down.
    host.run("while pgrep -x sshd; do sleep 0.01; done")
    assert not connects(host.address, seconds=0.5)  # sshd is gone, as it would be
    host.reboot()
    assert connects(host.address)


def test_orphans_are_collected(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    host.run("(sh -c 'sleep 0.05 & exit' >/dev/null 2>&1 &)")
    host.run("while pgrep -x sleep; do sleep 0.01; done")
    assert "Z" not in host.run("ps -eo stat=").stdout


@pytest.mark.parametrize(
    ("user", "word", "may"),
    [
        ("lab", "", True),
        ("student", f"{PASSWORD}\n", True),
        ("student", "wrong\n", False),
        ("guest", f"{PASSWORD}\n", False),
    ],
)
def test_sudo(testbed: Testbed, user: str, word: str, may: bool) -> None:
    done = ssh(testbed, testbed.hosts[0], "sudo -S -p '' id -u", user=user, text=word)
    assert (done.stdout == "0\n") is may, done.stderr
    assert (done.returncode == 0) is may


def test_sudo_asks_the_student(testbed: Testbed) -> None:
    done = ssh(testbed, testbed.hosts[0], "sudo -n true", user="student")
    assert "a password is required" in done.stderr


def test_an_unknown_key_and_root_are_refused(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    assert "Permission denied" in ssh(testbed, host, "true", user="root").stderr
    other = host.root / "key"
    Key.make().save(other)
    try:
        assert "Permission denied" in ssh(testbed, host, "true", key=other).stderr
    finally:
        other.unlink()
        other.with_name("key.pub").unlink()


def test_options_of_sshd_for_a_while(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    assert host.run("/usr/sbin/sshd -T | grep maxsessions", user="root").stdout.split()[1] == "10"
    host.configure(AllowUsers="guest")
    assert ssh(testbed, host, "true", user="guest").returncode == 0
    assert "Permission denied" in ssh(testbed, host, "true").stderr
    host.configure()
    assert ssh(testbed, host, "true").returncode == 0


def test_a_test_leaves_the_hosts_fresh(shared_testbed: Testbed) -> None:
    shared_testbed.reset()
    used, unused = shared_testbed.hosts[:2]
    before = unused.space.pid
    ssh(shared_testbed, used, "touch mark /tmp/mark; setsid sleep 1000 >/dev/null 2>&1 &")
    used.cut()
    shared_testbed.reset()
    assert not used.up
    assert unused.space.pid == before
    assert shared_testbed.hosts[0] is used
    assert ssh(shared_testbed, used, "ls -A . /tmp; pgrep sleep").stdout == ".:\n\n/tmp:\n"
    shared_testbed.reset()


def test_hosts_are_booted_on_demand() -> None:
    with Testbed(hosts=3, private=2, on_demand=True) as bed:
        one = bed.hosts[1]
        assert [host.up for host in bed._made] == [host is one for host in bed._made]
        one.crash()
        assert not bed.hosts[1].up, "what a test has crashed stays down"
        assert bed.private[0].up
        assert bed._gateways[0].up
        assert all(host.up for host in bed.every if host is not one)
