"""Templates: descriptions with places, and what they become at a point."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from nepiq.controller.campaign.filling import ABSENT, Filling
from nepiq.controller.campaign.template import Template
from nepiq.controller.description.description import Description
from nepiq.controller.description.files.writer import document_of, write
from nepiq.controller.errors import DocumentError, InvalidValue, NotAllowed
from nepiq.controller.model.parameters import Parameter

NAMES = ("n", "rate", "mode", "fast")
POINT = {"n": 3, "rate": 0.5, "mode": "tcp", "fast": True}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${n}", 3),
        ("${rate}", 0.5),
        ("${fast}", True),
        (["${n}", "${mode}", 7], [3, "tcp", 7]),
        ({"a": {"b": ["${n}"]}, "c": 1}, {"a": {"b": [3]}, "c": 1}),
        ("-c ${n} -b ${rate} ${mode}${n} ${fast}", "-c 3 -b 0.5 tcp3 true"),
        # NEPI's places, the shell's variables and arithmetic stay.
        ("cd ${RUN_HOME}; echo ${i} ${n}", "cd ${RUN_HOME}; echo ${i} 3"),
        ("$n $((n)) ${n:-1} ${n}", "$n $((n)) ${n:-1} 3"),
        ("$${n}", "${n}"),
        ("a $${n} ${n}", "a ${n} 3"),
        ("${N}", "${N}"),
        (5, 5),
    ],
)  # fmt: skip
def test_filled_values(value: Any, expected: Any) -> None:
    before = copy.deepcopy(value)
    assert Filling(value, NAMES).at(POINT) == expected
    assert value == before


def test_a_parameter_that_a_point_does_not_have() -> None:
    value = {"whole": "${n}", "items": ["${n}", 1], "rest": 2}
    assert Filling(value, NAMES).at({}) == {"items": [1], "rest": 2}
    assert Filling("${n}", NAMES).at({}) is ABSENT
    with pytest.raises(InvalidValue, match="'n' has no value here, and '-c \\$\\{n\\}' needs it"):
        Filling("-c ${n}", NAMES).at({})


def test_a_name_that_begins_another() -> None:
    assert Filling("${n}${nn}", ["n", "nn"]).at({"n": 1, "nn": 2}) == "12"
    assert Filling(["${nn}"], ["n", "nn"]).at({"n": 1, "nn": 2}) == [2]


def test_no_parameters() -> None:
    assert Filling({"a": "${} ${n} $${n}"}, []).at({}) == {"a": "${} ${n} $${n}"}


def test_places() -> None:
    filling = Filling({"a": ["x ${n} ${mode} $${rate}", "${n}"], "b": 1}, NAMES)
    assert filling.places == {("a", 0): ("n", "mode"), ("a", 1): ("n",)}
    assert filling.names == {"n", "mode"}


def experiment() -> Description:
    made = Description("delay")
    node = made.add("linux::Node", label="here", hostname="localhost")
    made.add("linux::Ping", label="ping", node=node, target="10.0.0.1", count=Parameter("n"))
    made.add(
        "linux::Application",
        label="app",
        node=node,
        command=f"run -n {Parameter('n')} --seed {Parameter('seed')} ${{RUN_HOME}}",
        env={"RATE": Parameter("rate")},
        startTimeout=Parameter("n") + "s",
    )
    return made


def test_an_experiment_with_parameters() -> None:
    template = Template.of(experiment(), NAMES)
    assert template.names == {"n", "rate", "seed"}
    found = template.describe({**POINT, "seed": 99})
    assert found.get("ping", "count") == 3
    assert found.get("app", "command") == "run -n 3 --seed 99 ${RUN_HOME}"
    assert found.get("app", "env") == {"RATE": 0.5}
    assert found.get("app", "startTimeout") == "3s"
    # The template travels as JSON.
    again = Template(json.loads(json.dumps(template.to_document())), NAMES)
    assert document_of(again.describe({**POINT, "seed": 99})) == document_of(found)


def test_text_attributes_take_values_of_other_types_as_text() -> None:
    made = Description()
    node = made.add("linux::Node", hostname="localhost")
    made.add("linux::Application", label="app", node=node, command=Parameter("n"))
    assert Template.of(made, NAMES).describe(POINT).get("app", "command") == "3"


def test_a_value_that_is_refused_at_a_point() -> None:
    template = Template.of(experiment(), NAMES)
    with pytest.raises(DocumentError) as caught:
        template.describe({**POINT, "n": "many", "seed": 1})
    assert [error.where for error in caught.value.errors] == [
        "resources.ping.count",
        "resources.app.startTimeout",
    ]
    # The template is as before.
    assert template.describe({**POINT, "seed": 1}).get("ping", "count") == 3


def test_a_description_with_parameters_is_not_deployed() -> None:
    made = experiment()
    with pytest.raises(
        InvalidValue, match=r"\$\{n\}, given by a campaign, in attribute 'count' of"
    ):
        made.check()
    with pytest.raises(NotAllowed, match="cannot be a parameter after deployment"):
        made.set("app", "hardRelease", Parameter("n"), deployed=True)


def test_a_description_with_parameters_is_saved() -> None:
    text = write(experiment(), "yaml")
    assert "count: ${n}" in text
    assert "startTimeout: ${n}s" in text
    adopted = Description()
    adopted.adopt(experiment())
    assert write(adopted, "yaml").replace("experiment", "delay") == text


def test_parameters_are_values() -> None:
    place = "at least " + Parameter("delay") + "ms"
    assert place == "at least ${delay}ms"
    for again in (copy.deepcopy(place), pickle.loads(pickle.dumps(place))):
        assert again == place
        assert isinstance(again, Parameter)
    for name in ("a b", "", "class", "${n}"):
        with pytest.raises(InvalidValue, match="cannot be the name of a parameter"):
            Parameter(name)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("${rat}", ("rat", "rate")),
        ("-b ${rat}", ("rat", "rate")),
        ("${other}", ("other", "")),
        ("-b ${other}", None),
        ("-b ${date}", None),
        ("${RUN_HOME}", None),
        ("$${rat}", None),
        ("${seed} ${repetition}", None),
    ],
)
def test_unknown_parameters(text: str, unknown: tuple[str, str] | None) -> None:
    template = Template({"resources": {"a": {"command": text}}}, NAMES)
    path = ("resources", "a", "command")
    assert list(template.unknown()) == ([] if unknown is None else [(path, *unknown)])


def test_a_point_of_three_resources_takes_about_as_long_as_its_copy() -> None:
    template = Template.of(experiment(), NAMES)
    points = [{**POINT, "n": number, "seed": 1} for number in range(100)]

    def least(act: Callable[[dict[str, Any]], object]) -> float:
        def once() -> float:
            began = time.process_time()
            for point in points:
                act(point)
            return time.process_time() - began

        return min(once() for _ in range(5))

    plain = least(lambda _: copy.deepcopy(template.to_document()))
    assert least(template.expand) < 4 * plain
