"""The page that lists the types of NEPI, the table of those that are absent, and the registry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from nepiq.controller import ExperimentController, ResourceFactory
from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.errors import DocumentError, UnknownType
from nepiq.controller.model import registry
from nepiq.controller.resources.nepi_types import ABSENT, absence

PAGE = Path(__file__).parents[3] / "docs" / "nepi.md"
#: The names that NEPI 6.1.2 registers.
NAMES = (Path(__file__).parent / "nepi" / "types.txt").read_text().split()
#: The page lists them already; they come with the issue's other parts.
PRESENT = {"same", "renamed"}


class Row(NamedTuple):
    """A row of the page."""

    name: str
    word: str
    rest: str


def rows() -> list[Row]:
    text = PAGE.read_text().split("\n## Types\n")[1]
    return [Row(*row) for row in re.findall(r"^\| `([\w:]+)` \| (\w+) \| ?(.*?) ?\|$", text, re.M)]


ROWS = {row.name: row for row in rows()}


def error_of(rtype: str) -> UnknownType:
    with pytest.raises(UnknownType) as caught:
        registry.find(rtype)
    return caught.value


def test_the_page_has_one_row_for_each_type() -> None:
    assert len(NAMES) == len(set(NAMES)) == 193
    assert sorted(row.name for row in rows()) == sorted(NAMES)


def test_what_the_page_calls_present_is_registered() -> None:
    present = {row.name for row in ROWS.values() if row.word in PRESENT}
    registered = {name for name in NAMES if registry.is_known(name)}
    assert present == registered
    for row in ROWS.values():
        if row.word == "same" and row.name in registered:
            assert registry.find(row.name).rtype == row.name
            if row.name.count("::") == 1 and row.name.startswith("linux::"):
                former = f"Linux{row.name.removeprefix('linux::')}"
                assert f"`{former}`" in row.rest
                assert registry.find(former) is registry.find(row.name)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.word == "renamed"], ids=str)
def test_what_was_renamed_is_accepted(row: Row) -> None:
    cls = registry.find(row.name)
    assert f"`{cls.rtype}`" in row.rest or f"`{getattr(cls, 'typeid', '')}`" in row.rest


def test_the_table_has_what_the_page_calls_absent() -> None:
    absent = {row.name for row in ROWS.values() if row.word not in PRESENT}
    assert absent == set(ABSENT)
    assert {row.word for row in ROWS.values()} == {*PRESENT, "generic", "gone"}
    for name in absent:
        assert ROWS[name].rest == f"{ABSENT[name].reason}; {ABSENT[name].instead}"


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_the_error_says_why_and_what_to_use_instead(name: str) -> None:
    error = error_of(name)
    assert ABSENT[name].reason in error.message
    assert error.hint == ABSENT[name].instead
    for rtype in re.findall(r"\b(?:linux|ns3|nepiq)::[\w:]+", error.hint):
        assert rtype == "linux::Pool" or registry.is_known(rtype), "it has to exist"


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("LinuxCCND", "linux::CCND"),
        ("OMFWifiInterface", "omf::WifiInterface"),
        ("PlanetlabNode", "planetlab::Node"),
        ("PlanetlabSfaNode", "planetlab::sfa::Node"),
        ("WilabtSfaNode", "wilabt::sfa::Node"),
    ],
)
def test_names_of_older_scripts(former: str, name: str) -> None:
    assert absence(former) == ABSENT[name]
    assert former in error_of(former).message


def test_other_names_are_typing_errors() -> None:
    assert absence("linux::Nod") is None
    assert "did you mean 'linux::Node'" in error_of("linux::Nod").hint


def test_a_script() -> None:
    ec = ExperimentController("old", quiet=True)
    with pytest.raises(UnknownType, match=r"PlanetLab was shut down.*use linux::Node"):
        ec.register_resource("planetlab::Node", hostname="planetlab1.example")
    with pytest.raises(KeyError):
        ResourceFactory.get_resource_type("omf::Node")
    assert ec.resources == []


XML = """\
<experiment exp_id="old"><rms>
<rm guid="1" rtype="planetlab::Node"><attributes/><connections><connection guid="2"/></connections>
</rm>
<rm guid="2" rtype="linux::CCND"><attributes/></rm>
</rms></experiment>
"""
YAML = """\
nepiq: 1
resources:
  router:
    type: planetlab::Node
  daemon:
    type: linux::CCND
"""


@pytest.mark.parametrize(("form", "text", "lines"), [("xml", XML, (2, 4)), ("yaml", YAML, (4, 6))])
def test_a_file(form: str, text: str, lines: tuple[int, int]) -> None:
    with pytest.raises(DocumentError) as caught:
        Draft(text.encode(), f"old.{form}", form).fill(Description())
    errors = [str(error) for error in caught.value.errors]
    assert len(errors) == 2
    for error, line, name in zip(errors, lines, ("planetlab::Node", "linux::CCND"), strict=True):
        assert error.startswith(f"old.{form}:{line}:")
        assert ABSENT[name].reason in error
        assert ABSENT[name].instead in error
