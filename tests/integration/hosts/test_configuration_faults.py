"""Configuration of a host where what makes it, or what it is recorded in, is disturbed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import processes
from tests.conftest import Need

from nepiq.controller.errors import FencedError, HostError
from nepiq.controller.model import Change, device_name, link_alias, namespace_name
from nepiq.controller.model.configuration import run_mark
from nepiq.workers.hosts import LocalSession
from nepiq.workers.hosts.exchange import Pending, Recorded, ask_together
from nepiq.workers.hosts.shell_host import ShellHost
from nepiq.workers.upkeep import host_cleanup

from .rig import Rig, until
from .sudoers import USERS, RigOf, Sudoers, without_sudo

pytestmark = pytest.mark.needs("ip", "nft")

RECORDS = Path("/run/nepiq")


@pytest.fixture
def rig(need: Need, tmp_path: Path) -> Iterator[Rig]:
    need("root", os.geteuid() == 0, "configuration is made as root")
    rig = Rig(tmp_path)
    rig.prepare()
    yield rig
    rig.close()
    assert there(rig) == []
    assert not records(rig).exists()


def records(rig: Rig) -> Path:
    return RECORDS / f"{rig.run_id}-1"


def space(rig: Rig, guid: int) -> list[Change]:
    name = namespace_name(rig.run_id, guid)
    return [
        Change(f"netns add {name}", f"netns del {name}"),
        Change("link set lo up", netns=name),
    ]


def bridge(rig: Rig, guid: int) -> list[Change]:
    name = device_name(rig.run_id, guid)
    return [
        Change(f"link add {name} type bridge", f"link del {name}"),
        Change(f"link set {name} alias {link_alias(rig.run_id, guid)}"),
    ]


def table(rig: Rig, guid: int) -> Change:
    name = f"inet nq{run_mark(rig.run_id)}_{guid}"
    return Change(f"add table {name}", f"delete table {name}", tool="nft")


def there(rig: Rig) -> list[str]:
    """What of a run is in the kernel of this machine, or on record as a setting of it."""
    mark = run_mark(rig.run_id)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return sorted(
        [path.name for path in Path("/run/netns").glob(f"nq-{mark}-*")]
        + [path.name for path in Path("/sys/class/net").glob(f"nq{mark}*")]
        + [path.name for path in RECORDS.glob(f"nq-{mark}-*")]
        + [line for line in tables.stdout.splitlines() if mark in line]
    )


def make_all(rig: Rig) -> None:
    rig.host(5).configure(space(rig, 5))
    rig.host(6).configure([*bridge(rig, 6), table(rig, 6)])
    assert len(there(rig)) == 3


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash", "/bin/busybox"])
def test_each_shell(need: Need, tmp_path: Path, shell: str) -> None:
    need("root", os.geteuid() == 0)
    need(shell, Path(shell).exists())
    rig = Rig(tmp_path, shell)
    rig.prepare()
    make_all(rig)
    with pytest.raises(HostError, match="Cannot find device"):
        rig.host(7).configure([*space(rig, 7), Change("link set none up")])
    key = Change(
        "net.ipv4.tcp_rmem=4096 8192 65536", tool="sysctl", netns=namespace_name(rig.run_id, 5)
    )
    rig.host(8).configure([key])
    assert len(there(rig)) == 4
    rig.host(5).configure(space(rig, 5))
    rig.close()
    assert there(rig) == []


# --- the records


def test_records_that_were_removed(rig: Rig) -> None:
    make_all(rig)
    subprocess.run(["rm", "-rf", records(rig)], check=True)
    rig.host(7).configure(bridge(rig, 7))
    rig.host(7).unconfigure()
    rig.host(5).unconfigure()
    assert len(there(rig)) == 3
    rig.host(1).dismantle()
    assert there(rig) == []


def test_records_that_were_replaced(rig: Rig) -> None:
    make_all(rig)
    subprocess.run(["rm", "-rf", records(rig)], check=True)
    records(rig).write_text("not a directory")
    with pytest.raises(HostError, match=r"cannot make /run/nepiq/.*: File exists"):
        rig.host(7).configure(bridge(rig, 7))
    records(rig).unlink()
    rig.host(1).dismantle()


def test_a_directory_that_was_removed(rig: Rig) -> None:
    make_all(rig)
    subprocess.run(["rm", "-rf", rig.home / ".nepiq"], check=True)
    rig.host(1).dismantle()


def test_what_was_not_written_whole_is_not_undone(rig: Rig) -> None:
    """A route without its mark would be that of somebody else."""
    make_all(rig)
    inside = namespace_name(rig.run_id, 5)
    subprocess.run(["ip", "-n", inside, "link", "add", "other", "type", "bridge"], check=True)
    with (records(rig) / "6").open("a") as file:
        file.write(f"ip {inside} link del other")
    rig.host(6).configure(bridge(rig, 9), anew=False)
    rig.host(6).unconfigure()
    shown = subprocess.run(["ip", "-n", inside, "link"], capture_output=True, check=True)
    assert b"other" in shown.stdout


def test_records_of_an_earlier_boot(rig: Rig) -> None:
    make_all(rig)
    for guid in ("5", "6"):
        record = records(rig) / guid
        record.write_text(record.read_text().replace(record.read_text()[:8], "00000000"))
    rig.host(6).unconfigure()
    assert len(there(rig)) == 3
    (remains,) = [r for r in host_cleanup.look(rig.session) if r.run_id == rig.run_id]
    host_cleanup.remove(rig.session, remains)
    assert there(rig) == []


def test_a_home_of_two_names(rig: Rig, tmp_path: Path) -> None:
    make_all(rig)
    (tmp_path / "other name").symlink_to(rig.home)
    for name in (f"{rig.home}/", f"{tmp_path}/other name"):
        session = LocalSession(env={"HOME": name})
        found = {remains.run_id for remains in host_cleanup.look(session)}
        session.close()
        assert rig.run_id in found
    (tmp_path / "other home").mkdir()
    session = LocalSession(home=f"{tmp_path}/other home")
    assert rig.run_id not in {remains.run_id for remains in host_cleanup.look(session)}
    session.close()


# --- what makes it


def test_killed_while_it_makes_something(rig: Rig, tmp_path: Path) -> None:
    """What it has started is ended by whoever comes next, and makes nothing later."""
    begun, later = tmp_path / "begun", device_name(rig.run_id, 5, "z")
    slow = f"touch {begun}; sleep 2; ip link add {later} type bridge; sleep 900"
    raised: list[HostError] = []

    def make() -> None:
        try:
            rig.host(5).configure([*bridge(rig, 5), Change(slow, tool="sh")])
        except HostError as error:
            raised.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    until(begun.exists)
    form = f"{rig.run_id}/1/supervisor.sh configure"
    found = [pid for pid in processes.pids() if form in processes.command(pid)]
    (leader,) = [pid for pid in found if os.getpgid(pid) == pid]
    os.kill(leader, signal.SIGKILL)
    first, rig.session = rig.session, LocalSession(home=str(rig.home))
    rig.host(5).configure(bridge(rig, 5))
    thread.join(30)
    first.close()
    assert raised
    assert not [pid for pid in processes.pids() if later in processes.command(pid)]
    assert there(rig) == [device_name(rig.run_id, 5)]


def test_what_was_killed_is_asked_once_more(rig: Rig, tmp_path: Path) -> None:
    """Whoever killed it need not have meant each resource whose changes it made."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    wait = f"echo >>{begun}; until [ -e {go} ]; do sleep 0.01; done"
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(rig.host(5).configure, [Change(wait, tool="sh"), *bridge(rig, 5)])
        until(begun.exists)
        kill_all(f"{rig.run_id}/1/supervisor.sh configure")
        until(lambda: len(begun.read_text()) == 2)
        go.touch()
        made.result(30)
        assert there(rig) == [device_name(rig.run_id, 5)]
        begun.unlink()
        go.unlink()
        made = pool.submit(rig.host(6).configure, [Change(wait, tool="sh")])
        until(begun.exists)
        kill_all(f"{rig.run_id}/1/supervisor.sh configure")
        until(lambda: len(begun.read_text()) == 2)
        kill_all(f"{rig.run_id}/1/supervisor.sh configure")
        with pytest.raises(HostError, match="broke off without an answer"):
            made.result(30)


def kill_all(form: str) -> None:
    """Kill -9 the groups of processes whose command has this in it."""
    found = [pid for pid in processes.pids() if form in processes.command(pid)]
    for group in {os.getpgid(pid) for pid in found}:
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize("undo", [False, True])
def test_a_newer_attempt_at_the_moment_of_a_plan(rig: Rig, undo: bool) -> None:
    """A plan compares and raises tokens under the lock of the fence, as everything else does."""
    rig.host(6).run("true")
    rig.host(5).configure(space(rig, 5))
    older, newer = rig.host(5), rig.token() + 1
    fence = rig.root() / "fence"
    with (fence / ".lock").open("r+") as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asked = pool.submit(older.unconfigure if undo else lambda: older.configure(space(rig, 5)))
        inode = f":{os.fstat(lock.fileno()).st_ino} "
        until(lambda: asked.done() or inode in waiting_locks())
        (fence / "5").write_text(f"{newer:016d}\n")
        fcntl.flock(lock, fcntl.LOCK_UN)
        with pytest.raises(FencedError, match=f"token {newer}"):
            asked.result(30)
    assert int((fence / "5").read_text()) == newer
    assert len(there(rig)) == 1


def waiting_locks() -> str:
    """The lines of /proc/locks of those who wait."""
    return "\n".join(line for line in Path("/proc/locks").read_text().splitlines() if "->" in line)


def test_attempts_on_one_resource_in_one_plan(rig: Rig) -> None:
    """The newest acts, whichever comes first, and an older release undoes nothing of it."""
    older, newer, releasing, making = (rig.host(guid) for guid in (5, 5, 6, 6))
    acts: list[tuple[ShellHost, Callable[[], object]]] = [
        (newer, lambda: newer.configure(space(rig, 5))),
        (older, lambda: older.configure(space(rig, 5))),
        (releasing, releasing.unconfigure),
        (making, lambda: making.configure(space(rig, 6))),
    ]
    pending = []
    for host, act in acts:
        host.attempt.exchange = Recorded([])
        with pytest.raises(Pending) as caught:
            act()
        pending.append(caught.value)
    for (host, act), answer in zip(acts, ask_together(pending), strict=True):
        host.attempt.exchange = Recorded([answer])
        if host in (newer, making):
            act()
            continue
        with pytest.raises(FencedError, match="a newer attempt"):
            act()
    assert len([name for name in there(rig) if name.startswith("nq-")]) == 2


def together(rig: Rig, wanted: Mapping[int, Sequence[Change]]) -> dict[int, str]:
    """Configure many resources at once, and so in few plans; return the errors by guid."""

    hosts = {guid: rig.host(guid) for guid in wanted}

    def configure(item: tuple[int, Sequence[Change]]) -> str:
        try:
            hosts[item[0]].configure(item[1])
        except HostError as error:
            return error.message or "error"
        return ""

    with ThreadPoolExecutor(len(wanted)) as pool:
        errors = list(pool.map(configure, wanted.items()))
    return {guid: error for guid, error in zip(wanted, errors, strict=True) if error}


def everything(rig: Rig) -> dict[int, str]:
    """Make many things at once; return the errors."""
    wanted = {}
    for guid in range(10, 30):
        inside = namespace_name(rig.run_id, guid)
        key = Change("net.ipv4.ip_forward=1", tool="sysctl", netns=inside)
        wanted[guid] = [*space(rig, guid), *bridge(rig, guid), table(rig, guid), key]
    return together(rig, wanted)


def killed(rig: Rig, act: Callable[[], object], sign: str, rng: random.Random) -> None:
    """Carry something out and kill what does it on the host, or all of its group, at any moment."""
    rig.session = LocalSession(home=str(rig.home))

    def quietly() -> None:
        with contextlib.suppress(HostError):
            act()

    thread = threading.Thread(target=quietly)
    thread.start()
    leaders: list[int] = []

    def begun() -> bool:
        found = [pid for pid in processes.pids() if sign in processes.command(pid)]
        leaders[:] = [pid for pid in found if processes.stat(pid)[2:3] == [str(pid)]]
        return bool(leaders) or not thread.is_alive()

    until(begun)
    thread.join(rng.uniform(0.0, 0.15))
    for pid in leaders:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if rng.random() < 0.5 else os.kill)(pid, signal.SIGKILL)
    # What has not been killed with it may keep the session waiting.
    first, rig.session = rig.session, LocalSession(home=str(rig.home))
    thread.join(0.01)
    first.close()


def unconfigure(rig: Rig, *guids: int) -> None:
    for host in [rig.host(guid) for guid in guids]:
        host.unconfigure()


def test_killed_at_any_moment(rig: Rig) -> None:
    """While it is made, while it is made anew, and while it is undone."""
    rng = random.Random(14)
    form = f"{rig.run_id}/1/supervisor.sh configure"
    for _ in range(6):
        killed(rig, lambda: everything(rig), form, rng)
        assert everything(rig) == {}
        killed(rig, lambda: unconfigure(rig, 10, 11), form, rng)
    killed(rig, lambda: rig.host(1).dismantle(), f"dismantle {rig.run_id} ", rng)
    rig.host(1).dismantle()
    assert there(rig) == []


def test_texts_of_all_kinds(rig: Rig, tmp_path: Path) -> None:
    """They harm neither the host nor the others of a plan."""
    mark = tmp_path / "mark"
    texts = [
        f"link set none alias $(touch {mark})",
        f"link set none alias `touch {mark}`",
        f"link set none alias '; touch {mark}; '",
        f'link set none alias "$(touch {mark})"',
        f"netns exec; touch {mark}",
        "END",
        "\\",
        "#",
        "",
        "link \t set  none\tup",
        "link set none alias " + "x" * 70_000,
        "link set \udcff\u00e9\u4e2d up",
        "quit",
    ]
    wanted = {}
    for guid, text in enumerate(texts, 10):
        wanted[guid] = [*bridge(rig, guid), Change(text, text)]
        wanted[guid + 50] = bridge(rig, guid + 50)
    assert max(together(rig, wanted), default=0) < 60
    assert not mark.exists()
    with contextlib.suppress(HostError):
        rig.host(1).dismantle()
    assert there(rig) == []
    assert not mark.exists()
    for record in records(rig).glob("[0-9]*"):
        record.unlink()  # of undos that are none


# --- logins


@pytest.mark.parametrize("user", ["nepiq-free", "nepiq-asked"])
def test_logins_that_use_sudo(rig_of: RigOf, password_file: str, user: str) -> None:
    rig = rig_of(user, password=password_file)
    lock = rig.root() / "fence/.lock"
    report = f"id -u; stat -c %u '{lock}'"
    answer = rig.host(6).configure([*bridge(rig, 6), table(rig, 6)], report=report)
    # Others lock the fence meanwhile, as the user.
    assert answer.split() == ["0", str(USERS[user])]
    assert len(there(rig)) == 2
    with pytest.raises(HostError, match="Cannot find device"):
        rig.host(7).configure([*bridge(rig, 7), Change("link set none up")])
    assert len(there(rig)) == 2
    rig.host(6).unconfigure()
    assert there(rig) == []
    rig.host(6).configure(bridge(rig, 6))
    rig.host(1).dismantle()
    assert there(rig) == []


def test_logins_without_rights(rig_of: RigOf, password_file: str, sudoers: Sudoers) -> None:
    barred = rig_of("nepiq-barred", password=password_file)
    with pytest.raises(HostError, match="nepiq-barred may not use sudo on"):
        barred.host(6).configure(bridge(barred, 6))
    asked = rig_of("nepiq-asked")
    with pytest.raises(HostError, match="sudo asks for a password on"):
        asked.host(6).configure(bridge(asked, 6))
    none = rig_of("nepiq-free", path=without_sudo(sudoers.folder))
    with pytest.raises(HostError, match="lacks sudo: install the package sudo"):
        none.host(6).configure(bridge(none, 6))
    assert [there(rig) for rig in (barred, asked, none)] == [[], [], []]
