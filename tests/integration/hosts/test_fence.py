"""Who may act on a host."""

from __future__ import annotations

import threading

import pytest

from nepiq.controller.errors import FencedError, InvalidValue
from nepiq.controller.model.host import Host
from nepiq.workers.hosts import Attempt

from .rig import Rig, until


def test_it_is_a_host(rig: Rig) -> None:
    host: Host = rig.host(5)
    assert host.run("echo yes").text == "yes"


def test_an_older_token_is_refused(rig: Rig) -> None:
    older, newer = rig.host(5), rig.host(5)
    older.run("true")
    newer.run("true")
    newer.run("true")
    for act in (
        lambda: older.run("touch ran"),
        lambda: older.supervise("touch ran"),
        lambda: older.write("ran", b""),
        lambda: older.open("touch ran"),
        older.end,
        older.clear,
    ):
        with pytest.raises(FencedError, match=r"app-5: a newer attempt has acted"):
            act()
    assert not rig.run_dir(5).exists()
    assert older.run("echo looked", mutates=False).text == "looked"


def test_the_fence_is_of_one_resource(rig: Rig) -> None:
    older = rig.host(5)
    rig.host(6).run("true")
    rig.host(55).run("true")
    assert older.run("echo acted").text == "acted"
    with pytest.raises(FencedError):  # it did have a fence of its own
        rig.host(5, token=1).run("true")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (9, 10),
        (99, 100),
        (8, 9),
        (999_999_999_999_999, 1_000_000_000_000_000),
        (9_999_999_999_999_998, 9_999_999_999_999_999),
    ],
)
def test_tokens_are_numbers(rig: Rig, older: int, newer: int) -> None:
    rig.host(5, token=older).run("true")
    rig.host(5, token=newer).run("true")
    with pytest.raises(FencedError):
        rig.host(5, token=older).run("true")


def test_refused_after_the_end(rig: Rig) -> None:
    before = rig.host(5)
    before.run("true")
    rig.host(1).dismantle()
    for act in (before.clear, before.end, lambda: before.supervise("touch ran"), rig.prepare):
        with pytest.raises(FencedError, match="the run has ended here"):
            act()
    rig.host(1).dismantle(remove=True)
    assert not rig.root().exists()
    with pytest.raises(FencedError, match="gone"):
        before.run("true")
    with pytest.raises(FencedError, match="the run has ended here"):
        rig.prepare()
    assert not rig.root().exists()


def test_only_deploy_makes_the_directory(rig: Rig) -> None:
    with pytest.raises(FencedError, match="gone"):
        rig.host(5, node=2).write("file", b"")
    assert not rig.root(2).exists()


def test_a_command_may_exit_as_the_fence_does(rig: Rig) -> None:
    assert rig.host(5).run("echo out; exit 75", check=False).code == 75
    assert rig.host(5).run("echo 'no 75 it is mine'").text == "no 75 it is mine"


def test_a_build_that_had_passed_is_ended_by_clear(rig: Rig) -> None:
    building, begun = rig.host(5), rig.root() / "begun"
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(building.run(f"touch '{begun}'; sleep 60", check=False).code)
    )
    thread.start()
    until(begun.exists)
    rig.host(5).clear()
    thread.join(10)
    assert codes == [143]
    assert rig.bearers() == {}


@pytest.mark.parametrize("run_id", ["", "a/b", "..", ".x", "a b", "ended", "a.1", "-x", "a\n"])
def test_run_ids_that_cannot_be_used(rig: Rig, run_id: str) -> None:
    with pytest.raises(InvalidValue):
        Attempt(
            rig.session,
            run_id=run_id,
            exp_id="e",
            node=1,
            guid=5,
            occasion=1,
            token=1,
            deadline=rig.host(5).attempt.deadline,
        )
