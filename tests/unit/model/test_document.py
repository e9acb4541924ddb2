"""Descriptions survive files: whatever can be described is read as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.description.files.schema import json_schema
from nepiq.controller.description.files.writer import write
from nepiq.controller.errors import InvalidValue, NotAllowed
from nepiq.controller.model import Attribute, Connection, ResourceManager, registry
from nepiq.controller.model.attributes import Flag

FORMATS = ("yaml", "json")


def read(text: str, form: str = "yaml", *, complete: bool = False) -> Description:
    description = Description()
    Draft(text.encode(), "test", form).fill(description, complete=complete)
    return description


def content(description: Description) -> dict[str, Any]:
    """Everything that a description holds; the order of conditions means nothing."""
    specs = [description.spec(guid) for guid in description]
    return {
        "exp_id": description.exp_id,
        "globals": description.all_globals(),
        "resources": [spec._replace(gates=sorted(spec.gates)) for spec in specs],
        "conditions": sorted(map(str, description.conditions())),
    }


def check_round_trip(description: Description) -> None:
    for form in FORMATS:
        text = write(description, form)
        again = read(text, form)
        assert content(again) == content(description)
        assert write(again, form) == text
    assert write(read(write(description, "json"), "json"), "yaml") == write(description, "yaml")


# -- random descriptions ------------------------------------------------------------------------

# Text of users: lines, blanks, what YAML gives a meaning, and anything at all.
texts = st.one_of(
    st.sampled_from(
        ["yes", "no", "null", "~", "1e3", "0o17", "12:30", "1_000", "=", "<<", "- a", "a: b", "#"]
    ),
    st.text(st.sampled_from(" \n\t:-#'\"\\|>&*!%@`{}[],?abä\x85\u2028\ufeff😀")),
    st.text(st.characters(exclude_categories=("Cs",))),
).filter(lambda text: "\0" not in text)
durations = st.one_of(
    st.integers(0, 10**6),
    st.floats(0, 1e9, allow_nan=False),
    st.sampled_from(["0s", "2s", "1m30s", "500ms", "10us"]),
)
environments = st.one_of(
    st.sampled_from(["A=1 B='two words'"]),
    st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), texts),
)
ATTRIBUTES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "nepiq::Null": {"critical": st.booleans(), "hardRelease": st.booleans()},
    "nepiq::Sleep": {"critical": st.booleans(), "work": durations},
    "linux::Node": {
        "hostname": st.sampled_from(["localhost", "fit01", "::1", "10.0.0.1"]),
        "username": texts,
        "port": st.integers(1, 65535),
        "gateway": st.sampled_from(["", "none", "me@one:22,two"]),
        "strictHostKeyChecking": st.sampled_from(["yes", "accept-new"]),
        "bootTimeout": durations,
        "env": environments,
        "tearDown": texts,
        "cleanHome": st.booleans(),
    },
    "linux::Application": {
        "command": texts,
        "stdin": texts,
        "env": environments,
        "okExitCodes": st.one_of(
            st.integers(0, 255),
            st.sampled_from(["any", "0,3"]),
            st.lists(st.integers(0, 255), min_size=1),
        ),
        "startedWhen": st.sampled_from(["", "port:80", "output:^ready: [0-9]+$", "file:a b"]),
        "sudo": st.booleans(),
    },
}
names = st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,8}", fullmatch=True)
states = st.sampled_from(["READY", "STARTED", "STOPPED", "FINISHED", "FAILED", "RELEASED"])


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    made = Description(draw(names.filter(lambda name: name not in {".", ".."})))
    for _ in range(draw(st.integers(0, 8))):
        rtype = draw(st.sampled_from(sorted(ATTRIBUTES)))
        possible = ATTRIBUTES[rtype]
        chosen = draw(st.lists(st.sampled_from(sorted(possible)), unique=True))
        values = {name: draw(possible[name]) for name in chosen}
        if draw(st.integers(0, 4)) == 0:
            for name, value in values.items():
                made.set_global(rtype, name, value)
            continue
        try:
            made.add(
                rtype,
                draw(st.one_of(st.none(), st.integers(1, 40))),
                draw(st.one_of(st.none(), names)),
                **values,
            )
        except InvalidValue:  # a guid or label that is taken
            continue
    guids = list(made)
    if guids:
        someone = st.sampled_from(guids)
        for one, two in draw(st.lists(st.tuples(someone, someone), max_size=8)):
            try:
                made.connect(one, two)
            except NotAllowed:
                continue
        conditions = st.tuples(
            st.lists(someone, min_size=1, max_size=3),
            st.sampled_from(["deploy", "start", "stop"]),
            st.lists(someone, min_size=1, max_size=3),
            states,
            st.one_of(st.none(), durations),
        )
        for condition in draw(st.lists(conditions, max_size=6)):
            made.condition(*condition)
        if draw(st.integers(0, 3)) == 0:
            made.remove(draw(someone))
    return made


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_whatever_is_described_is_read_as_it_was_written(description: Description) -> None:
    check_round_trip(description)


# -- connections of all kinds -------------------------------------------------------------------


@pytest.fixture
def types() -> Iterator[None]:
    """Types whose connections lead back, wait, are many, and have names of the form."""

    class Hub(ResourceManager, rtype="test::Hub"):
        type = Attribute(str, "plain", help="A name of the form.")
        shared = Attribute(int, help="Common to all.", flags=Flag.GLOBAL)
        seen = Attribute(int, help="Reported.", flags=Flag.NO_WRITE)
        start = Connection("test::Hub", many=True, help="A name of the form.")
        ports = Connection("test::Port", many=True)
        first = Connection("test::Port", waits=True)

    class Port(ResourceManager, rtype="test::Port"):
        hub = Connection("test::Hub", required=True)
        spare = Connection("test::Hub")
        others = Connection("test::Port", many=True)

    yield
    registry.forget("test::Hub")
    registry.forget("test::Port")


@pytest.mark.usefixtures("types")
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.booleans(), min_size=2, max_size=7),
    st.lists(
        st.tuples(
            st.integers(1, 7),
            st.integers(1, 7),
            st.sampled_from([None, "start", "ports", "first", "hub", "spare", "others"]),
        )
    ),
)
def test_connections_on_both_sides(
    kinds: list[bool], links: list[tuple[int, int, str | None]]
) -> None:
    made = Description()
    for hub in kinds:
        made.add("test::Hub" if hub else "test::Port", **({"type": "x"} if hub else {}))
    for one, two, name in links:
        if one in made and two in made:
            try:
                made.connect(one, two, name)
            except NotAllowed:
                continue
    check_round_trip(made)


@pytest.mark.usefixtures("types")
def test_names_of_the_form_may_be_names_of_a_type() -> None:
    made = Description()
    made.set_global("test::Hub", "shared", 3)
    made.set_global("test::Hub", "type", "other")
    made.add("test::Hub", type="mine")
    made.add("test::Hub", start=1)
    made.note(1, {"seen": 7})
    text = write(made, "yaml")
    assert "attributes:\n      type: mine\n" in text
    assert "connections:\n      start: hub-2\n" in text
    assert "seen" not in text
    again = read(text)
    assert (again.get(1, "type"), again.get(2, "type"), again.get(1, "seen")) == (
        "mine",
        "other",
        None,
    )


# -- what people write --------------------------------------------------------------------------

WRITTEN = """\
# by hand
nepiq: 1
exp_id: hello
globals:
  linux::Application: {okExitCodes: any}
resources:
  laptop:
    type: LinuxNode
  server:
    type: linux::Application
    node: laptop
    command: |
      echo ready
      exec sleep 100
    strange-one:
  client:
    type: linux::Application
    connectedTo: [laptop]
    command: curl localhost
    okExitCodes: 0
    start:
    - {after: [server, 1], state: started, delay: 1.5}
    - {after: server, state: READY}
""".replace("    strange-one:\n", "    stop: {after: client, state: FINISHED}\n")


def test_a_description_by_hand() -> None:
    made = read(WRITTEN)
    assert (made.exp_id, [made.label(guid) for guid in made]) == (
        "hello",
        ["laptop", "server", "client"],
    )
    assert made.get("server", "command") == "echo ready\nexec sleep 100\n"
    assert made.get("server", "okExitCodes") == "any"
    assert made.get("client", "okExitCodes") == 0
    assert made.host_of("client") == made.host_of("server") == 1
    assert [tuple(map(str, cond)) for cond in made.conditions()] == [
        ("2", "stop", "3", "FINISHED", "0.0"),
        ("3", "start", "2", "STARTED", "1.5"),
        ("3", "start", "1", "STARTED", "1.5"),
        ("3", "start", "2", "READY", "0.0"),
    ]


def test_what_is_written_is_what_differs() -> None:
    assert write(read(WRITTEN), "yaml").partition("resources:\n")[2] == (
        "  laptop:\n"
        "    type: linux::Node\n"
        "  server:\n"
        "    type: linux::Application\n"
        "    node: laptop\n"
        "    command: |\n"
        "      echo ready\n"
        "      exec sleep 100\n"
        "    stop: {after: client, state: FINISHED}\n"
        "  client:\n"
        "    type: linux::Application\n"
        "    node: laptop\n"
        "    command: curl localhost\n"
        "    okExitCodes: 0\n"
        "    start:\n"
        "    - {after: [server, laptop], state: STARTED, delay: 1500ms}\n"
        "    - {after: server, state: READY}\n"
    )


def test_a_given_value_that_is_the_default_and_means_something() -> None:
    """False sets an interface down; without a value it is left as it is."""
    description = read("nepiq: 1\nresources:\n  a: {type: linux::Interface, up: false}\n")
    assert "up: false" in write(description, "yaml")
    check_round_trip(description)


def test_the_example_of_the_documentation() -> None:
    page = Path(__file__).parents[3] / "docs" / "descriptions.md"
    text = page.read_text().split("```yaml\n")[1].split("```")[0]
    assert len(read(text, complete=True)) == 3


def test_guids_are_kept() -> None:
    made = Description()
    assert [made.add("nepiq::Null", guid) for guid in (10, None, 5, None)] == [10, 11, 5, 12]
    text = write(made, "yaml")
    assert text.count("guid:") == 2
    assert list(read(text)) == [10, 11, 5, 12]


def test_words_of_older_yaml_are_text() -> None:
    text = (
        "nepiq: 1\nresources:\n  on: {type: linux::Node, strictHostKeyChecking: yes, env: {A: 010}}"
    )
    made = read(text)
    assert made.get("on", "strictHostKeyChecking") == "yes"
    assert made.get("on", "env") == {"A": 10}


def test_text_that_no_file_can_hold_is_refused() -> None:
    with pytest.raises(InvalidValue, match="text that UTF-8 can encode"):
        Description().add("linux::Application", command="\ud800")


def test_the_json_schema_knows_the_types() -> None:
    entry = json_schema()["$defs"]["ResourceEntry"]
    of_type = {
        rule["if"]["properties"]["type"]["const"]: rule["then"]["properties"]
        for rule in entry["allOf"]
    }
    assert set(ATTRIBUTES) <= set(of_type)
    assert of_type["linux::Node"]["port"]["maximum"] == 65535
    assert "os" not in of_type["linux::Node"]
    assert "description" in of_type["linux::Application"]["node"]
    assert entry["required"] == ["type"]
