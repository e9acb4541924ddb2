"""The facts of a host: the output of its programs, and what is made of it."""

from __future__ import annotations

import pytest

from nepiq.controller.model.facts import Facts, Interface
from nepiq.workers.hosts import Completed, facts, kernel_kinds

HEAD = """\
lab-7
Linux
6.1.0-18-amd64
0b7c2f1e-6a35-4a3b-9d2c-5a5a0d5a8a11
0-3,8
lab
/home/lab
"Debian GNU/Linux 12 (bookworm)"
x86_64
2048000
AMD EPYC 9654
performance
"""
IPROUTE = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet6 ::1/128 scope host
       valid_lft forever preferred_lft forever
2: eth0@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc fq_codel state UP group default
    link/ether 02:fc:00:00:00:01 brd ff:ff:ff:ff:ff:ff link-netnsid 0
    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0
       valid_lft forever preferred_lft forever
    inet6 fd00::2/64 scope global
       valid_lft forever preferred_lft forever
    inet6 fe80::fc:ff:fe00:1/64 scope link
       valid_lft forever preferred_lft forever
3: wlan0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noop state DOWN group default
    link/ether 02:fc:00:00:00:02 brd ff:ff:ff:ff:ff:ff
4: sit0@NONE: <NOARP> mtu 1480 qdisc noop state DOWN group default qlen 1000
    link/sit 0.0.0.0 brd 0.0.0.0
"""
BUSYBOX = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
5: eth0@if6: <BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1500 qdisc noqueue state UP
    link/ether 02:42:ac:11:00:02 brd ff:ff:ff:ff:ff:ff
    inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0
       valid_lft forever preferred_lft forever
"""
#: Of a host without ip(8).
TABLES = """\
0: eth0: <> state up
    link/ether 02:fc:00:00:00:01
0: lo: <> state unknown
    link/ether 00:00:00:00:00:00
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
fd000000000000000000000000000002 02 40 00 80     eth0
fe80000000000000000000fffe000001 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
FIRST, LAST = 1_800_000_000_100_000_000, 1_800_000_000_140_000_000


def read(network: str = IPROUTE, kinds: str = "end", head: str = HEAD, **how: float) -> Facts:
    text = f"{head}{network}@{kinds}\n{FIRST}\n{LAST}\n"
    done = Completed(0, b"ok\n" + text.encode(), b"", **how)
    return facts.parse(done, text, ahead=0.0)


def test_the_head() -> None:
    found = read()
    assert (found.hostname, found.system) == ("lab-7", "Linux 6.1.0-18-amd64")
    assert (found.kernel, found.arch) == ("6.1.0-18-amd64", "x86_64")
    assert (found.cpus, found.memory) == (5, 2048000 * 1024)
    assert (found.user, found.home) == ("lab", "/home/lab")
    assert found.os == "Debian GNU/Linux 12 (bookworm)"
    assert (found.processor, found.governor) == ("AMD EPYC 9654", "performance")
    assert found.boot_id == "0b7c2f1e-6a35-4a3b-9d2c-5a5a0d5a8a11"


@pytest.mark.parametrize(("text", "count"), [("0", 1), ("0-127", 128), ("0,2-3", 3), ("16", 16)])
def test_processors(text: str, count: int) -> None:
    assert read(head=HEAD.replace("0-3,8", text)).cpus == count


@pytest.mark.parametrize("text", ["Alpine Linux v3.20", "'Alpine Linux v3.20'"])
def test_names_of_operating_systems(text: str) -> None:
    head = HEAD.replace('"Debian GNU/Linux 12 (bookworm)"', text)
    assert read(head=head).os == "Alpine Linux v3.20"
    assert read(head=head.replace(text, "")).os == ""
    assert read(head=head.replace(text, 'half "quoted')).os == 'half "quoted'


def test_interfaces() -> None:
    found = read()
    assert found.interfaces == {
        "lo": Interface("unknown", "00:00:00:00:00:00", 65536, ("127.0.0.1/8", "::1/128")),
        "eth0": Interface(
            "up",
            "02:fc:00:00:00:01",
            1400,
            ("192.0.2.2/24", "fd00::2/64", "fe80::fc:ff:fe00:1/64"),
        ),
        "wlan0": Interface("down", "02:fc:00:00:00:02", 1500),
        "sit0": Interface("down", "", 1480),
    }
    assert found.addresses == ("192.0.2.2", "fd00::2")


def test_interfaces_of_busybox() -> None:
    found = read(BUSYBOX)
    assert found.interfaces["eth0"] == Interface(
        "up", "02:42:ac:11:00:02", 1500, ("172.17.0.2/16",)
    )
    assert found.addresses == ("172.17.0.2",)


def test_a_host_without_ip() -> None:
    found = read(TABLES)
    assert found.interfaces == {
        "eth0": Interface("up", "02:fc:00:00:00:01"),
        "lo": Interface("unknown", "00:00:00:00:00:00"),
    }
    assert found.addresses == ("192.0.2.2", "fd00::2")


def test_what_is_read_of_a_hostile_host_has_limits() -> None:
    many = "".join(f"{n}: eth{n}: <UP> mtu 1500 state UP\n" for n in range(10_000))
    many += "    inet 10.0.0.1/24 scope global\n" * 10_000
    found = read(many)
    assert len(found.interfaces) == 100
    assert len(found.addresses) <= 1000


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD.replace("0b7c2f1e-6a35-4a3b-9d2c-5a5a0d5a8a11", "") + "@end\n",
        HEAD.replace("/home/lab", "home") + "@end\n",
        HEAD.replace("2048000", "much") + "@end\n",
        HEAD.replace("0-3,8", "four") + "@end\n",
    ],
)
def test_what_are_no_facts(text: str) -> None:
    with pytest.raises(ValueError, match=r"fact|number"):
        facts.parse(Completed(0, text.encode(), b""), text)


# -- the kinds of the kernel


def kinds(*lines: str) -> kernel_kinds.Kinds:
    return kernel_kinds.parse([*lines, "end"])


ALWAYS = {"bfifo", "mq", "noqueue", "pfifo", "pfifo_fast"}


def test_kinds_by_modules() -> None:
    found = kinds(
        "modules",
        "sch_netem ",  # /proc/modules
        "ip_gre ",
        "kernel/net/sched/sch_fq_codel.ko",  # modules.builtin
        "kernel/net/sched/sch_ingress.ko",
        "kernel/drivers/net/veth.ko",  # modules.dep, of names with both kinds of dashes
        "kernel/net/8021q/8021q.ko",
        "kernel/net/sched/sch_mqprio_lib.ko",
        "updates/dkms/batman-adv.ko",
    )
    assert found.qdiscs is not None
    assert {*found.qdiscs} == ALWAYS | {"netem", "fq_codel", "ingress", "clsact"}
    assert found.links == ("batadv", "gre", "gretap", "veth", "vlan")


def test_kinds_by_the_configuration() -> None:
    found = kinds(
        *("configuration", "CONFIG_NET_SCHED=y", "CONFIG_NET_SCH_TBF=y", "CONFIG_NET_SCH_FIFO=y"),
        *("CONFIG_NET_SCH_DEFAULT=y", "CONFIG_VXLAN=y", "CONFIG_NET_IPGRE=y"),
        *("sch_netem ", "dummy "),  # loaded, from where is not known
    )
    assert found.qdiscs is not None
    assert {*found.qdiscs} == ALWAYS | {"tbf", "netem"}
    assert found.links == ("dummy", "gre", "gretap", "vxlan")
    without = kinds("configuration", "CONFIG_VETH=y")
    assert without == kernel_kinds.Kinds((), ("veth",))
    assert kinds("configuration") == kernel_kinds.Kinds()  # it cannot be read


def test_kinds_by_trial() -> None:
    tried = [*kernel_kinds.QDISCS]
    number = tried.index("netem") + 1
    found = kinds(
        *("tried", "qdiscs"),
        *("Error: Specified qdisc kind is unknown.", f"Command failed -:{number}"),
        *("Error: Handle cannot be zero.", f"Command failed -:{number + 1}"),
        *("links", "Error: Unknown device type.", "Command failed -:1", "end"),
    )
    assert found.qdiscs is not None
    assert {*found.qdiscs} == ({*tried} - {"netem"}) | ALWAYS | {"clsact"}
    assert found.links is not None
    assert "batadv" not in found.links
    assert "veth" in found.links


@pytest.mark.parametrize("lines", [[], [""], ["tried"], ["tried", "qdiscs"], ["no", "sch_fq "]])
def test_unknown_kinds(lines: list[str]) -> None:
    assert kinds(*lines) == kernel_kinds.Kinds(None, None)


# -- the clock


def test_the_clock_offset_is_between_two_bounds() -> None:
    # The host is 50 s ahead: 4 ms passed before its first time, 2 ms after its last.
    found = read(sent=1_799_999_950.096, received=1_799_999_950.142)
    assert found.clock_offset == pytest.approx(50.001, abs=1e-5)
    assert found.clock_error == pytest.approx(0.003, abs=1e-5)


def test_the_clock_of_redis_is_the_reference() -> None:
    done = Completed(0, f"{FIRST}\n{LAST}\n".encode(), b"", FIRST / 1e9, LAST / 1e9)
    assert facts.ClockOffset.of(done, 0.0).seconds == pytest.approx(0.0, abs=1e-6)
    assert facts.ClockOffset.of(done, 0.25).seconds == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(
    "done",
    [
        Completed(0, f"{FIRST}\n{LAST}\n".encode(), b""),  # unknown when it was sent
        Completed(0, b"1800000000%N\n1800000000%N\n", b"", 1.0, 2.0),  # date of busybox
        Completed(0, b"", b"", 1.0, 2.0),
        # A clock was set meanwhile: what was received last was sent first.
        Completed(0, f"{FIRST}\n{LAST}\n".encode(), b"", FIRST / 1e9, FIRST / 1e9 - 1.0),
    ],
)
def test_an_unknown_offset(done: Completed) -> None:
    assert facts.ClockOffset.of(done, 0.0) == facts.ClockOffset(None, None)
