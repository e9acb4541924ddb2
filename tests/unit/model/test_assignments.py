"""Attributes of described resources."""

from __future__ import annotations

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.errors import InvalidValue, NotAllowed, UnknownAttribute
from nepiq.controller.model import Action

START, STOP = Action.START, Action.STOP


@pytest.fixture
def d() -> Description:
    return Description("test")


def test_get_and_set(d: Description) -> None:
    app = d.add("linux::Application", command="ls", startTimeout="1m")
    assert d.get(app, "command") == "ls"
    assert d.get(app, "startTimeout") == "1m"
    assert d.get(app, "stdin") == ""
    assert d.set(app, "stdin", "x") == "x"
    assert d.spec(app).attributes == {"command": "ls", "startTimeout": "1m", "stdin": "x"}
    d.set(app, "startTimeout", None)
    d.set(app, "stdin", "")
    assert d.spec(app).attributes == {"command": "ls"}
    with pytest.raises(UnknownAttribute):
        d.get(app, "comand")
    with pytest.raises(InvalidValue):
        d.set(app, "critical", "yes")


def test_flags_are_enforced(d: Description) -> None:
    app, switch = d.add("linux::Application"), d.add("test.description::Switch")
    assert d.checked(app, "hardRelease", True, deployed=True) is True
    assert d.get(app, "hardRelease") is False
    d.set(app, "hardRelease", True, deployed=True)
    with pytest.raises(NotAllowed, match=r"application-1: attribute 'command' .* before deploy"):
        d.set(app, "command", "ls", deployed=True)
    with pytest.raises(NotAllowed):
        d.set(app, "exitCode", 1)
    with pytest.raises(NotAllowed, match="cannot be read"):
        d.get(switch, "secret")
    with pytest.raises(NotAllowed, match="set_global"):
        d.set(switch, "region", "us")


def test_globals_hold_for_later_resources(d: Description) -> None:
    before = d.add("linux::Application")
    d.set_global("LinuxApplication", "okExitCodes", "any")
    after, own = d.add("linux::Application"), d.add("linux::Application", okExitCodes=0)
    assert [d.get(guid, "okExitCodes") for guid in (before, after, own)] == [0, "any", 0]
    assert d.get_global("linux::Application", "okExitCodes") == "any"
    assert d.get_global("linux::Application", "stdin") == ""
    d.set_global("test.description::Switch", "region", "us")
    assert d.get(d.add("test.description::Switch"), "region") == "us"
    with pytest.raises(InvalidValue):
        d.set_global("linux::Application", "okExitCodes", 1000)
    with pytest.raises(UnknownAttribute):
        d.set_global("linux::Application", "codes", 1)


def test_globals_are_this_experiments(d: Description) -> None:
    d.set_global("linux::Application", "okExitCodes", "any")
    other = Description("other")
    assert other.get(other.add("linux::Application"), "okExitCodes") == 0
