"""Configuration of a host: made together, recorded, undone by record."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import Need
from tests.integration.hosts.rig import Rig

from nepiq.controller.errors import FencedError, HostError
from nepiq.controller.model import Change
from nepiq.controller.resources.linux.network.altered import moved
from nepiq.controller.resources.linux.network.found import Found

pytestmark = pytest.mark.needs("ip", "nft")


@pytest.fixture
def rig(need: Need, tmp_path: Path) -> Iterator[Rig]:
    need("root", os.geteuid() == 0, "configuration is made as root")
    rig = Rig(tmp_path)
    rig.prepare()
    yield rig
    rig.close()


class Names:
    """Names of namespaces and links that no other test has."""

    def __init__(self) -> None:
        self.key = secrets.token_hex(3)

    def __call__(self, number: int) -> str:
        return f"nqt{self.key}{number}"

    def spaces(self) -> list[str]:
        return sorted(path.name for path in Path("/run/netns").glob(f"nqt{self.key}*"))

    def links(self) -> list[str]:
        return sorted(path.name for path in Path("/sys/class/net").glob(f"nqt{self.key}*"))


@pytest.fixture
def names() -> Names:
    return Names()


def space(name: str) -> list[Change]:
    return [
        Change(f"netns add {name}", f"netns del {name}"),
        Change("link set lo up", netns=name),
    ]


def bridge(name: str) -> Change:
    return Change(f"link add {name} type bridge", f"link del {name}")


def noted(start: str) -> list[str]:
    """What is in the folder of records, which goes with the last of them, and begins so."""
    try:
        names = os.listdir("/run/nepiq")  # noqa: PTH208 - one look
    except FileNotFoundError:
        return []
    return [name for name in names if name.startswith(start)]


def shown(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def test_it_is_made_reported_and_undone(rig: Rig, names: Names) -> None:
    report = rig.host(5).configure(
        [bridge(names(1)), Change(f"address add 10.213.7.1/24 dev {names(1)}")],
        report=f"ip -br address show {names(1)}; echo end",
    )
    assert report.split()[0] == names(1)
    assert report.split()[-2:] == ["10.213.7.1/24", "end"]
    rig.host(5).unconfigure()
    assert names.links() == []
    rig.host(5).unconfigure()


def test_many_share_requests_and_one_that_is_refused_is_undone_alone(
    rig: Rig, names: Names
) -> None:
    def configure(number: int) -> str:
        changes = [*space(names(number)), Change(f"link add e0 netns {names(number)} type bridge")]
        if number % 7 == 3:
            changes.append(Change("link set no-such-link up", netns=names(number)))
        try:
            rig.host(10 + number).configure(changes)
        except HostError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(30) as pool:
        errors = list(pool.map(configure, range(30)))
    refused = [number for number in range(30) if number % 7 == 3]
    assert [number for number, error in enumerate(errors) if error] == refused
    assert errors[3] == 'ip: Cannot find device "no-such-link"'
    assert names.spaces() == sorted(names(n) for n in range(30) if n not in refused)
    assert "e0" in shown("-n", names(4), "-br", "link")
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda number: rig.host(10 + number).unconfigure(), range(30)))
    assert names.spaces() == []


def test_one_program_reads_the_lines_of_many(rig: Rig, names: Names, tmp_path: Path) -> None:
    """What it refuses, or says at its end, is told to those that it concerns."""
    program = tmp_path / "program"
    program.write_text(
        f"echo began >>{tmp_path}/starts; while read -r word; do case $word in good*) echo ok ;; "
        "bad) echo not ok ;; *) echo it is broken >&2; exit 1 ;; esac; done"
    )
    words = ["good 1", "bad", "good 'it'", "worst", "good 2"]

    def configure(number: int) -> str:
        asked = Change(f"sh {program}", tool="sh", line=words[number])
        try:
            rig.host(10 + number).configure([bridge(names(number)), asked])
        except HostError as error:
            return error.message
        return ""

    # While the first one waits, the others come together.
    slow = threading.Thread(target=rig.host(9).configure, args=([Change("sleep 1", tool="sh")],))
    slow.start()
    with ThreadPoolExecutor(5) as pool:
        errors = list(pool.map(configure, range(5)))
    slow.join()
    assert errors[:3] == ["", "not ok", ""]
    assert errors[3] == "it is broken"
    assert names.links() == sorted(names(n) for n, error in enumerate(errors) if not error)
    assert (tmp_path / "starts").read_text().count("began") < 5


def test_a_request_that_fails_in_several_namespaces_is_undone_once(rig: Rig, names: Names) -> None:
    """Each of them is changed by another process at the same time."""
    made = [change for number in range(8) for change in space(names(number))[:1]]
    bad = [Change("link set no-such-link up", netns=names(number)) for number in range(8)]
    with pytest.raises(HostError, match='Cannot find device "no-such-link"'):
        rig.host(5).configure([*made, *bad, bridge(names(9))])
    assert names.spaces() == names.links() == []
    rig.host(5).configure([bridge(names(9))])
    assert names.links() == [names(9)]
    rig.host(5).unconfigure()


def test_an_error_of_arguments_is_that_of_its_resource(rig: Rig, names: Names) -> None:
    """It ends ip(8) at once, which does not say in which line of many it was."""

    def configure(number: int) -> str:
        changes = [bridge(names(number)), Change(f"link set {names(number)} up")]
        if number % 7 == 3:
            bad = "route add blackhole 198.51.300.0/24 proto 113"
            changes.append(Change(bad, bad.replace("add", "del")))
        try:
            rig.host(10 + number).configure(changes)
        except HostError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(20) as pool:
        errors = list(pool.map(configure, range(20)))
    refused = [number for number in range(20) if number % 7 == 3]
    assert [number for number, error in enumerate(errors) if error] == refused
    assert "any valid prefix is expected" in errors[3]
    assert names.links() == sorted(names(n) for n in range(20) if n not in refused)
    # An undo that is none is reported, and does not hold up others.
    rig.host(9).configure([bridge(names(90)), Change(f"link set {names(90)} down", bad_undo())])
    with pytest.raises(HostError, match="any valid prefix is expected"):
        rig.host(1).dismantle()
    assert names.links() == []
    record = next(Path("/run/nepiq").glob(f"{rig.run_id}-1/9"))
    record.unlink()


def bad_undo() -> str:
    return "route del 198.51.300.0/24"


def test_a_change_of_another_user_is_neither_overwritten_nor_undone(rig: Rig, names: Names) -> None:
    shown("link", "add", names(1), "type", "bridge")
    try:
        with pytest.raises(HostError, match="File exists"):
            rig.host(5).configure(
                [bridge(names(2)), Change(f"link add {names(1)} type bridge"), bridge(names(3))]
            )
        assert names.links() == [names(1)]
    finally:
        shown("link", "del", names(1))


def test_what_was_refused_is_not_undone(rig: Rig, names: Names) -> None:
    """What has the name, or the same route, belongs to another (mininet 877, CORE 500)."""
    inside = names(1)
    shown("link", "add", names(2), "type", "bridge")
    rig.host(5).configure([*space(inside), Change(f"link add e0 netns {inside} type bridge")])
    route = "blackhole 10.9.0.0/24 proto 113"
    shared = Change(f"route add {route}", f"route del {route}", netns=inside)
    table = Change("create table inet nq_shared", "delete table inet nq_shared", "nft", inside)
    key = Change("net.nothing=1", tool="sysctl", netns=inside)
    rig.host(6).configure([shared, table])
    try:
        for refused in (
            [bridge(names(3)), bridge(names(2)), bridge(names(4))],
            [bridge(names(3)), shared],
            [bridge(names(3)), table],
            [bridge(names(3)), Change("false", f"ip link del {names(2)}", tool="sh")],
            [bridge(names(3)), key, bridge(names(2))],
        ):
            for anew in (True, False):
                with pytest.raises(HostError):
                    rig.host(7).configure(refused, anew=anew)
                assert names.links() == [names(2), *([] if anew else [names(3)])]
                rig.host(7).unconfigure()
                assert names.links() == [names(2)]
        assert "blackhole 10.9.0.0/24 proto 113" in shown("-n", inside, "route")
        assert "nq_shared" in shown("netns", "exec", inside, "nft", "list", "tables")
        rig.host(6).unconfigure()
        assert shown("-n", inside, "route") == ""
    finally:
        shown("link", "del", names(2))


def test_what_was_refused_side_by_side_is_not_undone(rig: Rig, names: Names) -> None:
    numbers = range(20, 32)
    for number in numbers:
        made = Change("link add e0 type bridge", netns=names(number))
        rig.host(number).configure([*space(names(number)), made])

    def configure(number: int) -> str:
        inside = names(number)
        changes = [
            Change("link add e1 type bridge", "link del e1", netns=inside),
            Change("link add e0 type bridge", "link del e0", netns=inside),
        ]
        with pytest.raises(HostError) as caught:
            rig.host(100 + number).configure(changes)
        return caught.value.message

    with ThreadPoolExecutor(len(numbers)) as pool:
        messages = set(pool.map(configure, numbers))
    assert messages == {"ip: RTNETLINK answers: File exists"}
    for number in numbers:
        links = shown("-n", names(number), "-br", "link").splitlines()
        assert sorted(line.split()[0] for line in links) == ["e0", "lo"]


def test_all_kinds_are_undone_in_reverse(rig: Rig, names: Names, tmp_path: Path) -> None:
    """What a batch undoes is not postponed beyond what a shell undoes of the same resource."""
    link, seen = names(1), tmp_path / "seen"
    rig.host(5).configure(
        [
            bridge(link),
            Change("", f"cat /sys/class/net/{link}/mtu >>{seen}", tool="sh"),
            Change(f"link set {link} mtu 1300", f"link set {link} mtu 1200"),
            Change("net.ipv4.conf.lo.rp_filter=1", tool="sysctl"),
            Change("", f"cat /sys/class/net/{link}/mtu >>{seen}", tool="sh"),
        ]
    )
    rig.host(5).unconfigure()
    assert seen.read_text() == "1300\n1200\n"
    assert names.links() == []


def test_a_sysctl_is_restored_when_the_last_has_released_it(rig: Rig, names: Names) -> None:
    rig.host(5).configure(space(names(1)))
    key = "net.ipv4.conf.lo.rp_filter"

    def set_to(guid: int, value: int, **how: bool) -> None:
        change = Change(f"{key}={value}", tool="sysctl", netns=names(1))
        rig.host(guid).configure([change], **how)

    def value() -> int:
        path = "/proc/sys/" + key.replace(".", "/")
        return int(shown("netns", "exec", names(1), "cat", path))

    before = value()
    set_to(6, 1)
    set_to(7, 2)
    set_to(8, 0)
    set_to(6, 1, anew=False)
    assert value() == 1
    rig.host(7).unconfigure()
    assert value() == 1
    rig.host(6).unconfigure()
    assert value() == 0
    set_to(6, 2)
    set_to(6, 2)  # an attempt after a crash
    rig.host(8).unconfigure()
    assert value() == 2
    rig.host(6).unconfigure()
    assert value() == before
    set_to(6, 2)
    rig.host(5).unconfigure()  # the namespace goes first
    rig.host(6).unconfigure()
    assert noted(f"{names(1)},") == []


def test_an_attempt_after_a_crash_begins_anew(rig: Rig, names: Names) -> None:
    for _ in range(2):
        rig.host(5).configure([*space(names(1)), bridge(names(2))])
        assert (names.spaces(), names.links()) == ([names(1)], [names(2)])


def test_further_changes_are_added(rig: Rig, names: Names) -> None:
    rig.host(5).configure(space(names(1)))
    rig.host(5).configure([bridge(names(2))], anew=False)
    assert (names.spaces(), names.links()) == ([names(1)], [names(2)])
    rig.host(5).unconfigure()
    assert (names.spaces(), names.links()) == ([], [])


def test_an_older_attempt_is_refused(rig: Rig, names: Names) -> None:
    old = rig.host(5)
    rig.host(5).configure(space(names(1)))
    with pytest.raises(FencedError):
        old.configure([bridge(names(2))])
    with pytest.raises(FencedError):
        old.unconfigure()
    assert (names.spaces(), names.links()) == ([names(1)], [])


def test_sysctl_nft_and_shell(rig: Rig, names: Names, tmp_path: Path) -> None:
    table = f"inet nq_{names.key}"
    inside = names(1)
    rig.host(5).configure(
        [
            *space(inside),
            Change("net.ipv4.ip_forward=1", tool="sysctl", netns=inside),
            Change(f"add table {table}", f"delete table {table}", tool="nft"),
            Change(f"echo 1 >{tmp_path}/made", f"rm {tmp_path}/made", tool="sh"),
        ],
        report=f"ip netns exec {inside} cat /proc/sys/net/ipv4/ip_forward",
    )
    assert (tmp_path / "made").exists()
    # A request that fails does not disturb those that share its transaction.
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(rig.host(6).configure, [Change("add chain inet none none", tool="nft")])
        rig.host(7).configure([Change(f"add table {table}b", f"delete table {table}b", tool="nft")])
        with pytest.raises(HostError, match="No such file"):
            bad.result()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    assert f"table {table}\n" in tables.stdout
    assert f"table {table}b" in tables.stdout
    for guid in (5, 7):
        rig.host(guid).unconfigure()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    assert names.key not in tables.stdout
    assert not (tmp_path / "made").exists()


def test_names_of_emulated_hosts_come_and_go(rig: Rig) -> None:
    def names(*lines: str) -> list[Change]:
        return [Change(line, line, "hosts", "") for line in lines]

    rig.host(5).configure(names("10.0.0.1 one", "10.0.0.2 one-eth1"))
    rig.host(6).configure(names("10.0.0.2 one-eth10"))
    file = Path(rig.host(5).run_dir).parents[1] / "hosts"
    inode = file.stat().st_ino
    usual = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    assert file.read_text().splitlines() == [
        *usual,
        "10.0.0.1 one",
        "10.0.0.2 one-eth1",
        "10.0.0.2 one-eth10",
    ]
    rig.host(5).unconfigure()
    assert file.read_text().splitlines() == [*usual, "10.0.0.2 one-eth10"]
    assert file.stat().st_ino == inode  # it stays mounted


def test_a_sysctl_gets_its_former_value_back(rig: Rig, names: Names) -> None:
    rig.host(5).configure(space(names(1)))

    def value() -> str:
        return shown("netns", "exec", names(1), "cat", "/proc/sys/net/ipv4/tcp_rmem")

    before = value()
    rig.host(6).configure(
        [Change("net.ipv4.tcp_rmem=4096 8192 65536", tool="sysctl", netns=names(1))]
    )
    assert value().split() == ["4096", "8192", "65536"]
    rig.host(6).unconfigure()
    assert value() == before
    with pytest.raises(HostError, match=r"there is no net\.nothing on this host"):
        rig.host(6).configure([Change("net.nothing=1", tool="sysctl", netns=names(1))])


def test_what_runs_in_a_namespace_is_ended_with_it(rig: Rig, names: Names) -> None:
    rig.host(5).configure(space(names(1)))
    stray = subprocess.Popen(
        ["ip", "netns", "exec", names(1), "sh", "-c", "trap '' TERM; echo; sleep 900; sleep 900"],
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert stray.stdout is not None
    assert stray.stdout.readline()
    rig.host(5).unconfigure()
    assert names.spaces() == []
    assert stray.wait(10) == -9
    stray.stdout.close()


def test_a_moved_interface_goes_home_at_the_end_of_the_node(rig: Rig, names: Names) -> None:
    """All is undone at once here: what is in the namespace must not be left to it (mininet 706)."""
    card, inside = names(2), names(1)
    shown("link", "add", card, "type", "veth", "peer", "name", names(3))
    try:
        shown("address", "add", "10.213.8.1/24", "dev", card)
        shown("link", "set", card, "up")
        before = shown("-o", "-4", "address", "show", card)
        found = Found.read(json.loads(shown("-j", "-d", "address", "show", "dev", card))[0])
        rig.host(5).configure(space(inside))
        key = Change("net.ipv4.ip_forward=1", tool="sysctl", netns=inside)
        rig.host(6).configure([*moved(found, "nepiq:test.6", inside, "eth0", []), key])
        assert names.links() == [names(3)]
        assert "eth0" in shown("-n", inside, "-br", "link")
        stray = subprocess.Popen(["ip", "netns", "exec", inside, "sleep", "900"])
        rig.host(1).dismantle()
        assert stray.wait(10) != 0
        assert names.spaces() == []
        assert shown("-o", "-4", "address", "show", card) == before
        assert "alias" not in shown("link", "show", card)
        assert noted(f"{inside},") == []
    finally:
        shown("link", "del", card)


def test_the_end_of_the_node_undoes_what_is_left(rig: Rig, names: Names) -> None:
    rig.host(5).configure([*space(names(1)), bridge(names(2))])
    rig.host(6).configure([bridge(names(3))])
    rig.host(1).dismantle()
    assert (names.spaces(), names.links()) == ([], [])
    with pytest.raises(FencedError):
        rig.host(7).configure([bridge(names(4))])
