"""Acting as root where another user is logged in."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

import pytest
from tests.conftest import Need
from tests.processes import alive

from nepiq.controller.errors import CommandError, StartTimeout
from nepiq.controller.model import Change
from nepiq.controller.model.host import Exit
from nepiq.workers.hosts import LocalSession

from .rig import Rig, until
from .sudoers import PASSWORD, RigOf, Sudoers, without_sudo

pytestmark = pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")


@pytest.fixture(params=["nepiq-free", "nepiq-asked"])
def sudo_rig(request: pytest.FixtureRequest, rig_of: RigOf, password_file: str) -> Rig:
    """Without a password that anybody asks for, and with one."""
    return rig_of(request.param, password=password_file)


def ended(rig: Rig, guid: int = 5) -> Exit:
    until((rig.run_dir(guid) / ".told").exists)
    launch = rig.host(guid).supervise("touch again", sudo=True)
    assert launch.exit is not None
    return launch.exit


def printed(rig: Rig, guid: int = 5) -> list[str]:
    """The words that a command has written, once it has."""
    until(lambda: (rig.run_dir(guid) / "stdout").read_text().endswith("\n"))
    return (rig.run_dir(guid) / "stdout").read_text().split()


# --- configuration


@pytest.mark.needs("ip")
def test_a_resource_that_is_configured_may_run_commands_too(sudo_rig: Rig) -> None:
    link = f"nqt{secrets.token_hex(3)}"
    sudo_rig.host(5).configure([Change(f"link add {link} type bridge", f"link del {link}")])
    user = sudo_rig.home.stat().st_uid
    assert sudo_rig.host(5).run("id -u").text == str(user)
    sudo_rig.host(5).configure([Change(f"link set {link} up")], anew=False)
    sudo_rig.host(5).unconfigure()
    assert not Path("/sys/class/net", link).exists()
    # The user can remove all of it.
    made = [path for path in sudo_rig.root().glob("*") if path.is_dir()]
    assert {path.stat().st_uid for path in made} == {user}
    sudo_rig.host(1).dismantle(remove=True)
    assert not sudo_rig.root().exists()


# --- commands that are waited for


def test_run(sudo_rig: Rig) -> None:
    host = sudo_rig.host(5)
    assert host.run("id -u").text == str(sudo_rig.home.stat().st_uid)
    done = host.run("id -un; echo err >&2", sudo=True)
    assert (done.code, done.text) == (0, "root")
    assert done.stderr.endswith(b"err\n")
    assert host.run("echo $A; pwd", sudo=True, env={"A": "1"}, cwd="/usr").text == "1\n/usr"
    assert host.run("id -un", sudo=True, mutates=False).text == "root"


@pytest.mark.parametrize("mutates", [True, False])
def test_run_hands_on_all_bytes(sudo_rig: Rig, mutates: bool) -> None:
    """Also lines that look like what comes before them."""
    data = b"\n\n" + PASSWORD.encode() + b"\n" + bytes(range(256)) * 2000
    host = sudo_rig.host(5)
    assert host.run("exec cat", stdin=data, sudo=True, mutates=mutates).stdout == data
    long = "cat #" + "x" * 150_000
    assert host.run(long, stdin=data, sudo=True, mutates=mutates).stdout == data
    assert host.run("cat", sudo=True, mutates=mutates).stdout == b""


def test_run_tells_how_it_ended(sudo_rig: Rig) -> None:
    host = sudo_rig.host(5)
    with pytest.raises(CommandError, match="3"):
        host.run("exit 3", sudo=True)
    assert host.run("kill -KILL $$", sudo=True, check=False).code == 137
    assert host.run("kill -TERM $$", sudo=True, check=False).code == 143


def test_what_run_leaves_is_ended(sudo_rig: Rig) -> None:
    for guid in (5, 6):
        sudo_rig.host(guid).run("setsid sleep 60 >/dev/null 2>&1 &", sudo=True)
    sudo_rig.host(5).clear()
    assert {name.split(".")[1] for name in sudo_rig.bearers().values()} == {"6"}
    sudo_rig.host(1).dismantle()
    assert sudo_rig.bearers() == {}


def test_run_can_be_given_up_by_its_user(sudo_rig: Rig) -> None:
    """Who may kill nothing of root's, but must not wait for it either. The release ends it."""
    user, note = sudo_rig.home.stat().st_uid, sudo_rig.home / "note"
    command = f"echo $$ >{quote(f'{note}.t')} && mv {quote(f'{note}.t')} {quote(str(note))}; wait"
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(sudo_rig.host(5).run, f"sleep 60 & {command}", sudo=True)
        until(note.exists)
        pid = int(note.read_text())
        shell = os.getsid(pid)
        kill = f"kill -s KILL -- -{os.getpgid(pid)}"
        subprocess.run(
            ["setpriv", f"--reuid={user}", "--clear-groups", "sh", "-c", kill], check=True
        )
        until(lambda: not alive(shell))
        assert alive(pid)
        sudo_rig.host(5).clear()
        assert not alive(pid)
        with pytest.raises(CommandError, match="137"):
            run.result()


# --- supervised commands


def test_launch(sudo_rig: Rig) -> None:
    data = bytes(range(256)) * 2000
    sudo_rig.host(5).supervise(
        "id -u; echo $A $NEPIQ_ID; pwd; cksum; echo err >&2; exit 3",
        sudo=True,
        stdin=data,
        env={"A": "a b"},
    )
    done = ended(sudo_rig)
    sums = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
    words = f"0\na b {sudo_rig.run_id}.5.1\n{sudo_rig.run_dir(5)}\n{sums.stdout.decode()}"
    assert done.outputs == {"stdout": words.encode(), "stderr": b"err\n"}
    assert (done.code, done.outcome) == (3, "FAILED")
    assert sudo_rig.host(5).listdir() == ["stderr", "stdout"]
    assert sudo_rig.run_dir(5).joinpath("stdout").stat().st_uid == sudo_rig.home.stat().st_uid


def test_a_launch_without_input_reads_nothing(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise("wc -c; readlink /proc/self/fd/0", sudo=True)
    assert ended(sudo_rig).outputs["stdout"] == b"0\n/dev/null\n"


def test_a_launch_that_dies_of_a_signal(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise("kill -KILL $$", sudo=True)
    done = ended(sudo_rig)
    assert (done.code, done.outcome, done.outputs["stderr"]) == (137, "FAILED", b"")


def test_a_burst(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise("head -c 20000000 /dev/zero | tr '\\0' x; echo >&2", sudo=True)
    assert ended(sudo_rig).outcome == "FINISHED"
    content = sudo_rig.run_dir(5).joinpath("stdout").read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(b"x" * 20_000_000).digest()


def test_stop(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise(
        "trap 'echo term' TERM; echo $$; n=0; while [ $n -lt 20 ]; do sleep 0.02; n=$((n+1)); done",
        sudo=True,
    )
    printed(sudo_rig)
    sudo_rig.host(5).end()
    assert sudo_rig.bearers() == {}
    done = ended(sudo_rig)
    assert (done.code, done.outcome) == (0, "STOPPED")
    assert done.outputs["stdout"].split()[1:] == [b"term"]


def test_stop_ends_all_of_it(sudo_rig: Rig) -> None:
    """A child in a session of its own, one without our name, and one that ignores TERM."""
    sudo_rig.host(5).supervise(
        "setsid sleep 60 & env -i /bin/sleep 60 & trap '' TERM; sleep 60 & echo $$; wait",
        sudo=True,
    )
    (pid,) = (int(word) for word in printed(sudo_rig))
    until(lambda: len(group(pid)) == 3)
    sudo_rig.host(5).end(grace=0.3)
    assert sudo_rig.bearers() == {}
    assert not any(alive(member) for member in group(pid))
    assert (ended(sudo_rig).code, ended(sudo_rig).outcome) == (137, "STOPPED")


def group(leader: int) -> list[int]:
    listing = subprocess.run(
        ["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return [int(pid) for pid, pgid, state in rows if int(pgid) == leader and state[0] != "Z"]


def test_end_right_after_the_launch(sudo_rig: Rig) -> None:
    for guid in range(5, 10):
        sudo_rig.host(guid).supervise("echo up; exec sleep 60", sudo=True)
        sudo_rig.host(guid).end()
        assert ended(sudo_rig, guid).outcome == "STOPPED"
    assert sudo_rig.bearers() == {}


def test_adoption(sudo_rig: Rig) -> None:
    first = sudo_rig.host(5).supervise("echo $$; exec sleep 60", sudo=True)
    second = sudo_rig.host(5).supervise("echo $$; exec sleep 60", sudo=True)
    assert (first.adopted, second.adopted) == (False, True)
    assert second.exit is None
    assert len(printed(sudo_rig)) == 1


def test_a_lost_supervisor(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise("setsid sleep 60 & echo up; exec sleep 60", sudo=True)
    printed(sudo_rig)
    pid = sudo_rig.supervisors()[0]
    os.kill(pid, 9)
    until(lambda: pid not in sudo_rig.supervisors())
    launch = sudo_rig.host(5).supervise("touch again", sudo=True)
    assert launch.exit is not None
    assert (launch.exit.code, launch.exit.outcome) == (None, "FAILED")
    assert "supervisor" in launch.exit.reason
    until(lambda: sudo_rig.bearers() == {})


def test_end_without_a_supervisor(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise("echo up; exec sleep 60", sudo=True)
    printed(sudo_rig)
    os.kill(sudo_rig.supervisors()[0], 9)
    sudo_rig.host(5).end()
    until(lambda: sudo_rig.bearers() == {})
    assert ended(sudo_rig).outcome == "STOPPED"


def test_serving(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise(
        "sleep 0.2; echo up; exec sleep 60", sudo=True, started_when="output:^up$"
    )
    assert sudo_rig.run_dir(5).joinpath("stdout").read_text() == "up\n"
    with pytest.raises(StartTimeout):
        sudo_rig.host(6).supervise(
            "exec sleep 60", sudo=True, started_when="file:never", start_timeout=0.3
        )
    assert {name.split(".")[1] for name in sudo_rig.bearers().values()} == {"5"}


def test_release_ends_and_removes_what_is_roots(sudo_rig: Rig) -> None:
    sudo_rig.host(5).supervise(
        "mkdir -m 700 own && echo x >own/file; setsid sleep 60 & echo up; exec sleep 60", sudo=True
    )
    printed(sudo_rig)
    sudo_rig.host(1).dismantle(remove=True)
    assert sudo_rig.bearers() == {}
    assert not sudo_rig.root().exists()


def test_cleaning(sudo_rig: Rig) -> None:
    run_id = f"earlier-{sudo_rig.run_id}"
    sudo_rig.host(1, run_id=run_id).prepare()
    sudo_rig.host(5, run_id=run_id).supervise(
        "mkdir -m 700 own && echo x >own/file; exec sleep 60", sudo=True
    )
    kept = sudo_rig.home / ".nepiq" / run_id
    until((kept / "1/5/1/own/file").exists)
    sudo_rig.prepare(clean_experiment=True)
    assert kept.exists()
    assert sudo_rig.bearers(run_id)
    sudo_rig.prepare(clean_experiment=True, clean_processes=True)
    assert sudo_rig.bearers(run_id) == {}
    assert not kept.exists()


def test_others_are_left_alone(sudo_rig: Rig) -> None:
    bystander = subprocess.Popen(["sleep", "60"], env={**os.environ, "NEPIQ_ID": "other.5.1"})
    try:
        sudo_rig.host(5).supervise("exec sleep 60", sudo=True)
        sudo_rig.host(6).supervise("exec sleep 60")
        sudo_rig.host(5).end()
        assert {name.split(".")[1] for name in sudo_rig.bearers().values()} == {"6"}
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_with_another_shell(
    rig_of: RigOf, sudoers: Sudoers, password_file: str, need: Need
) -> None:
    bash = shutil.which("bash")
    need("bash", bash)
    tools = sudoers.folder / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(str(bash))
    rig = rig_of("nepiq-asked", password=password_file, path=f"{tools}:{os.environ['PATH']}")
    assert rig.host(5).run("cat", stdin=b"a\nb", sudo=True).stdout == b"a\nb"
    rig.host(6).supervise("id -u; exec sleep 60", sudo=True, started_when="output:^0$")
    rig.host(6).end()
    assert ended(rig, 6).outcome == "STOPPED"


def test_a_login_user_who_is_root(rig: Rig, tmp_path: Path) -> None:
    """Needs no sudo."""
    rig.session = LocalSession(home=rig.session.home, env={"PATH": without_sudo(tmp_path)})
    assert rig.host(5).run("id -u; cat", stdin=b"x", sudo=True).stdout == b"0\nx"
    rig.host(6).supervise("id -u; exec sleep 60", sudo=True, started_when="output:^0$")
    rig.host(6).end()
    assert ended(rig, 6).outcome == "STOPPED"
