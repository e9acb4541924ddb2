"""The harness and the fake host themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nepiq.controller.errors import (
    CommandError,
    DeadlineError,
    FencedError,
    FileMissing,
    IllegalMove,
    InvalidValue,
    NoHostError,
    NotAllowed,
    UnknownAttribute,
    UnknownType,
)
from nepiq.controller.model import (
    Action,
    Attribute,
    Connection,
    Context,
    Flag,
    Host,
    Later,
    ResourceManager,
    Result,
    Retry,
    State,
)
from nepiq.controller.testing import Call, FakeChannel, FakeClock, FakeHost, Harness


class Probe(ResourceManager, rtype="test.testing::Probe"):
    """Answers what the fake host says."""

    tries = Attribute(int, 0, help="Rounds of deployment.")
    found = Attribute(str, help="What was found.", flags=Flag.NO_WRITE)
    mode = Attribute(str, help="A mode.", flags=Flag.DESIGN)
    node = Connection("linux::Node", required=True)
    friends = Connection("test.testing::Probe", many=True)
    retries = {"do_start": Retry(1, "2s")}
    deadlines = {Action.DEPLOY: 10.0}

    def do_discover(self, context: Context) -> None:
        self.found = context.host.run("look").text

    def do_deploy(self, context: Context) -> Later | None:
        self.tries += 1
        return None if context.host.run("ready", check=False).code == 0 else Later("4s")

    def do_start(self, context: Context) -> None:
        context.host.run("start")

    def do_set(self, context: Context, name: str, value: Any) -> None:
        context.host.run(f"set {name} {value}")

    def do_release(self, context: Context) -> None:
        context.host.run("undo")


class Lonely(ResourceManager, rtype="test.testing::Lonely"):
    def do_start(self, context: Context) -> None:
        context.host.run("true")


@pytest.fixture
def probe() -> Harness[Probe]:
    return Harness(Probe, node=Harness("linux::Node"))


def test_peers_are_deployed_first_on_one_host(probe: Harness[Probe]) -> None:
    probe.deploy()
    assert [call.verb for call in probe.host.calls] == ["prepare", "run", "run"]
    assert probe.rm.node.cpus == 2
    assert probe.milestones.keys() >= {State.DISCOVERED, State.READY}


def test_later_moves_the_clock_and_keeps_what_the_round_assigned(probe: Harness[Probe]) -> None:
    probe.host.answer("ready", 1, 0)
    probe.host.answer("look", "here")
    probe.deploy()
    assert probe.milestones[State.DISCOVERED] == 0.0
    assert probe.milestones[State.READY] == 4.0
    assert probe.host.commands == ["look", "ready", "ready"]
    assert (probe.rm.tries, probe.rm.found) == (2, "here")


def test_the_deadline_counts_over_all_rounds(probe: Harness[Probe]) -> None:
    probe.host.answer("ready", 1)
    with pytest.raises(DeadlineError):
        probe.deploy()
    assert probe.host.commands.count("ready") == 3
    assert probe.state is State.FAILED


def test_retries(probe: Harness[Probe]) -> None:
    probe.host.answer("start", CommandError("start", 1), "")
    probe.deploy()
    probe.start()
    assert probe.milestones[State.STARTED] == 2.0


def test_setting_before_and_after_deployment(probe: Harness[Probe]) -> None:
    probe.set("mode", "fast")
    assert probe.rm.mode == "fast"
    probe.deploy()
    probe.set("tries", 7)
    assert probe.host.commands[-1] == "set tries 7"
    assert probe.rm.tries == 7
    with pytest.raises(NotAllowed):
        probe.set("mode", "slow")
    with pytest.raises(InvalidValue):
        probe.set("tries", "many")
    with pytest.raises(UnknownAttribute):
        probe.set("tires", 1)
    probe.host.answer("set", 1)
    with pytest.raises(CommandError):
        probe.set("tries", 8)
    assert (probe.rm.tries, probe.state) == (7, State.READY)


def test_release_goes_on_past_errors(probe: Harness[Probe]) -> None:
    probe.host.answer("undo", 1)
    probe.deploy()
    probe.release()
    assert probe.state is State.RELEASED
    assert isinstance(probe.errors[0], CommandError)


def test_illegal_moves(probe: Harness[Probe]) -> None:
    with pytest.raises(IllegalMove):
        probe.start()
    probe.deploy()
    with pytest.raises(IllegalMove):
        probe.deploy()


def test_a_fence_leaves_the_state_alone(probe: Harness[Probe]) -> None:
    probe.deploy()
    probe.host.fenced = True
    with pytest.raises(FencedError):
        probe.start()
    assert probe.state is State.READY


def test_without_a_host() -> None:
    lonely = Harness(Lonely)
    lonely.deploy()
    with pytest.raises(NoHostError):
        lonely.start()


def test_a_failure_that_is_not_critical_reaches_every_milestone() -> None:
    lonely = Harness(Lonely, critical=False)
    lonely.deploy()
    with pytest.raises(NoHostError):
        lonely.start()
    assert {State.STARTED, State.FINISHED, State.FAILED} <= lonely.milestones.keys()


def test_odd_harnesses() -> None:
    node = Harness("linux::Node")
    with pytest.raises(InvalidValue, match="missing: node"):
        Harness(Probe)
    with pytest.raises(UnknownAttribute):
        Harness(Probe, node=node, moed="x")
    with pytest.raises(NotAllowed, match=r"'node' does not accept test.testing::Lonely"):
        Harness(Probe, node=Harness(Lonely))
    with pytest.raises(UnknownType):
        Harness("test.testing::Prob")


def test_several_peers() -> None:
    node = Harness("linux::Node")
    friends = [Harness(Probe, node=node, label=name) for name in ("x", "y")]
    probe = Harness(Probe, node=node, friends=friends)
    assert [friend.label for friend in probe.rm.friends] == ["x", "y"]
    assert probe.host is friends[0].host is node.host


# --- the fake host


def test_it_is_a_host() -> None:
    host: Host = FakeHost()
    assert host.run("true") == Result(0)
    assert isinstance(host.open("x"), FakeChannel)


@pytest.mark.parametrize(
    ("answer", "code", "stdout"),
    [
        (Result(3, b"x"), 3, b"x"),
        ("text", 0, b"text"),
        (b"\xff", 0, b"\xff"),
        (7, 7, b""),
        (lambda call: f"ran {call.command}", 0, b"ran do it"),
    ],
)
def test_answers(answer: Any, code: int, stdout: bytes) -> None:
    host = FakeHost()
    host.answer("do", answer)
    result = host.run("do it", check=False)
    assert (result.code, result.stdout) == (code, stdout)


def test_the_answer_given_last_counts() -> None:
    host = FakeHost()
    host.answer("tc", "first")
    host.answer("tc qdisc", "second")
    assert host.run("tc qdisc show").text == "second"
    assert host.run("tc link").text == "first"


def test_calls_are_remembered() -> None:
    host = FakeHost()
    host.run("cat", stdin=b"x", env={"A": "1"}, mutates=False)
    assert host.calls == [
        Call(
            "run",
            "cat",
            b"x",
            {"A": "1"},
            {"cwd": None, "timeout": None, "mutates": False, "sudo": False},
        )
    ]


def test_files(tmp_path: Path) -> None:
    host = FakeHost()
    host.write("a/b", b"0123456789")
    assert host.read("a/b", offset=2, length=3) == b"234"
    assert host.read(f"{host.run_dir}/a/b", offset=8) == b"89"
    (tmp_path / "in").write_bytes(b"real")
    host.put(str(tmp_path / "in"), "/etc/x")
    host.get("/etc/x", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"real"
    assert host.listdir() == ["a"]
    assert host.listdir("/etc") == ["x"]
    with pytest.raises(FileMissing, match="/a/c"):
        host.read("a/c")


def test_a_fenced_host_may_be_looked_at() -> None:
    host = FakeHost()
    host.write("x", b"1")
    host.fenced = True
    for change in (
        lambda: host.run("x"),
        lambda: host.supervise("x"),
        lambda: host.write("x", b""),
        host.end,
        host.clear,
        host.prepare,
    ):
        with pytest.raises(FencedError):
            change()
    assert host.read("x") == b"1"
    assert host.run("x", mutates=False).code == 0


def test_a_second_launch_adopts_the_first() -> None:
    clock = FakeClock()
    host = FakeHost(clock=clock)
    assert not host.supervise("serve").adopted
    clock.advance(3)
    again = host.supervise("serve")
    assert (again.adopted, again.age, again.exit) == (True, 3.0, None)
    host.exit(0)
    assert host.supervise("serve").exit is not None
    with pytest.raises(KeyError):
        FakeHost().exit(0)


def test_a_process_that_was_ended() -> None:
    host = FakeHost()
    host.supervise("serve")
    host.end()
    ended = host.supervise("serve").exit
    assert ended is not None
    assert (ended.code, ended.outcome) == (143, "STOPPED")


def test_programs() -> None:
    host = FakeHost()
    host.program("echo", lambda line: [line.upper(), b"ok"])
    channel = host.open("echo server")
    channel.send(b"hello")
    assert list(channel.lines()) == [b"HELLO", b"ok"]
    channel.send(b"again")
    channel.close()
    assert list(channel.lines()) == []
    assert (channel.sent, channel.closed) == ([b"hello", b"again"], True)


def test_the_clock_calls_what_is_due() -> None:
    clock = FakeClock()
    seen: list[float] = []
    clock.at(2.0, lambda: seen.append(clock()))
    clock.at(1.0, lambda: seen.append(clock()))
    clock.advance(1.5)
    assert seen == [1.0]
    clock.advance(1.5)
    assert (seen, clock()) == ([1.0, 2.0], 3.0)
