"""Text of others is shown as text: harmless, on one line, of bounded length."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nepiq.controller import ExperimentController, errors
from nepiq.controller.engine.transfer.attempts import remote_error
from nepiq.controller.errors.text import escaped, last_lines, one_line, quoted
from nepiq.controller.experiment.waiting import raised
from nepiq.controller.model.attributes import Attribute
from nepiq.controller.model.durations import seconds
from nepiq.controller.model.values import Duration, Environment, ExitCodes, Readiness, shell_words

#: Clears the screen, renames the window, begins a line, goes back, turns the direction.
EVIL = "\x1b[2J\x1b]0;owned\x07\nnepiq: done\r\x9b31m\x7f\u202egnp.exe\u2066\u2028x\udcff"
EXPECTED = r"\x1b[2J\x1b]0;owned\x07\nnepiq: done\r\x9b31m\x7f\u202egnp.exe\u2066\u2028x\udcff"
HUGE = "x" * 3_000_000


def acts(text: str, *, keeps: str = "") -> list[str]:
    """The characters of a text that a terminal or a browser obeys."""
    return [
        character
        for character in text
        if character not in keeps
        and (
            unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
            or unicodedata.bidirectional(character)
            in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        )
    ]


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Ll", "Lo", "So"])))
@example(EVIL)
def test_nothing_in_it_acts(text: str) -> None:
    assert acts(escaped(text), keeps="\n\t") == []
    assert acts(one_line(text), keeps="\t") == []
    assert escaped(text).count("\n") == text.count("\n")
    one_line(text).encode()


def test_what_writing_needs_stays() -> None:
    # Joiners are in scripts and emoji, and only look different.
    for text in ("grün 漢字", "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "👩\u200d💻", "a\tb"):
        assert escaped(text) == one_line(text) == text


def test_control_characters_are_shown() -> None:
    assert one_line(EVIL) == EXPECTED


@pytest.mark.parametrize("kind", [errors.HostError, errors.InvalidValue, errors.StepFailed])
def test_errors_show_what_they_quote(kind: type[errors.NepiqError]) -> None:
    error = kind(EVIL, where=EVIL, hint=EVIL)
    assert str(error) == f"{EXPECTED}: {EXPECTED} ({EXPECTED})"
    error.hint = EVIL
    assert error.hint == EXPECTED
    told = errors.details(error)
    assert (told["message"], told["where"], told["hint"]) == (EXPECTED, EXPECTED, EXPECTED)
    assert len(str(kind(HUGE, where=HUGE, hint=HUGE))) < 6100


def test_errors_of_hosts_show_what_they_quote() -> None:
    ended = errors.CommandError("x", 1, f"one\r\n{EVIL}\n{HUGE}")
    assert acts(str(ended)) == []
    assert len(str(ended)) < 800
    assert ended.stderr.endswith(HUGE)
    record = {"type": "CommandError", "message": EVIL, "where": EVIL, "hint": EVIL}
    for error in (raised(record), remote_error({**record, "type": "HostError"})):
        assert str(error) == f"{EXPECTED}: {EXPECTED} ({EXPECTED})"
    assert errors.details(ValueError(EVIL))["message"] == EXPECTED


def test_last_lines_are_one() -> None:
    assert last_lines("a\nb\r\n\nc  \n10%\r20%\rd\n") == "10% | 20% | d"
    assert len(last_lines(HUGE)) == len(last_lines(HUGE + "\n" + HUGE)) == 200
    assert last_lines("") == ""


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


class Evil:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
VALUES = [
    "x" * 1_000_000,
    b"x" * 1_000_000,
    10**5000,
    -(10**5000),
    nested(100_000),
    ENDLESS,
    {"a" * 10_000: "b" * 10_000},
    {str(number): number for number in range(20_000)},
    list(range(100_000)),
    float("inf"),
    EVIL,
    Evil(),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_are_cut(value: Any) -> None:
    assert len(quoted(value)) <= 100
    assert acts(quoted(value)) == []


KINDS: dict[Any, Any] = {str: "", int: 0, float: 0, bool: False}
KINDS |= {Environment: "", ExitCodes: 0, Readiness: "", Duration: 0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_any_value_is_taken_or_refused(kind: Any, value: Any) -> None:
    attribute: Attribute[Any] = Attribute(kind, KINDS[kind], help="it")
    attribute.name = "it"
    told = ""
    try:
        attribute.check(value)
    except errors.InvalidValue as error:
        told = str(error)
    assert len(told) < 500
    assert acts(told) == []


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_any_call_takes_or_refuses_it(value: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda ec: ec.register_resource(value),
        lambda ec: ec.register_resource("linux::Node", label=value),
        lambda ec: ec.register_resource("linux::Node", guid=value),
        lambda ec: ec.register_resource("linux::Node", hostname=value, port=value),
        lambda ec: ec.register_resource("linux::Node", identity=value, gateway=value),
        lambda ec: ec.register_resource("linux::Application", command="x", env=value),
        lambda ec: ec.register_resource("linux::Application", command="x", depends=value),
        lambda ec: ec.register_resource("linux::Application", command="x", startTimeout=value),
        lambda ec: ec.get("here", value) if isinstance(value, str) else None,
        lambda ec: ec.state(value),
        lambda ec: ec.register_condition("here", value, "here", "READY"),
        lambda ec: ec.register_condition("here", "START", "here", value),
        lambda ec: ec.register_condition("here", "START", "here", "READY", value),
        lambda _: seconds(value),
        lambda _: ExperimentController(value) if isinstance(value, str) else None,
    ]
    ec = ExperimentController("quoting")
    ec.register_resource("linux::Node", label="here")
    for number, call in enumerate(calls):
        told = ""
        try:
            call(ec)
        except (errors.NepiqError, TypeError) as error:
            told = str(error)
        assert len(told) < 1500, number
        assert acts(told) == [], number


@given(st.text(alphabet="ab='\"\\ \t\r\n\0x\x85é", max_size=30))
@example("A=1 B='two words' C=\"a\\\"b\\c\" d\\ e ''")
def test_words_are_those_of_a_shell(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"No (closing quotation|escaped character)"):
            shell_words(text)
    else:
        assert shell_words(text) == expected
