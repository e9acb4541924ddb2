"""A hint fits the cause of a failure."""

from __future__ import annotations

import pytest

from nepiq.controller.errors import CommandError
from nepiq.controller.errors.hints import exit_hint
from nepiq.workers.hosts.exit_journal import ExitLine

# What tools print (iproute2 6.1, dash, bash, glibc, tcpdump, python3), and a part of the hint.
SAID = [
    (2, "Error: Specified qdisc kind is unknown.", "modprobe sch_netem"),
    (1, 'Unknown qdisc "netme", hence option "delay" is unparsable', "correct its name"),
    (2, "Error: Specified qdisc not found.", "okExitCodes"),
    (2, "RTNETLINK answers: Operation not supported", "load its module"),
    (2, "RTNETLINK answers: Protocol not supported", "load its module"),
    (2, "Error: Unknown device type.", "load its module"),
    (2, "Error: TC classifier not found.\nWe have an error talking to the kernel", "cls_u32"),
    (1, 'Cannot find device "eth9"', "ip link"),
    (1, 'Device "eth9" does not exist.', "ip link"),
    (1, "tcpdump: eth9: No such device exists", "ip link"),
    (2, "RTNETLINK answers: File exists", "nepiq clean"),
    (1, 'Cannot create namespace file "/run/netns/lab": File exists', "nepiq clean"),
    (127, "sh: 1: iperf3: not found", "package of iperf3 by depends"),
    (127, "bash: line 1: iperf3: command not found", "package of iperf3 by depends"),
    (127, "", "package of the command by depends"),
    (126, "sh: 1: ./probe: Permission denied", "permissions"),
    (126, "", "chmod +x"),
    (1, "cat: /etc/shadow: Permission denied", "sudo=True"),
    (1, "tcpdump: eth0: You don't have permission\nOperation not permitted", "sudo=True"),
    (1, "OSError: [Errno 98] Address already in use", "another port"),
    (1, "bind: Cannot assign requested address", "ip addr"),
    (1, "iperf3: unable to connect to server: Connection refused", "once the server listens"),
    (1, "cat: write error: No space left on device", "make room"),
    (1, "OSError: [Errno 24] Too many open files", "ulimit -n"),
    (137, "Killed", "memory"),
    (137, "", "ended by signal 9"),
    (1, "MemoryError", "memory"),
    (126, "sh: 1: ./probe: Exec format error", "another machine"),
    (126, "bash: ./probe: cannot execute binary file: Exec format error", "another machine"),
    (127, "./probe: error while loading shared libraries: libx.so.1: cannot open", "depends"),
    (1, "ModuleNotFoundError: No module named 'scapy'", "module of Python"),
    (3, "three of them", "okExitCodes"),
    (139, "", "ended by signal 11"),
]


@pytest.mark.parametrize(("code", "stderr", "part"), SAID)
def test_the_hint_of_an_exit(code: int, stderr: str, part: str) -> None:
    line = "exit J 5 1 {} FAILED 1.00 B . {} ."
    encoded = "=" + (stderr + "\n").encode().hex()
    found = ExitLine.parse(line.format(code, encoded), now="1.00", boot_id="B").exit
    assert part in found.hint
    assert "okExitCodes" not in found.hint or part == "okExitCodes"
    error = CommandError("x", code, stderr)
    assert part == "okExitCodes" or part in error.hint


def test_the_end_of_a_long_text_counts() -> None:
    early = "Address already in use\n" + "x" * 5000
    assert exit_hint(1, early) == ""
    assert "another port" in exit_hint(1, "x" * 5000 + "\nAddress already in use\n" + "y" * 500)


def test_an_exit_that_is_fine_or_stopped_has_no_hint() -> None:
    for outcome in ("FINISHED", "STOPPED"):
        line = f"exit J 5 1 137 {outcome} 1.00 B . . ."
        assert ExitLine.parse(line, now="1.00", boot_id="B").exit.hint == ""
