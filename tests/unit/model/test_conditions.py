"""Conditions that wait for each other."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.description.conditions import Condition, Gates, check_cycles
from nepiq.controller.errors import ConditionCycle
from nepiq.controller.model import Action, State

A, B, C = 1, 2, 3
START, STOP, DEPLOY = Action.START, Action.STOP, Action.DEPLOY


def name(guid: int) -> str:
    return "?abcdefgh"[guid]


def cycle_in(gates: Gates) -> str:
    """What the error says is waiting for what; empty if nothing is wrong."""
    try:
        check_cycles(gates, name)
    except ConditionCycle as error:
        return error.message.removeprefix("these wait for each other: ")
    return ""


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        (
            Gates([Condition(A, START, B, State.STARTED), Condition(B, START, A, State.STARTED)]),
            "a.start waits for b STARTED, b.start waits for a STARTED",
        ),
        (
            Gates([Condition(A, START, A, State.STARTED)]),
            "a.start waits for a STARTED",
        ),
        (
            Gates([Condition(A, DEPLOY, A, State.STARTED)]),
            "a.deploy waits for a STARTED, a.start waits for a READY",
        ),
        (
            Gates([Condition(A, START, A, State.FINISHED)]),
            "a.start waits for a FINISHED",
        ),
        (
            Gates([Condition(A, DEPLOY, B, State.STARTED)], groups={"1": [A, B]}),
            "a.deploy waits for b STARTED, b.start waits for group 1, group 1 waits for a READY",
        ),
        (
            Gates([Condition(B, DEPLOY, A, State.READY)], needs=[(A, B)]),
            "a.deploy waits for b READY, b.deploy waits for a READY",
        ),
        (
            Gates([Condition(A, START, B, State.STOPPED), Condition(B, START, A, State.STOPPED)]),
            "a.start waits for b STOPPED, b.start waits for a STOPPED",
        ),
        (
            Gates([Condition(A, STOP, A, State.STOPPED)]),
            "a.stop waits for a STOPPED",
        ),
        (
            Gates([Condition(A, STOP, B, State.STARTED), Condition(B, START, A, State.STOPPED)]),
            "a.stop waits for b STARTED, b.start waits for a STOPPED",
        ),
        (
            Gates(
                [
                    Condition(A, START, B, State.STARTED),
                    Condition(B, START, C, State.READY),
                    Condition(C, DEPLOY, A, State.STARTED),
                ]
            ),
            "a.start waits for b STARTED, b.start waits for c READY, c.deploy waits for a STARTED",
        ),
    ],
)
def test_circles_are_named(gates: Gates, expected: str) -> None:
    found = cycle_in(gates)
    pieces = expected.split(", ")
    turns = [", ".join(pieces[i:] + pieces[:i]) for i in range(len(pieces))]
    assert found in turns


@pytest.mark.parametrize(
    "gates",
    [
        Gates(),
        Gates([Condition(A, STOP, A, State.STARTED, 20.0)]),
        Gates([Condition(A, START, A, State.READY)]),
        Gates([Condition(A, START, B, State.STARTED), Condition(B, STOP, A, State.STARTED)]),
        Gates([Condition(A, START, B, State.STARTED), Condition(B, STOP, A, State.FINISHED)]),
        # Whichever ends first takes the other along.
        Gates([Condition(A, STOP, B, State.STOPPED), Condition(B, STOP, A, State.STOPPED)]),
        # Nobody waits in vain for a failure that may come.
        Gates([Condition(A, START, B, State.FAILED), Condition(B, START, A, State.RELEASED)]),
        Gates([Condition(A, DEPLOY, B, State.READY)], groups={"1": [A, B]}),
        Gates([Condition(A, DEPLOY, B, State.STARTED)], groups={"1": [A], "2": [B]}),
        # What has happened closes no circle.
        Gates(
            [Condition(A, START, B, State.STARTED), Condition(B, STOP, A, State.STARTED)],
            states={A: State.STARTED},
        ),
        Gates(
            [Condition(A, START, B, State.STARTED), Condition(B, START, A, State.STARTED)],
            states={A: State.FINISHED},
        ),
    ],
)
def test_these_can_open(gates: Gates) -> None:
    assert cycle_in(gates) == ""


# --- against a simulation that opens whatever can be opened

_GUIDS = st.integers(1, 5)
_CONDITIONS = st.lists(
    st.builds(
        Condition,
        guid=_GUIDS,
        action=st.sampled_from([DEPLOY, START, STOP]),
        target=_GUIDS,
        milestone=st.sampled_from([state for state in State if state is not State.NEW]),
    ),
    max_size=8,
)
_NEEDS = st.lists(st.tuples(_GUIDS, _GUIDS).filter(lambda pair: pair[0] > pair[1]), max_size=3)
_GROUPS = st.dictionaries(
    st.sampled_from(["x", "y"]), st.lists(_GUIDS, unique=True, min_size=1), max_size=2
)


def reachable(gates: Gates, never_ends: int = 0) -> set[tuple[int, str]]:
    """What can happen: resources end by themselves, but one of them only when it is stopped."""
    happened: set[tuple[int, str]] = set()

    def reached(target: int, milestone: State) -> bool:
        if milestone in (State.FAILED, State.RELEASED):
            return True
        if milestone in (State.STOPPED, State.FINISHED):
            return (target, "stop" if target == never_ends else "start") in happened
        return (target, "start" if milestone is State.STARTED else "deploy") in happened

    def possible(guid: int, action: Action) -> bool:
        before = {START: "deploy", STOP: "start"}.get(action)
        return (
            (before is None or (guid, before) in happened)
            and all(
                reached(c.target, c.milestone)
                for c in gates.conditions
                if (c.guid, c.action) == (guid, action)
            )
            and (
                action is not DEPLOY
                or all((peer, "deploy") in happened for one, peer in gates.needs if one == guid)
            )
            and (
                action is not START
                or all(
                    (member, "deploy") in happened
                    for members in gates.groups.values()
                    if guid in members
                    for member in members
                )
            )
        )

    while True:
        new = {
            (guid, str(action))
            for guid in range(1, 6)
            for action in (DEPLOY, START, STOP)
            if (guid, str(action)) not in happened and possible(guid, action)
        }
        if not new:
            return happened
        happened |= new


def opens_all(gates: Gates) -> bool:
    everything = {(guid, str(action)) for guid in range(1, 6) for action in (DEPLOY, START, STOP)}
    if reachable(gates) != everything:
        return False
    stopped = {c.guid for c in gates.conditions if c.action is STOP}
    return all((guid, "stop") in reachable(gates, guid) for guid in stopped)


@given(_CONDITIONS, _NEEDS, _GROUPS)
def test_agrees_with_a_simulation(
    conditions: list[Condition], needs: list[tuple[int, int]], groups: dict[str, list[int]]
) -> None:
    gates = Gates(conditions, needs, groups)
    assert (cycle_in(gates) == "") == opens_all(gates)


@given(_CONDITIONS, _NEEDS, _GROUPS)
def test_what_is_named_is_a_circle(
    conditions: list[Condition], needs: list[tuple[int, int]], groups: dict[str, list[int]]
) -> None:
    found = cycle_in(Gates(conditions, needs, groups))
    waits = [
        re.fullmatch(r"(\w\.\w+|group \w) waits for (\w|group \w)( \w+)?", text)
        for text in found.split(", ")
        if found
    ]
    for wait, after in zip(waits, waits[1:] + waits[:1], strict=True):
        assert wait is not None
        assert after is not None
        assert after[1].partition(".")[0] == wait[2], found


def least(function: Callable[[], object], rounds: int = 5) -> float:
    def once() -> float:
        began = time.process_time()
        function()
        return time.process_time() - began

    return min(once() for _ in range(rounds))


def test_the_time_grows_with_the_number_of_conditions() -> None:
    def gates(count: int) -> Gates:
        rnd = random.Random(1)
        later = [rnd.randrange(2, count // 2 + 1) for _ in range(count)]
        conditions = [Condition(g, START, rnd.randrange(1, g), State.STARTED) for g in later]
        return Gates(conditions, groups={"1": range(1, count // 2 + 1)})

    few, many = gates(1000), gates(10_000)
    # Ten times as many take about ten times as long, and not a hundred times.
    assert least(lambda: check_cycles(many)) < 30 * least(lambda: check_cycles(few))


def test_a_long_chain_needs_no_stack() -> None:
    chain = [Condition(g, START, g + 1, State.STARTED) for g in range(1, 20_000)]
    check_cycles(Gates(chain))
    with pytest.raises(ConditionCycle):
        check_cycles(Gates([*chain, Condition(20_000, START, 1, State.STARTED)]))
