"""Attributes: kinds, limits, flags."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.errors import InvalidValue, NotAllowed
from nepiq.controller.model import (
    AbsolutePath,
    Attribute,
    Duration,
    Environment,
    ExitCodes,
    Flag,
    Name,
    Readiness,
    ResourceManager,
    SecretReference,
)


class Sample(ResourceManager, rtype="test.attributes::Sample"):
    text = Attribute(str, help="Text.")
    count = Attribute(int, help="A number.")
    level = Attribute(int, 3, help="A level.", range=(1, 5))
    share = Attribute(float, 0.5, help="A share.", range=(0, None))
    on = Attribute(bool, help="A switch.")
    cipher = Attribute(str, "AES", help="A cipher.", allowed=("AES", "PLAIN"))
    wait = Attribute(Duration, "30s", help="A time.", range=(None, 60))
    pause = Attribute(Duration, help="Another.")
    codes = Attribute(ExitCodes, 0, help="Codes.")
    env = Attribute(Environment, "", help="Variables.")
    key = Attribute(str, help="A path.", flags=Flag.CREDENTIAL)


def sample(**attributes: Any) -> Sample:
    return Sample.load(guid=1, label="s", attributes=attributes)


def check(name: str, value: Any) -> Any:
    return Sample.attributes[name].check(value, Sample.rtype)


def test_defaults() -> None:
    rm = sample()
    assert (rm.text, rm.count, rm.level, rm.on) == ("", None, 3, False)
    assert (rm.wait, rm.pause) == (30.0, None)


def test_stored_as_given_read_as_meant() -> None:
    rm = sample(wait="1m")
    assert rm.wait == 60.0
    rm.wait = Duration.parse("10s")
    assert rm.wait == 10.0
    rm.level = 5
    assert rm.changes() == {"wait": 10.0, "level": 5}
    assert json.loads(json.dumps(rm.changes())) == rm.changes()


def test_what_a_hook_read_it_may_assign() -> None:
    rm = sample(codes="0,3", env="A=1", wait="2s")
    rm.codes, rm.env, rm.wait = rm.codes, rm.env, rm.wait
    assert rm.changes() == {"codes": [0, 3], "env": {"A": "1"}, "wait": 2.0}
    assert rm.codes == ExitCodes([0, 3])
    rm.codes = ExitCodes(None)
    assert rm.changes()["codes"] == "any"


def test_none_takes_back_to_the_default() -> None:
    rm = sample(level=5)
    rm.level = None
    assert rm.level == 3
    assert rm.changes() == {"level": None}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("text", 5, "text cannot be 5: it must be text"),
        ("count", "5", "count cannot be '5': it must be a whole number"),
        ("count", 1.0, "must be a whole number"),
        ("count", True, "must be a whole number"),
        ("share", "0.5", "must be a number"),
        ("share", True, "must be a number"),
        ("share", math.inf, "must be finite"),
        ("share", math.nan, "must be finite"),
        ("share", 10**400, "must be finite"),
        ("share", -1, "must be at least 0"),
        ("on", "yes", "on cannot be 'yes': it must be True or False"),
        ("on", 1, "must be True or False"),
        ("level", 6, "must be from 1 to 5"),
        ("level", 0, "must be from 1 to 5"),
        ("cipher", "ROT13", "must be one of 'AES', 'PLAIN'"),
        ("wait", "soon", "must be a duration"),
        ("wait", "2m", "must be at most 60"),
        ("wait", b"1s", "must be text, a number, a list or a mapping"),
    ],
)
def test_refusals_name_type_attribute_value_and_what_is_allowed(
    name: str, value: Any, problem: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(name, value)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"test.attributes::Sample: {name} cannot be ")


def test_hooks_are_checked_too() -> None:
    with pytest.raises(InvalidValue):
        sample().level = 9


def test_integers_with_a_range_stay_integers() -> None:
    assert type(check("level", 2)) is int
    assert type(check("share", 2)) is float


def test_secrets_are_not_repeated() -> None:
    with pytest.raises(InvalidValue) as caught:
        check("key", 12345)
    assert "12345" not in str(caught.value)


def test_long_values_are_cut() -> None:
    with pytest.raises(InvalidValue) as caught:
        check("cipher", "x" * 1000)
    assert len(str(caught.value)) < 250


@given(st.integers())
def test_any_integer_survives(value: int) -> None:
    assert check("count", value) == value


@given(st.one_of(st.text(), st.booleans(), st.none(), st.floats(), st.integers(), st.binary()))
def test_what_is_accepted_is_json_of_the_right_kind(value: Any) -> None:
    for name, attribute in Sample.attributes.items():
        try:
            stored = check(name, value)
        except InvalidValue:
            continue
        assert stored is None or json.loads(json.dumps(stored)) == stored
        if stored is not None and attribute.kind in (str, int, float, bool):
            assert type(stored) is attribute.kind


def test_flags() -> None:
    secret, fixed, report, common = (
        Attribute(str, help="", flags=flags)
        for flags in (Flag.NO_READ, Flag.DESIGN, Flag.NO_WRITE, Flag.GLOBAL)
    )
    with pytest.raises(NotAllowed, match="cannot be read"):
        secret.check_readable("s")
    fixed.check_writable("s")
    with pytest.raises(NotAllowed, match="only be set before deployment"):
        fixed.check_writable("s", deployed=True)
    with pytest.raises(NotAllowed, match="the resource reports it"):
        report.check_writable("s")
    with pytest.raises(NotAllowed, match="set_global"):
        common.check_writable("s")
    for flag in (Flag.CREDENTIAL, Flag.FILTER):
        assert Flag.DESIGN in flag


@pytest.mark.parametrize("kind", [list, object])
def test_kinds_must_be_known(kind: Any) -> None:
    with pytest.raises(TypeError, match="not a kind of attribute"):
        Attribute(kind, help="")


def test_defaults_are_checked() -> None:
    with pytest.raises(InvalidValue, match="default cannot be 9"):
        Attribute(int, 9, help="", range=(0, 5))


# --- the parsed kinds


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        (0, (0,)),
        ("0", (0,)),
        ("0,3", (0, 3)),
        (" 3 , 0 ", (0, 3)),
        ([3, 0, 3], (0, 3)),
        (255, (255,)),
    ],
)
def test_exit_codes(value: Any, codes: tuple[int, ...]) -> None:
    found = ExitCodes.parse(value)
    assert found.codes == codes
    assert codes[0] in found
    assert 77 not in found


def test_any_exit_code() -> None:
    found = ExitCodes.parse("any")
    assert found.codes is None
    assert 77 in found


@pytest.mark.parametrize("value", ["", "x", "-1", "256", -1, 256, 0.5, True, [], ["any"], {}, "0,"])
def test_no_exit_codes(value: Any) -> None:
    with pytest.raises(InvalidValue, match="must be exit codes"):
        ExitCodes.parse(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("A=1 B='two words' C=", {"A": "1", "B": "two words", "C": ""}),
        ('P="a=b"', {"P": "a=b"}),
        ({"A": 1, "B": "x"}, {"A": "1", "B": "x"}),
        ({}, {}),
    ],
)
def test_environment(value: Any, expected: dict[str, str]) -> None:
    assert Environment.parse(value) == expected


@pytest.mark.parametrize(
    "value", ["A", "1A=2", "A='", {"A B": "1"}, {"A": None}, {"A": True}, {1: "a"}, 5, ["A=1"]]
)
def test_no_environment(value: Any) -> None:
    with pytest.raises(InvalidValue):
        Environment.parse(value)


@pytest.mark.parametrize("value", ["", "port:3333", "output:ready.*", "file:/tmp/x", "file:a:b"])
def test_readiness(value: str) -> None:
    assert Readiness.parse(value) == value


@pytest.mark.parametrize(
    "value", ["port:", "port:0", "port:65536", "port:x", "port:²", "output:", "file:", "3333", 80]
)
def test_no_readiness(value: Any) -> None:
    with pytest.raises(InvalidValue, match="port:N"):
        Readiness.parse(value)


@pytest.mark.parametrize("value", ["env:SUDO_1", "file:/etc/nepiq/a password"])
def test_a_reference_to_a_secret(value: str) -> None:
    assert SecretReference.parse(value) == value


@pytest.mark.parametrize(
    "value", ["", "hunter2", "env:", "env:A-B", "env:A\n", "file:", "file:x", "file:/a\0b", 5, None]
)
def test_no_reference_to_a_secret(value: Any) -> None:
    with pytest.raises(InvalidValue, match="env:NAME or file:PATH") as caught:
        SecretReference.parse(value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["", ".", "..", "-rf", "a/b", "a b", "x" * 64, "é", 5, None])
def test_no_name(value: Any) -> None:
    with pytest.raises(InvalidValue, match="plain name"):
        Name.parse(value)


def test_name_and_path() -> None:
    assert Name.parse("site_1.lab-2") == "site_1.lab-2"
    assert AbsolutePath.parse("/srv/lab") == "/srv/lab"
    for value in ("srv", "~/x", "", "/a\0b", 5):
        with pytest.raises(InvalidValue, match="absolute path"):
            AbsolutePath.parse(value)
