"""Ending the processes of several resources at the same time, in one command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tests import processes
from tests.processes import alive

from nepiq.controller.errors import DeadlineError, FencedError, HostError
from nepiq.workers.hosts import Session

from .rig import Rig, until
from .sudoers import PASSWORD, RigOf

IGNORANT = "trap '' TERM; echo up; while :; do sleep 0.05; done"
# Ends once TERM has come to so many.
SOCIABLE = (
    "trap ': >$PWD.term; until set -- ../../*/*.term && [ $# -ge {count} ]; "
    "do sleep 0.02; done; exit 0' TERM; echo up; while :; do sleep 0.02; done"
)


class Counting:
    """A session that notes which verbs of the supervisor it was asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.verbs: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def execute(self, command: str, **how: object) -> object:
        """Note the verb, and run the command."""
        self.verbs += re.findall(r"supervisor\.sh\"? (\w+)", command)
        return self._session.execute(command, **how)  # type: ignore[arg-type]


def start(rig: Rig, guids: Iterable[int], command: str) -> None:
    for guid in guids:
        rig.host(guid).supervise(command)
        until((rig.run_dir(guid) / "stdout").read_text)


def ask(rig: Rig, *lines: str, turn: int = 3000, secret: str = "") -> dict[int, str]:
    """What the verb answers to each of these, by its number."""
    host = rig.host(1)
    stdin = "".join(f"{line}\n" for line in lines).encode()
    command = host.attempt.command("ends", turn, bearing=False, secret=secret.encode())
    done = rig.session.execute(
        command, stdin=secret.encode() + stdin, deadline=host.attempt.deadline
    )
    assert secret or done.stderr == b""  # sudo lectures
    answers = [line.partition(" ") for line in done.stdout.decode().splitlines()]
    assert len({number for number, _, _ in answers}) == len(answers) == len(lines)
    return {int(number): said for number, _, said in answers}


def outcomes(rig: Rig) -> dict[int, tuple[str, str]]:
    """Code and outcome by guid, from the journal."""
    return {int(line[2]): (line[4], line[5]) for line in rig.journal()}


def test_term_to_all_before_anybody_is_waited_for(rig: Rig) -> None:
    guids = range(5, 11)
    start(rig, guids, SOCIABLE.format(count=6))
    said = ask(rig, *(f"{guid} - {rig.token()} 3000 new" for guid in guids))
    assert set(said.values()) == {"ok"}
    assert rig.bearers() == {}
    assert outcomes(rig) == dict.fromkeys(guids, ("0", "STOPPED"))


def test_all_that_ignore_term_are_killed_at_once(rig: Rig) -> None:
    guids = range(5, 11)
    start(rig, guids, IGNORANT)
    said = ask(rig, *(f"{guid} 1 {rig.token()} 50 new" for guid in guids))
    assert set(said.values()) == {"ok"}
    assert rig.bearers() == {}
    assert outcomes(rig) == dict.fromkeys(guids, ("137", "STOPPED"))
    ends = [float(line[6]) for line in rig.journal()]
    assert max(ends) - min(ends) < 0.5 * len(guids)  # as many graces as one after the other


def test_each_has_its_own_grace(rig: Rig) -> None:
    start(rig, (5, 6), IGNORANT)
    token = rig.token()
    said = ask(rig, f"5 1 {token} 10 new", f"6 1 {token} 100000 new", turn=100)
    assert said[1] == "ok"
    assert re.fullmatch(r"left \d+ \d+", said[2])
    assert {name.split(".")[1] for name in rig.bearers().values()} == {"6"}
    _, end, groups = said[2].split()
    again = ask(rig, f"6 1 {token} {end} {groups}", turn=10)
    assert again == {1: said[2]}  # The moment stays, however often it is asked.
    assert ask(rig, f"6 1 {token} 1 {groups}") == {1: "ok"}


def test_an_occasion_and_all_of_a_resource(rig: Rig) -> None:
    for guid in (5, 6):
        for occasion in (1, 2):
            rig.host(guid, occasion).supervise("exec sleep 60")
        rig.host(guid).run("setsid sleep 60 >/dev/null 2>&1 &")
    rig.host(66).supervise("exec sleep 60")
    token = rig.token()
    assert ask(rig, f"5 1 {token} 500 new", f"6 - {token} 500 new") == {1: "ok", 2: "ok"}
    left = {name for name in rig.bearers().values() if "supervisor" not in name}
    assert left == {f"{rig.run_id}.{rest}" for rest in ("5", "5.2", "66.1")}


def test_who_is_refused_is_refused_alone(rig: Rig) -> None:
    start(rig, (5, 6, 7), "echo up; exec sleep 60")
    old = rig.token()
    rig.host(6).run("true")
    (rig.root() / "fence/8").mkdir()
    host = rig.host(1)
    lines = [f"{guid} - {old} 500 new" for guid in (5, 6, 8, 7)]
    done = rig.session.execute(
        host.attempt.command("ends", 500),
        stdin="\n".join([*lines, ""]).encode(),
        deadline=host.attempt.deadline,
    )
    said = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    assert said.pop("2").startswith("no 75 a newer attempt has acted")
    assert said == {"1": "ok", "3": "ok", "4": "ok"}  # What is no fence gives way.
    assert {name.split(".")[1] for name in rig.bearers().values()} == {"6"}


def test_a_directory_that_cannot_be_written_harms_no_other(rig: Rig) -> None:
    start(rig, (5, 6), "echo up; exec sleep 60")
    (rig.run_dir(5) / ".stop").mkdir()
    token = rig.token()
    host = rig.host(1)
    done = rig.session.execute(
        host.attempt.command("ends", 500),
        stdin=f"5 - {token} 500 new\n6 - {token} 500 new\n".encode(),
        deadline=host.attempt.deadline,
    )
    assert sorted(done.stdout.splitlines()) == [b"1 ok", b"2 ok"]
    assert rig.bearers() == {}


def test_who_is_superseded_while_it_waits_goes_no_further(rig: Rig) -> None:
    start(rig, (5,), IGNORANT)
    token = rig.token()
    (said,) = ask(rig, f"5 1 {token} 1000 new", turn=10).values()
    rig.host(5).run("true")
    (refused,) = ask(rig, f"5 1 {token} 1 -").values()
    assert said.startswith("left ")
    assert refused.startswith("no 75 a newer attempt has acted")
    assert rig.bearers()


def test_a_group_without_leader_and_name_is_not_forgotten(rig: Rig) -> None:
    """Its leader dies of TERM in the first turn, before the grace is over."""
    command = "env -i sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done'; :"
    rig.host(5).supervise(command)
    until((rig.run_dir(5) / "stdout").read_text)
    pid = int((rig.run_dir(5) / "stdout").read_text())
    leader = os.getpgid(pid)
    token = rig.token()
    (said,) = ask(rig, f"5 1 {token} 1000 new", turn=50).values()
    assert re.fullmatch(rf"left \d+ {leader}", said)
    assert not alive(leader)
    groups = said.split()[2]
    assert ask(rig, f"5 1 {token} 1 {groups}") == {1: "ok"}
    assert not alive(pid)


def test_a_group_whose_leader_dies_between_two_turns(rig: Rig) -> None:
    command = "trap 'read x <go; exit' TERM; mkfifo go; env -i sh -c '{}' & wait; wait"
    rig.host(5).supervise(command.format('trap "" TERM; echo $$; while :; do sleep 0.05; done'))
    until((rig.run_dir(5) / "stdout").read_text)
    pid = int((rig.run_dir(5) / "stdout").read_text())
    leader, token = os.getpgid(pid), rig.token()
    (said,) = ask(rig, f"5 1 {token} 10000 new", turn=50).values()
    assert alive(leader)
    (rig.run_dir(5) / "go").write_text("\n")
    until(lambda: not alive(leader))
    _, end, groups = said.split()
    (said,) = ask(rig, f"5 1 {token} {end} {groups}", turn=10).values()
    assert said == f"left {end} {leader}"
    assert ask(rig, f"5 1 {token} 1 {groups}") == {1: "ok"}
    assert not alive(pid)


def test_what_takes_longer_than_a_turn(rig: Rig) -> None:
    session = rig.session = Counting(rig.session)  # type: ignore[assignment]
    start(rig, (5,), "trap 'echo term' TERM; echo up; while :; do sleep 0.02; done")
    rig.host(5).end(grace=1.5)
    assert (rig.run_dir(5) / "stdout").read_text() == "up\nterm\n"
    assert outcomes(rig) == {5: ("137", "STOPPED")}
    assert 2 <= session.verbs.count("ends") <= 4  # type: ignore[attr-defined]


def test_many_ends_in_few_commands(rig: Rig) -> None:
    """The first goes at once; it does not end before all others have got TERM."""
    guids = range(5, 25)
    start(rig, guids, SOCIABLE.format(count=20))
    session = rig.session = Counting(rig.session)  # type: ignore[assignment]
    with ThreadPoolExecutor(len(guids)) as threads:
        list(threads.map(lambda guid: rig.host(guid).end(grace=25), guids))
    assert outcomes(rig) == dict.fromkeys(guids, ("0", "STOPPED"))
    assert 0 < session.verbs.count("ends") < len(guids)  # type: ignore[attr-defined]


def test_who_gives_up_leaves_the_others_their_end(rig: Rig) -> None:
    start(rig, (5, 6, 7), IGNORANT)
    cancel = threading.Event()
    with ThreadPoolExecutor(3) as threads:
        late = threads.submit(rig.host(5, timeout=1.2).end, grace=60)
        stays = threads.submit(rig.host(6).end, grace=3)
        unwanted = threads.submit(rig.host(7, cancel=cancel).end, grace=60)
        cancel.set()
        with pytest.raises(DeadlineError):
            late.result()
        assert unwanted.exception() is not None
        stays.result()
    assert outcomes(rig) == {6: ("137", "STOPPED")}


def test_the_command_is_killed(rig: Rig) -> None:
    """Whoever did it need not have meant each of those that it was about."""
    start(rig, (5,), IGNORANT)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(rig.host(5).end, grace=1)
        killed = kill_once(rig, ending)
        ending.result()
    assert killed
    assert rig.bearers() == {}
    start(rig, (6,), IGNORANT)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(rig.host(6).end, grace=60)
        while kill_once(rig, ending):
            pass
        with pytest.raises(HostError, match="broke off without an answer"):
            ending.result()


def kill_once(rig: Rig, ending: Future[None]) -> bool:
    """Kill -9 the next shell that ends processes of this rig; False if there comes none."""
    while not ending.done():
        for pid in processes.pids():
            words = processes.words(pid)
            if b"ends" in words and any(str(rig.root()).encode() in word for word in words):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
                    return True
        time.sleep(0.005)  # it has a grace, which is longer
    return False


# --- as root


@pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")
def test_what_is_roots_goes_with_the_others(rig_of: RigOf, password_file: str) -> None:
    rig = rig_of("nepiq-asked", password=password_file)
    for guid in (5, 6):
        rig.host(guid).supervise(SOCIABLE.format(count=4), sudo=True)
    for guid in (7, 8):
        rig.host(guid).supervise(SOCIABLE.format(count=4))
    for guid in range(5, 9):
        until((rig.run_dir(guid) / "stdout").read_text)
    lines = [f"{guid} - {rig.token()} 2000 new" for guid in range(5, 9)]
    assert set(ask(rig, *lines, secret=PASSWORD + "\n").values()) == {"ok"}
    assert rig.bearers() == {}
    assert outcomes(rig) == dict.fromkeys(range(5, 9), ("0", "STOPPED"))


@pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")
def test_where_sudo_refuses_the_others_are_ended(rig_of: RigOf, password_file: str) -> None:
    rig = rig_of("nepiq-asked", password=password_file)
    rig.host(5).supervise("echo up; exec sleep 60", sudo=True)
    rig.host(6).supervise("echo up; exec sleep 60")
    for guid in (5, 6):  # what sudo has not begun by then does not begin
        until((rig.run_dir(guid) / "stdout").read_text)
    token = rig.token()
    said = ask(rig, f"5 - {token} 500 new", f"6 - {token} 500 new")
    assert said[1].startswith("no 77 sudo asks for a password on ")
    assert said[2] == "ok"
    assert {name.split(".")[1] for name in rig.bearers().values()} == {"5"}


def test_after_the_release_of_the_node(rig: Rig) -> None:
    rig.host(1).dismantle()
    with pytest.raises(FencedError, match="the run has ended here"):
        rig.host(5).end()


@pytest.mark.needs("sudo", "unshare", "nsenter", "setpriv", "mount")
def test_directories_without_the_right_to_write_are_removed(rig_of: RigOf) -> None:
    """As root one may; a user must change their mode first."""
    rig = rig_of("nepiq-barred")
    for guid in (5, 6):
        rig.host(guid).supervise("mkdir -p a/b; echo x >a/b/f; chmod 500 a/b a")
        until((rig.run_dir(guid) / ".told").exists)
    rig.host(1).dismantle(remove=True)
    assert not rig.root().exists()
