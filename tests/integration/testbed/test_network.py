"""The links of the test bed: who reaches whom, and what cut, lossy and slow links do."""

from __future__ import annotations

import socket
import time

import pytest
from tests.integration.testbed.reach import answered, connects, greets, ssh
from tests.stand import until
from tests.testbed import Host, Testbed

KILOBYTES = 300


def test_hosts_of_a_site_reach_each_other_by_name(testbed: Testbed) -> None:
    one, two = testbed.hosts[:2]
    assert answered(one, two.address) == 1
    assert one.run("getent hosts host-2").stdout.split() == [two.address, "host-2"]


def test_private_hosts_are_behind_the_gateway(testbed: Testbed) -> None:
    hidden, gateway = testbed.private[0], testbed.gateway
    assert gateway is not None
    assert ssh(testbed, hidden, "hostname").stdout == "private-1\n"
    assert f"Accepted publickey for lab from {gateway.legs[1].address} " in hidden.log()
    assert not connects(hidden.address, seconds=0.5)
    assert not connects(gateway.legs[1].address, seconds=0.5)
    done = testbed.hosts[0].run(f"ping -c 1 {hidden.address}", user="root", check=False)
    assert "Network is unreachable" in done.stderr


def test_a_cut_link_loses_all_and_tells_nobody(testbed: Testbed) -> None:
    one, two = testbed.hosts[:2]
    with socket.create_connection((one.address, 22), timeout=5.0) as connection:
        assert connection.recv(4) == b"SSH-"
        one.cut()
        connection.sendall(b"SSH-2.0-test\r\n")
        assert not connects(one.address, seconds=0.5)
        assert answered(one, two.address) == 0
        assert connects(two.address)
        one.mend()
        connection.settimeout(20.0)
        while b"curve25519" not in connection.recv(65536):  # it goes on where it was
            pass
    until(lambda: answered(one, two.address), 10.0, "no ping came through after mend()")


def test_a_lossy_link_loses_a_share(testbed: Testbed) -> None:
    one, two = testbed.hosts[:2]
    # First find each other's hardware address: a lost question for it is repeated after 1 s only.
    assert answered(one, two.address) == 1
    one.lose(0.2)
    # Each ping passes twice, so 64 of 100 come back; of 200 128, with a deviation of 6.8.
    assert 90 < answered(one, two.address, 200) < 166
    one.mend()
    assert answered(one, two.address, 100) == 100


@pytest.mark.parametrize("outward", [True, False])
def test_a_slow_link_is_slow_both_ways(testbed: Testbed, outward: bool) -> None:
    host = testbed.hosts[0]
    host.slow("2mbit")
    # 300 kB are 1.2 s at 2 Mbit/s, of which up to 32 kB pass at once.
    assert copy_seconds(testbed, host, outward) > 1.0
    host.mend()
    assert "tbf" not in host.run("/sbin/tc qdisc show dev eth0").stdout


def copy_seconds(bed: Testbed, host: Host, outward: bool) -> float:
    """How long it takes to bring zeros from a host, or to it."""
    begin = time.monotonic()
    if outward:
        text = ssh(bed, host, f"head -c {KILOBYTES}000 /dev/zero | tr '\\0' 0").stdout
        assert len(text) == KILOBYTES * 1000
    else:
        done = ssh(bed, host, "wc -c", text="0" * KILOBYTES * 1000)
        assert done.stdout.strip() == f"{KILOBYTES}000"
    return time.monotonic() - begin


def test_a_link_stays_as_it_was_set_after_a_reboot(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    host.cut()
    host.slow("4mbit")
    host.reboot()
    assert not connects(host.address, seconds=0.5)
    assert "tbf" in host.run("/sbin/tc qdisc show dev eth0").stdout
    host.mend()
    assert connects(host.address)


def test_a_silenced_sshd_accepts_and_says_nothing(testbed: Testbed) -> None:
    host = testbed.hosts[0]
    host.silence()
    assert not greets(host.address)
    host.unsilence()
    assert greets(host.address, seconds=10.0)


def test_a_silent_port_accepts_and_says_nothing(testbed: Testbed) -> None:
    assert not greets(*testbed.silent_port())


def test_an_unreachable_address_never_answers(testbed: Testbed) -> None:
    with pytest.raises(TimeoutError):
        socket.create_connection((testbed.unreachable, 22), timeout=0.5)
