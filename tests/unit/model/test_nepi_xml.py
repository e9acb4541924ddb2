"""Experiments that NEPI has saved can be read, and nothing in them is carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.description.files.reader import Draft
from nepiq.controller.description.files.writer import write
from nepiq.controller.errors import DocumentError

SAVED = Path(__file__).parent / "nepi" / "ping.xml"


def draft(content: bytes) -> Draft:
    return Draft(content, "old.xml", "xml")


def errors(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        draft(text.encode()).fill(Description())
    return [str(error) for error in caught.value.errors]


def test_an_experiment_of_nepi() -> None:
    made, source = Description(), draft(SAVED.read_bytes())
    source.fill(made, complete=True)
    assert made.exp_id == "ping"
    assert [(guid, made.label(guid), made.spec(guid).rtype) for guid in made] == [
        (1, "node-1", "linux::Node"),
        (2, "application-2", "linux::Application"),
        (7, "application-7", "linux::Application"),
    ]
    assert (made.get(1, "port"), made.get(1, "cleanProcesses")) == (22, True)
    assert (made.get(7, "command"), made.get(7, "critical")) == ("nc 127.0.0.1 3333", False)
    assert made.host_of(2) == made.host_of(7) == 1
    assert [
        (c.guid, str(c.action), c.target, str(c.milestone), c.offset) for c in made.conditions()
    ] == [
        (2, "stop", 7, "STOPPED", 1.0),
        (7, "deploy", 1, "READY", 0.0),
        (7, "deploy", 2, "READY", 0.0),
        (7, "start", 2, "STARTED", 0.0),
    ]
    assert source.warnings == ["old.xml:8:9: attribute 'ip' is obsolete and ignored"]


def test_it_is_the_same_as_yaml() -> None:
    made, again = Description(), Description()
    draft(SAVED.read_bytes()).fill(made)
    text = write(made, "yaml")
    Draft(text.encode(), "new.yaml", "yaml").fill(again, complete=True)
    assert write(again, "yaml") == text
    assert [made.spec(guid) for guid in made] == [again.spec(guid) for guid in again]


WRONG = """\
<experiment exp_id="old"><topology><nodes><node nid="1"/></nodes></topology><rms>
<rm guid="1" rtype="omf::Node"/>
<rm guid="2" rtype="LinuxApplication"><attributes>
 <attribute name="forwardX11" value="a.c"/>
 <attribute name="sudo" value="perhaps"/></attributes>
 <connections><connection guid="9"/><connection guid="1"/></connections>
 <conditions><condition action="1" group="__import__('os').abort()" state="5"/>
 <condition action="4" group="[1]" state="5"/>
 <condition action="1" group="[2]" state="15"/></conditions>
</rm>
<rm guid="2" rtype="LinuxApplication"/>
<rm rtype="LinuxApplication"/></rms></experiment>
"""


def test_everything_that_is_wrong_is_told() -> None:
    assert [line.split(" (")[0] for line in errors(WRONG)] == [
        "old.xml:2:1: unknown resource type 'omf::Node': testbeds no longer offer OMF 5.4 and 6",
        "old.xml:4:2: unknown attribute 'forwardX11'",
        "old.xml:5:2: sudo cannot be 'perhaps': it must be True or False",
        "old.xml:6:15: unknown resource '9'",
        "old.xml:7:14: \"__import__('os').abort()\" is not a group of guids",
        "old.xml:8:2: there is no action '4'",
        "old.xml:9:2: there is no state '15'",
        "old.xml:11:1: duplicate guid 2",
        "old.xml:12:1: a guid is missing",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<experiment>", "1:13: invalid XML: no element found"),
        ("", "1:1: invalid XML: no element found"),
        ("<html/>", "1:1: not an experiment of NEPI"),
        ("<a>" * 50, "1:121: nested deeper than 40 levels"),
        (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><experiment>&a;</experiment>',
            "1:13: a document type is not supported (remove it)",
        ),
        (
            '<?xml version="1.0" encoding="klingon"?><experiment/>',
            "1:31: invalid XML: unknown encoding: klingon",
        ),
    ],
)
def test_what_cannot_be_read(text: str, expected: str) -> None:
    assert errors(text) == [f"old.xml:{expected}"]
