"""Readers of descriptions, given anything: errors of nepiq with places, short and soon."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.errors import DocumentError
from nepiq.controller.model.durations import seconds
from nepiq.controller.model.values import Environment

FORMS = ("yaml", "json", "xml")
_PLACE = re.compile(r"lab\.(yaml|json|xml):[1-9][0-9]*:[1-9][0-9]*: .")
_MORE = re.compile(r"and [1-9][0-9]* more")


def told(content: str | bytes, form: str) -> list[str]:
    """What is wrong with a text; fails if it is told in any other way than it should."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    began = time.thread_time()
    lines: list[str] = []
    try:
        Draft(data, f"lab.{form}", form).fill(Description(), complete=True)
    except DocumentError as error:
        lines = str(error).split("\n")
    # By the clock of this thread's own work, so that others on the machine do not matter.
    assert time.thread_time() - began < 3 + 2e-5 * len(data)
    assert len(lines) <= 21
    for number, line in enumerate(lines):
        assert _PLACE.match(line) or (number == 20 and _MORE.fullmatch(line)), line
        assert len(line) < 1200
        assert line.isprintable() or not line.isascii()
    return lines


VALID: dict[str, str] = {
    "yaml": """\
nepiq: 1
exp_id: lab
globals:
  linux::Node: {port: 22}
resources:
  here: {type: linux::Node, hostname: localhost}
  server:
    type: linux::Application
    command: |
      iperf3 -s
    env: {A: "1", B: two}
    node: here
    okExitCodes: [0, 3]
  client:
    type: linux::Application
    command: iperf3 -c server
    connectedTo: [here]
    start:
      - {after: server, state: STARTED, delay: 2s}
    stop: {after: [server], state: FINISHED}
""",
    "xml": """\
<?xml version="1.0"?>
<experiment exp_id="lab"><rms>
<rm guid="1" rtype="linux::Node"><attributes>
<attribute name="hostname" value="localhost"/><attribute name="port" value="22"/>
</attributes></rm>
<rm guid="2" rtype="linux::Application"><attributes>
<attribute name="command" value="true"/></attributes>
<connections><connection guid="1"/></connections>
<conditions><condition action="1" group="[1]" state="5" time="2s"/></conditions></rm>
</rms></experiment>
""",
}
VALID["json"] = json.dumps(yaml.safe_load(VALID["yaml"]), indent=1)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_changed_was_right(form: str) -> None:
    assert told(VALID[form], form) == []


ANY = settings(
    deadline=None,
    max_examples=150,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
PIECES = [
    *(
        "'",
        '"',
        "\\",
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "- ",
        "#",
        "&a",
        "*a",
        "!!int ",
        "|",
        ">",
    ),
    *("\n", "\r", "\t", " ", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ud800"),
    *(
        "<",
        "/>",
        "<a>",
        "</rm>",
        "&lt;",
        "&#0;",
        "<![CDATA[",
        "<!--",
        "<!DOCTYPE a>",
        "%YAML 9.9\n",
    ),
    *(
        "1" * 5000,
        "0x" + "f" * 5000,
        "1e999",
        "-",
        ".inf",
        "NaN",
        "null",
        "true",
        "\\ud800",
        "\\U110000",
    ),
    *("[" * 200, "{" * 200, "<a>" * 200, "- " * 200, "x" * 3000, "resources", "guid", "guid: 1"),
    *("nepiq", "globals", "deploy", "start:", "type", "linux::Node", "here", "server", "STARTED"),
]


@st.composite
def changed(draw: st.DrawFn, form: str) -> str:
    """A valid text with pieces put in, taken out, doubled."""
    text = VALID[form]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.integers(0, 30)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.just(text[at:to] * 2), st.text()))
        text = text[:at] + piece + text[to if draw(st.booleans()) else at :]
    return text


def test_keys_that_utf8_cannot_encode() -> None:
    (line,) = told('{"nepiq": 1, "ne\\ud800piq": 1}', "json")
    assert "\\ud800" in line
    assert "lone surrogate" in line


@pytest.mark.parametrize("form", FORMS)
@ANY
@given(data=st.data())
def test_changed_files(form: str, data: st.DataObject) -> None:
    told(data.draw(changed(form)), form)


@pytest.mark.parametrize("form", FORMS)
@ANY
@given(content=st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace"))))
@example(content=b"\xff\xfe\x00")
@example(content=b"\xef\xbb\xbf")
@example(content=b"")
def test_any_bytes(form: str, content: bytes) -> None:
    told(content, form)


_NUMBERS = st.one_of(st.integers(), st.sampled_from([10**3999, -(10**2000), 2**64, 2**53]))
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, st.floats(), st.text(max_size=20))
_KNOWN = st.sampled_from(
    ["here", "server", "linux::Node", "linux::Application", "nepiq::Null", "STARTED", "1", "2s"]
)
_ANYTHING = st.recursive(
    st.one_of(_SCALARS, _KNOWN),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_NAMES = "type guid connectedTo deploy start stop attributes connections node command env port"
_NAMES += " hostname critical okExitCodes startedWhen after state delay"
_KEYS = st.sampled_from([*_NAMES.split(), "x" * 2000])
_ENTRY = st.dictionaries(_KEYS, st.one_of(_ANYTHING, st.dictionaries(_KEYS, _ANYTHING)))
_DOCUMENT = st.fixed_dictionaries(
    {"nepiq": st.one_of(st.just(1), _ANYTHING)},
    optional={
        "exp_id": _ANYTHING,
        "globals": st.one_of(_ANYTHING, st.dictionaries(_KNOWN, _ENTRY)),
        "resources": st.dictionaries(st.one_of(_KNOWN, st.text(max_size=8)), _ENTRY, max_size=5),
    },
)


@ANY
@given(document=_DOCUMENT)
def test_documents_of_the_right_form(document: dict[str, Any]) -> None:
    told(json.dumps(document), "json")
    told(yaml.safe_dump(document), "yaml")


_SIDES = st.one_of(
    st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"])), _KNOWN
)


@ANY
@given(
    parts=st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(
                ("guid", "rtype", "name", "value", "peer", "action", "group", "state", "time"),
                _SIDES,
            )
        ),
        min_size=1,
        max_size=3,
    )
)
def test_xml_of_the_right_form(parts: list[dict[str, str]]) -> None:
    from xml.sax.saxutils import quoteattr

    rms = ""
    for part in parts:
        q = {
            name: quoteattr(re.sub("[\x00-\x1f\ud800-\udfff\ufffe\uffff]", "", value))
            for name, value in part.items()
        }
        rms += (
            f"<rm guid={q['guid']} rtype={q['rtype']}/><rm guid='2' rtype='linux::Application'>"
            f"<attributes><attribute name={q['name']} value={q['value']}/>"
            f"<attribute name='startTimeout' value={q['value']}/></attributes>"
            f"<connections><connection guid={q['peer']}/></connections><conditions><condition "
            f"action={q['action']} group={q['group']} state={q['state']} time={q['time']}/>"
            "</conditions></rm>"
        )
    told(f"<experiment><rms>{rms}</rms></experiment>", "xml")


LONG = "1" * 5000
HUGE = "x" * 1_000_000


def in_yaml(**given: str) -> str:
    entry = "".join(f"    {name}: {value}\n" for name, value in given.items())
    return f"nepiq: 1\nresources:\n  here: {{type: linux::Node}}\n  a:\n{entry}"


def in_xml(rtype: str = "linux::Application", **given: str) -> str:
    values = {"guid": "1", "name": "command", "value": "x", "action": "1", "group": "[1]"}
    values |= {"state": "5", "time": "", "peer": "1", **given}
    return (
        "<experiment><rms><rm guid='{guid}' rtype='{rtype}'><attributes><attribute name='{name}' "
        "value='{value}'/></attributes><connections><connection guid='{peer}'/></connections>"
        "<conditions><condition action='{action}' group='{group}' state='{state}' time='{time}'/>"
        "</conditions></rm></rms></experiment>"
    ).format(rtype=rtype, **values)


APP = {"type": "linux::Application", "node": "here"}
SINGLE = {
    **{
        f"xml {name}": ("xml", in_xml(**{name: LONG}))
        for name in ("guid", "value", "peer", "action", "group", "state", "time", "rtype", "name")
    },
    "xml port": ("xml", in_xml("linux::Node", name="port", value=LONG)),
    "xml codes": ("xml", in_xml(name="okExitCodes", value=LONG)),
    "xml ready": ("xml", in_xml(name="startedWhen", value=f"port:{LONG}")),
    "xml blanks": ("xml", in_xml(group="[1" + " " * 200_000 + "x")),
    "xml group": ("xml", in_xml(group="[" + "1 , " * 100_000 + "x")),
    "xml time": ("xml", in_xml(time="1" * 1_000_000)),
    "xml times": ("xml", in_xml(time="1d" + " " * 500_000 + "1h" + " " * 500_000 + "x")),
    "xml encoding": ("xml", "<?xml version='1.0' encoding='rot13'?><experiment/>"),
    "yaml env": ("yaml", in_yaml(**APP, env=HUGE)),
    "yaml env of blanks": ("yaml", in_yaml(**APP, env='"' + "\\\\ " * 500_000 + '"')),
    "yaml gateway": ("yaml", in_yaml(type="linux::Node", gateway=LONG + ":" + LONG)),
    "yaml port": ("yaml", in_yaml(type="linux::Node", port=LONG)),
    "yaml hexadecimal": ("yaml", in_yaml(type="linux::Node", port="0x" + "f" * 1000)),
    "yaml depends": ("yaml", in_yaml(**APP, depends=HUGE + "$")),
    "yaml duration": ("yaml", in_yaml(**APP, startTimeout="1 " * 500_000)),
    "yaml state": ("yaml", in_yaml(**APP, start=f"{{after: here, state: {HUGE}}}")),
    "yaml delay": ("yaml", in_yaml(**APP, start=f"{{after: here, state: READY, delay: {HUGE}}}")),
    "yaml after": ("yaml", in_yaml(**APP, start=f"{{after: {HUGE}, state: READY}}")),
    "yaml tag": ("yaml", in_yaml(**APP, env="!" + "x" * 1000 + " a")),
    "yaml type": ("yaml", in_yaml(type=HUGE)),
    "yaml guid": ("yaml", in_yaml(type="linux::Node", guid="1" * 4000)),
    "yaml name": ("yaml", in_yaml(**APP, **{"x" * 1000: "1"})),
    "yaml label": ("yaml", f"nepiq: 1\nresources:\n  ? {HUGE}\n  : {{type: nepiq::Null}}"),
    "yaml keys": ("yaml", f"nepiq: 1\n? {HUGE}\n: 1"),
    "yaml globals": ("yaml", f"nepiq: 1\nglobals:\n  ? {HUGE}\n  : 1"),
    "yaml version": ("yaml", f"nepiq: {HUGE}"),
    "yaml deep": ("yaml", "nepiq: 1\nresources: " + "[" * 100_000),
    "yaml deeper": (
        "yaml",
        "nepiq: 1\nresources:\n" + "".join(" " * depth + "a:\n" for depth in range(1, 1000)),
    ),
    "json number": ("json", '{"nepiq": 1.5e3, "resources": {"a": {"guid": ' + LONG + "}}}"),
    "json key": ("json", json.dumps({"nepiq": 1, HUGE: 1})),
    "json keys": ("json", json.dumps({"nepiq": 1, "resources": {HUGE: {"type": "nepiq::Null"}}})),
    "json deep": ("json", '{"nepiq": ' * 100_000),
    "json wrong": ("json", json.dumps({"nepiq": 1, "resources": HUGE})),
    "json \x7f": ("json", '{"nepiq": 1, "resources": {"\x7f": {"type": "nepiq::Null"}}}'),
}


@pytest.mark.parametrize("case", SINGLE)
def test_long_ones(case: str) -> None:
    form, text = SINGLE[case]
    assert told(text, form)


@cache
def many(count: int) -> dict[str, str]:
    """Files with as many errors, of each kind that there are many of."""
    numbers = range(count)
    wrong: dict[str, Callable[[int], dict[str, Any]]] = {
        "type": lambda n: {"type": f"linux::App{n}"},
        "attribute": lambda n: {"type": "linux::Node", f"prot{n}": 1},
        "value": lambda n: {"type": "linux::Node", "port": f"x{n}"},
        "label": lambda n: {"type": "nepiq::Null", "start": {"after": f"r{n}x", "state": "READY"}},
        "state": lambda n: {"type": "nepiq::Null", "start": {"after": "r1", "state": f"REDY{n}"}},
        "key": lambda n: {"type": "nepiq::Null", "start": {"after": "r1", f"stat{n}": "READY"}},
        "form": lambda n: {"type": 1, "guid": "x"},
        "connection": lambda n: {"type": "linux::Application", "command": "x", "node": f"r{n}"},
    }
    texts = {
        name: json.dumps({"nepiq": 1, "resources": {f"r{n}": made(n) for n in numbers}})
        for name, made in wrong.items()
    }
    pairs = [f'"r{n // 2}": {{"type": "nepiq::Null"}}' for n in numbers]
    texts["twice"] = '{"nepiq": 1, "resources": {' + ", ".join(pairs) + "}}"
    keys = [f'"key{n}": {n}' for n in numbers]
    texts["keys"] = '{"nepiq": 1, ' + ", ".join(keys) + "}"
    return texts


@pytest.mark.parametrize("kind", many(1))
def test_ten_thousand_errors(kind: str) -> None:
    lines = told(many(10_000)[kind], "json")
    assert len(lines) == 21


def test_ten_thousand_errors_in_xml() -> None:
    rms = "".join(f"<rm guid='x{n}' rtype='linux::Node'/>\n" for n in range(10_000))
    lines = told(f"<experiment><rms>\n{rms}</rms></experiment>", "xml")
    assert lines[0].startswith("lab.xml:2:1: 'x0' is not a guid")
    assert lines[-1] == "and 9980 more"


def test_warnings_are_few() -> None:
    rms = "".join(
        f"<rm guid='{n}' rtype='linux::Node'><attributes><attribute name='ip' value='1'/>"
        "</attributes></rm>"
        for n in range(1, 1001)
    )
    draft = Draft(f"<experiment><rms>{rms}</rms></experiment>".encode(), "lab.xml", "xml")
    assert len(draft.warnings) == 21
    assert draft.warnings[-1] == "and 980 more"


def test_the_first_are_told_in_order() -> None:
    text = "nepiq: 1\nresources:\n" + "".join(f"  r{n}: {{type: x}}\n" for n in range(5000))
    places = [int(line.split(":")[1]) for line in told(text, "yaml")[:20]]
    assert places == list(range(3, 23))


def cpu(act: Callable[[], object]) -> float:
    """Seconds that it takes of this thread's own time, the best of three."""
    best = 1e9
    for _ in range(3):
        began = time.thread_time()
        act()
        best = min(best, time.thread_time() - began)
    return best


def refused(value: Any) -> None:
    for parse in (Environment.parse, seconds):
        with contextlib.suppress(ValueError):
            parse(value)


@pytest.mark.parametrize("piece", ["x", "1", " ", "\\ ", "1d", "'x'", "A=1 ", '"\\"'])
def test_time_is_linear_in_length(piece: str) -> None:
    short, long = (cpu(partial(refused, piece * count)) for count in (5_000, 80_000))
    # 16 times as long: 16 times the time, not 256 times.
    assert long < 64 * short + 0.1
