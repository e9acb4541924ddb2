"""States, actions, legal moves and milestones."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.errors import IllegalMove, InvalidValue
from nepiq.controller.model import Action, ResourceAction, ResourceState, State
from nepiq.controller.model.lifecycle import ENDED, IMPLIES, MOVES, advance, implied


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_states_have_no_order(compare: Callable[[object, object], bool]) -> None:
    with pytest.raises(TypeError, match=r"ec\.reached\(guid, state\)"):
        compare(State.FAILED, State.READY)
    with pytest.raises(TypeError):
        compare(State.FAILED, 3)


def test_values_are_what_is_stored() -> None:
    assert [state.value for state in State] == [state.name for state in State]
    assert [action.value for action in Action] == [action.name.lower() for action in Action]
    assert f"{Action.START} {State.READY}" == "start READY"


def test_nepi_names() -> None:
    assert ResourceState is State
    assert ResourceAction is Action


def test_parsing() -> None:
    assert State.parse("started") is State.parse("STARTED") is State.parse(State.STARTED)
    assert Action.parse("Start") is Action.parse(Action.START)
    with pytest.raises(InvalidValue, match=r"'RUNNING' is not a resource state .*STARTED"):
        State.parse("RUNNING")
    with pytest.raises(InvalidValue, match="not a resource action"):
        Action.parse("STARTED")


def test_a_life() -> None:
    state = State.NEW
    walk = [Action.DEPLOY, Action.START, Action.STOP, Action.START, Action.STOP, Action.RELEASE]
    for action in walk:
        state = advance(state, action)
    assert state is State.RELEASED
    assert advance(State.READY, Action.SET) is State.READY


def test_illegal_moves_say_where_they_are_legal() -> None:
    with pytest.raises(IllegalMove, match=r"cannot start in state NEW \(possible in READY, STOPP"):
        advance(State.NEW, Action.START)


@given(st.lists(st.sampled_from(Action)))
def test_released_is_the_end_and_failed_leads_only_there(actions: list[Action]) -> None:
    for action in actions:
        with pytest.raises(IllegalMove):
            advance(State.RELEASED, action)
        if action is not Action.RELEASE:
            with pytest.raises(IllegalMove):
                advance(State.FAILED, action)
    assert advance(State.FAILED, Action.RELEASE) is State.RELEASED


def test_every_state_can_be_released_and_only_deployed_ones_started() -> None:
    assert MOVES[Action.RELEASE].source == frozenset(State) - {State.RELEASED}
    assert MOVES[Action.START].source == {State.READY, State.STOPPED, State.FINISHED}


def test_each_state_implies_what_precedes_it() -> None:
    before_ready = {State.DISCOVERED, State.RESERVED, State.PROVISIONED}
    assert set(IMPLIES[State.READY]) == before_ready | {State.READY}
    assert set(IMPLIES[State.STARTED]) == {*IMPLIES[State.READY], State.STARTED}
    for ended in (State.STOPPED, State.FINISHED):
        assert set(IMPLIES[ended]) == {*IMPLIES[State.STARTED], State.STOPPED, State.FINISHED}
    assert set(IMPLIES[State.RELEASED]) == {*IMPLIES[State.FINISHED], State.RELEASED}
    assert set(IMPLIES) == set(State)
    assert {State.STOPPED, State.FINISHED, State.FAILED, State.RELEASED} == ENDED


def test_only_a_failure_that_is_not_critical_lets_others_go_on() -> None:
    assert implied(State.FAILED) == (State.FAILED,)
    assert {*IMPLIES[State.FINISHED], State.FAILED} == set(implied(State.FAILED, critical=False))
    assert State.RELEASED not in implied(State.FAILED, critical=False)
    assert State.FAILED not in implied(State.RELEASED)
