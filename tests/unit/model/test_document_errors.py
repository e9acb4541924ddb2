"""What is wrong in a file is told at once, each thing with its line and column."""

from __future__ import annotations

import json

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.errors import DescriptionError, DocumentError


def errors(text: str | bytes, form: str = "yaml", *, complete: bool = True) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(DocumentError) as caught:
        Draft(content, f"lab.{form}", form).fill(Description(), complete=complete)
    assert isinstance(caught.value, DescriptionError)
    told = str(caught.value).splitlines()
    assert told[:20] == [str(error) for error in caught.value.errors]
    return told


FIVE = """\
nepiq: 1
resources:
  laptop:
    type: linux::Nod
  here:
    type: linux::Node
    prot: 22
  server:
    type: linux::Application
    node: her
    okExitCodes: 300
    stop: {after: laptop, state: FINSHED}
"""


def test_five_mistakes_are_five_errors() -> None:
    told = errors(FIVE)
    assert [line.split(" (")[0] for line in told] == [
        "lab.yaml:4:11: unknown resource type 'linux::Nod'",
        "lab.yaml:7:5: unknown attribute 'prot'",
        "lab.yaml:10:11: unknown resource 'her'",
        "lab.yaml:11:18: okExitCodes cannot be 300: it must be exit codes from 0 to 255, "
        'as 0, "0,3" or [0, 3], or "any"',
        "lab.yaml:12:34: there is no state 'FINSHED'",
    ]
    for near, line in zip(("linux::Node", "port", "here", "", "FINISHED"), told, strict=True):
        assert not near or f"did you mean '{near}'" in line


def test_json_has_lines_and_columns_too() -> None:
    text = (
        '{"nepiq": 1, "resources": {\n'
        '\t"a\\ud83d\\ude00": {"type": "nepiq::Null"},\n'
        '\t"b": {"type": "nepiq::Null", "critical": 1, "deploy": [{"state": "READY"}]}}}'
    )
    assert [line.split(" (")[0] for line in errors(text, "json")] == [
        "lab.json:2:2: 'a😀' cannot be used as label",
        "lab.json:3:43: critical cannot be 1: it must be True or False",
        "lab.json:3:57: 'after' is missing",
    ]


HEAD = "nepiq: 1\nresources:\n"
A, B = "  a: {type: nepiq::Null}\n", "  b: {type: nepiq::Null}\n"
SINGLE = {
    "no version": ("resources: {}", "1:1: 'nepiq' is missing (begin it with 'nepiq: 1')"),
    "another version": (
        "nepiq: 2",
        "1:8: version 2 of descriptions is not supported (this nepiq reads version 1)",
    ),
    "empty": ("", "1:1: not a description (begin it with 'nepiq: 1')"),
    "a list": ("- a", "1:1: not a description (begin it with 'nepiq: 1')"),
    "unknown key": (
        HEAD + A + "globels: {}",
        "4:1: unknown key 'globels' (did you mean 'globals'?)",
    ),
    "a key twice": (
        HEAD + A + A,
        "4:3: duplicate key 'a', first in line 3 (remove one of them)",
    ),
    "no type": (HEAD + A + "  b: {critical: true}", "4:3: 'type' is missing"),
    "bad label": (
        HEAD + "  a b: {type: nepiq::Null}",
        "3:3: 'a b' cannot be used as label (use 1 to 63 letters, digits, dots, underscores and "
        "dashes, no dash in front)",
    ),
    "bad exp_id": (
        "nepiq: 1\nexp_id: 3",
        "2:9: exp_id must be text (put it in quotes)",
    ),
    "guid taken": (
        HEAD + A + "  b: {type: nepiq::Null, guid: 1}",
        "4:26: guid 1 is taken by a",
    ),
    "number for text": (
        HEAD + "  a:\n    type: linux::Node\n    username: 007",
        "5:15: username cannot be 7: it must be text (put it in quotes)",
    ),
    "connection missing": (
        HEAD + "  a: {type: linux::Application}",
        "3:3: connection 'node' is missing (write node: LABEL of a linux::Node)",
    ),
    "connection to the wrong type": (
        HEAD + A + "  b: {type: linux::Application, node: a}",
        "4:39: connection 'node' does not accept nepiq::Null "
        "(linux::Application can be connected to linux::Node)",
    ),
    "connectedTo the wrong type": (
        HEAD + A + "  b: {type: nepiq::Null, connectedTo: [a]}",
        "4:40: b (nepiq::Null) and a (nepiq::Null) have no connection for each other "
        "(neither can be connected to anything)",
    ),
    "a connection that is none": (
        HEAD + A + "  b: {type: nepiq::Null, connections: {node: a}}",
        "4:40: nepiq::Null has no connection 'node'",
    ),
    "no label": (
        HEAD + "  a: {type: linux::Application, node: 1.5}",
        "3:39: 1.5 is not a label (name a resource)",
    ),
    "bad delay": (
        HEAD + A + "  b: {type: nepiq::Null, start: {after: a, state: READY, delay: soon}}",
        "4:65: 'soon' is not a duration "
        "(write, for example, '500ms', '2s', '2.5m', '1h30m' or a number of seconds)",
    ),
    "waiting for NEW": (
        HEAD + A + "  b: {type: nepiq::Null, start: [{after: a, state: NEW}]}",
        "4:52: nobody can wait for NEW: every resource begins there",
    ),
    "a circle": (
        HEAD
        + "  a: {type: nepiq::Null, start: {after: b, state: STARTED}}\n"
        + "  b: {type: nepiq::Null, start: {after: a, state: STARTED}}",
        "2:1: these wait for each other: a.start waits for b STARTED, b.start waits for a STARTED "
        "(remove one of these conditions, or wait for another state)",
    ),
    "a circle through the barrier": (
        HEAD + A + "  b: {type: nepiq::Null, deploy: {after: a, state: STARTED}}",
        "2:1: these wait for each other: ",
    ),
    "a type that is a means of ec.schedule": (
        HEAD + "  a: {type: nepiq::Clock}",
        "3:13: unknown resource type 'nepiq::Clock' "
        "(did you mean 'nepiq::Collector' or 'nepiq::Null' or 'nepiq::Sleep'?)",
    ),
    "an unknown type in globals": (
        "nepiq: 1\nglobals: {nepiq::Nul: {}}",
        "2:11: unknown resource type 'nepiq::Nul' (did you mean 'nepiq::Null'?)",
    ),
    "text with a colon": (
        HEAD + "  a:\n    type: linux::Node\n    tearDown: echo a: b",
        "5:21: invalid YAML: mapping values are not allowed in this context "
        "(put text with ': ' in quotes, or write it below '|')",
    ),
    "an object": (
        HEAD + "  a: !!python/object/apply:os.system ['true']",
        "3:6: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported "
        "(leave it out)",
    ),
    "an alias": (
        HEAD + "  a: &a {type: nepiq::Null}\n  b: *a",
        "4:6: aliases are not supported (write it out, or use 'globals')",
    ),
    "two documents": (
        HEAD + A + "---\na: b",
        "4:1: a second document (use one file for each)",
    ),
    "too deep": ("[" * 100_000, "1:41: nested deeper than 40 levels"),
    "not UTF-8": (b"nepiq: 1\nexp_id: \xff", "2:9: not UTF-8 (save the file as UTF-8)"),
    "control characters": ("nepiq: 1\0", "1:9: invalid YAML: control characters are not allowed"),
}


@pytest.mark.parametrize("case", SINGLE)
def test_a_single_mistake(case: str) -> None:
    text, expected = SINGLE[case]
    (told,) = errors(text)
    assert told.startswith(f"lab.yaml:{expected}")
    assert told == f"lab.yaml:{expected}" or expected.endswith(": ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"nepiq": 1,\n}', "2:1: invalid JSON: "),
        ("[" * 100_000, "1:41: nested deeper than 40 levels"),
        ('{"nepiq": 1, "a": ' + "[" * 60 + "]" * 60 + "}", "1:58: nested deeper than 40 levels"),
        ('{"nepiq": 1, "nepiq": 1}', "1:14: duplicate key 'nepiq', first in line 1 "),
        ('{"nepiq": ' + "1" * 5000 + "}", "1:11: a number has more than 4000 digits"),
    ],
    ids=["cut off", "much too deep", "too deep", "twice", "a number without end"],
)
def test_a_single_mistake_in_json(text: str, expected: str) -> None:
    (told,) = errors(text, "json")
    assert told.startswith(f"lab.json:{expected}")


def test_what_failed_is_told_once() -> None:
    """Nothing is said of a resource because what it names is wrong already."""
    text = HEAD + (
        "  a: {type: linux::Nod}\n"
        "  b: {type: linux::Application, node: a, start: {after: a, state: READY}}\n"
        "  c: {guid: 9}\n"
        "  d: {type: linux::Application, connectedTo: c, start: {after: 9, state: READY}}\n"
    )
    assert [line.split(":")[1] for line in errors(text)] == ["3", "5"]


def test_an_incomplete_description_can_be_read() -> None:
    made = Description()
    text = HEAD + "  a: {type: linux::Application}"
    Draft(text.encode(), "lab.yaml", "yaml").fill(made)
    assert len(made) == 1


def test_many_errors_take_no_long_search() -> None:
    resources = {
        f"r{number}": {"type": "nepiq::Null", "start": {"after": f"s{number}", "state": "READY"}}
        for number in range(2000)
    }
    told = errors(json.dumps({"nepiq": 1, "resources": resources}), "json")
    assert len(told) == 21
    assert told[-1] == "and 1980 more"
