"""Making and ending the directory of a node."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import FencedError, HostError
from nepiq.controller.model import Placement
from nepiq.workers.hosts import Attempt, LocalSession, SessionPool, ShellHost, kernel_kinds

from .rig import Rig, until


def test_facts(rig: Rig) -> None:
    facts = rig.host(5).facts
    assert facts.hostname == os.uname().nodename
    assert facts.system == f"Linux {os.uname().release}"
    assert facts.cpus == os.cpu_count()
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts.home == os.environ["HOME"]
    assert facts.user == Path("/proc/self").owner()
    assert not [address for address in facts.addresses if address.startswith(("127.", "::1"))]


def test_facts_of_the_machine(rig: Rig) -> None:
    rig.prepare()
    facts = rig.host(5).facts
    assert facts.kernel == os.uname().release
    assert facts.arch == os.uname().machine
    assert facts.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert set(facts.interfaces) == {name for _, name in socket.if_nameindex()}
    lo = facts.interfaces["lo"]
    assert "127.0.0.1/8" in lo.addresses
    assert lo.mtu == int(Path("/sys/class/net/lo/mtu").read_text())
    own = {text.split("/")[0] for it in facts.interfaces.values() for text in it.addresses}
    assert set(facts.addresses) <= own


@pytest.mark.needs("ip", "tc", "unshare")
def test_kinds_are_those_that_can_be_used(rig: Rig, need: Need) -> None:
    need("root, who may make a network namespace", os.geteuid() == 0)
    rig.prepare()
    facts = rig.host(5).facts
    need("a kernel that reveals what it has", facts.qdiscs is not None)
    assert facts.qdiscs is not None
    assert facts.link_kinds is not None
    qdiscs = [f"qdisc replace dev lo root {kind} {it}" for kind, it in kernel_kinds.QDISCS.items()]
    links = [f"link add x{n} type {kind}" for n, kind in enumerate(kernel_kinds.LINK_KINDS)]
    tried = tries("tc", qdiscs), tries("ip", links)
    usable = {kind for kind, works in zip(kernel_kinds.QDISCS, tried[0], strict=True) if works}
    assert usable == {*facts.qdiscs} & {*kernel_kinds.QDISCS}
    usable = {kind for kind, works in zip(kernel_kinds.LINK_KINDS, tried[1], strict=True) if works}
    assert usable == {*facts.link_kinds}


def test_root_tries_the_kinds_where_nothing_else_reveals_them(rig: Rig, need: Need) -> None:
    need("root, who may make a network namespace", os.geteuid() == 0)
    rig.prepare()
    facts = rig.host(5).facts
    need("a kernel that reveals what it has", facts.qdiscs is not None)
    hidden = (
        "mount --bind /dev/null /proc/config.gz 2>/dev/null; "
        "for place in /lib/modules /boot; do [ ! -d $place ] || mount -t tmpfs none $place; done; "
    )
    release = f"release={facts.kernel} modules=/lib/modules/{facts.kernel} user=root\n"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{hidden}{release}{kernel_kinds.SCRIPT}kernel_kinds"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "tried"
    found = kernel_kinds.parse(lines)
    assert {*(found.qdiscs or ())} == {*(facts.qdiscs or ())} | {"clsact"}
    assert found.links == facts.link_kinds


def tries(program: str, lines: list[str]) -> list[bool]:
    """Whether the kernel knows the kind of each line, one process of the program each."""
    script = "ip link set lo up\n" + "".join(
        f"{program} {line} >/dev/null 2>error; cat error; echo :\n" for line in lines
    )
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", f"mount -t tmpfs none /mnt; cd /mnt; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    parts = done.stdout.split(":\n")[:-1]
    return [not kernel_kinds.UNKNOWN_KIND.search(part) for part in parts]


def test_kinds_are_found_once_a_boot(rig: Rig) -> None:
    rig.prepare()
    known = rig.home / ".nepiq" / "kernel"
    boot, _, kinds = known.read_text().partition(" ")
    assert boot == rig.host(5).facts.boot_id
    known.write_text(f"{boot} modules;sch_netem ;dummy ;end\n")
    rig.prepare()
    assert "netem" in (rig.host(5).facts.qdiscs or ())
    assert rig.host(5).facts.link_kinds == ("dummy",)
    for other in ("", f"{boot} modules;sch_netem", "another-boot modules;end\n"):
        known.write_text(other)
        rig.prepare()
        assert known.read_text() == f"{boot} {kinds}"
    known.unlink()
    known.mkdir()
    rig.prepare()
    assert rig.host(5).facts.link_kinds != ("dummy",)


def test_the_clock_of_this_machine(rig: Rig) -> None:
    rig.prepare()
    facts = rig.host(5).facts
    assert facts.clock_offset is not None
    assert facts.clock_error is not None
    assert abs(facts.clock_offset) <= facts.clock_error < 5.0


def test_facts_are_asked_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rig.host(5).facts
    monkeypatch.setattr(LocalSession, "execute", None)
    assert rig.host(6).facts is first


def test_run_dir(rig: Rig) -> None:
    assert rig.host(5, 2).run_dir == str(rig.run_dir(5, 2))
    session = LocalSession()
    host = rig.host(5)
    at_home = ShellHost(
        Attempt(
            session,
            run_id="r",
            exp_id="e",
            node=1,
            guid=2,
            occasion=3,
            token=4,
            deadline=host.attempt.deadline,
        )
    )
    assert at_home.run_dir == f"{os.environ['HOME']}/.nepiq/r/1/2/3"


def test_prepare_again_keeps_what_there_is(rig: Rig) -> None:
    rig.host(5).supervise("exec sleep 60")
    before = (rig.root() / "journal").read_text()
    rig.prepare()
    assert (rig.root() / "journal").read_text() == before
    assert rig.host(5).supervise("").adopted
    assert sorted(path.name for path in (rig.home / ".nepiq").iterdir()) == [
        "able",
        "ended",
        "kernel",
        "lock",
        rig.run_id,
        "swept",
    ]


def test_two_nodes_with_one_home(rig: Rig) -> None:
    rig.prepare(2)
    rig.host(5).supervise("exec sleep 60")
    rig.host(6, node=2).supervise("exec sleep 60")
    assert (rig.root(1) / "journal").read_text() != (rig.root(2) / "journal").read_text()
    rig.host(1).dismantle(remove=True)
    assert not rig.root(1).exists()
    names = rig.bearers().values()
    assert {name.split(".")[1] for name in names} == {"6"}
    rig.host(6, node=2).end()
    assert [line[2] for line in rig.journal(2)] == ["6"]
    with pytest.raises(FencedError):
        rig.host(5).run("true")
    rig.host(6, node=2).run("true")
    rig.host(2, node=2).dismantle(remove=True)
    assert not rig.root(2).parent.exists()


def test_dismantle_what_was_never_prepared(rig: Rig) -> None:
    rig.host(2, node=2).dismantle()
    with pytest.raises(FencedError):
        rig.prepare(2)


def test_an_older_dismantle_is_refused(rig: Rig) -> None:
    old = rig.host(1)
    rig.prepare()
    with pytest.raises(FencedError, match="newer"):
        old.dismantle()
    rig.host(5).run("true")


def test_old_marks_are_removed_once_an_hour(rig: Rig) -> None:
    ended = rig.home / ".nepiq" / "ended"
    for name, days in (("old-1", 31), ("new-1", 29)):
        (ended / name).touch()
        os.utime(ended / name, (time.time() - days * 86400,) * 2)
    rig.prepare(2)
    assert {path.name for path in ended.iterdir()} == {"old-1", "new-1"}
    (rig.home / ".nepiq" / "swept").write_text("another-boot 3\n")
    rig.prepare(3)
    assert {path.name for path in ended.iterdir()} == {"new-1"}


def earlier_run(rig: Rig, name: str, exp_id: str) -> Path:
    rig.host(1, run_id=name, exp_id=exp_id).prepare()
    rig.host(5, run_id=name, exp_id=exp_id).supervise("exec sleep 60")
    return rig.home / ".nepiq" / name


def test_cleaning(rig: Rig) -> None:
    unique = rig.run_id.removeprefix("run-")
    same, other = f"same-{unique}", f"other-{unique}"
    same_dir, other_dir = earlier_run(rig, same, "exp"), earlier_run(rig, other, "exp-2")
    rig.host(5).supervise("exec sleep 60")
    rig.prepare()
    assert len(rig.bearers(same)) == 2

    rig.prepare(clean_experiment=True)
    assert same_dir.exists(), "what runs keeps its directory"
    rig.prepare(clean_processes=True)
    assert rig.bearers(same) == {}
    assert "STOPPED" in (same_dir / "1" / "journal").read_text()
    assert same_dir.exists()
    rig.prepare(clean_experiment=True)
    assert not same_dir.exists()

    earlier_run(rig, same, "exp")
    rig.prepare(clean_experiment=True, clean_processes=True)
    assert not same_dir.exists()
    assert rig.bearers(same) == {}
    assert other_dir.exists()
    assert len(rig.bearers(other)) == 2
    assert len(rig.bearers(rig.run_id)) == 2


def test_a_host_that_lacks_something(rig: Rig, tmp_path: Path) -> None:
    tools = tmp_path / "few"
    tools.mkdir()
    for name in ["sh", "cat", "mkdir", "wc", "rm"]:
        path = next(path for path in ("/bin", "/usr/bin") if (Path(path) / name).exists())
        (tools / name).symlink_to(Path(path) / name)
    home = tmp_path / "another home"
    session = LocalSession(home=str(home), env={"PATH": str(tools)})
    host = rig.host(1)
    poor = ShellHost(
        Attempt(
            session,
            run_id=rig.run_id,
            exp_id="e",
            node=1,
            guid=1,
            occasion=1,
            token=1,
            deadline=host.attempt.deadline,
            where="node",
        )
    )
    with pytest.raises(HostError, match=r"node: this host lacks: flock setsid base64 grep"):
        poor.prepare()
    assert sorted(path.name for path in (home / ".nepiq").iterdir()) == []


class Local:
    """A node on the worker machine."""

    home = ""

    def placement(self) -> Placement:
        return Placement("default", local=True, limit=8)


class Remote(Local):
    """A node elsewhere."""

    def placement(self) -> Placement:
        return Placement("default", local=False, limit=8)


def test_sessions_are_shared_and_reopened(tmp_path: Path) -> None:
    pool = SessionPool()
    elsewhere = Local()
    elsewhere.home = str(tmp_path)
    first = pool.session(Local())
    assert pool.session(Local()) is first
    assert pool.session(elsewhere) is not first
    assert pool.session(elsewhere).home == str(tmp_path)
    first.close()
    second = pool.session(Local())
    assert second is not first
    assert not second.closed
    pool.close()
    assert second.closed
    with pytest.raises(HostError):
        pool.session(Local())


def test_what_a_run_leaves(rig: Rig) -> None:
    rig.host(5).supervise("echo kept")
    until((rig.run_dir(5) / ".told").exists)
    rig.host(1).dismantle()
    assert rig.host(5).read("stdout") == b"kept\n"


def test_cleaning_spares_a_command_that_is_about_to_begin(rig: Rig) -> None:
    run_id = f"earlier-{rig.run_id}"
    rig.host(1, run_id=run_id).prepare()
    root = rig.home / ".nepiq" / run_id
    own = root / "1" / "5" / "1"
    own.mkdir(parents=True)
    # The supervisor answers, and then waits for somebody to open this.
    os.mkfifo(own / ".stdin")
    rig.host(5, run_id=run_id).supervise("exec sleep 60")
    rig.prepare(clean_home=True)
    assert own.exists()
    (own / ".stdin").write_text("")
    until((own / ".group").exists)
    rig.prepare(clean_home=True)
    assert own.exists()
