"""Connections that a deployment makes: to what an attribute names, and to what acts for several."""

from __future__ import annotations

from typing import ClassVar

import pytest

from nepiq.controller.description.description import Description
from nepiq.controller.model import ANY, Attribute, Connection, ResourceManager


class Booking(ResourceManager, rtype="test.completed::Booking"):
    internal = True
    members = Connection(ANY, many=True, waits=False)

    def site_of_workers(self) -> str:
        return "far"


class Lab(ResourceManager, rtype="test.completed::Lab"):
    pass


class Slot(ResourceManager, rtype="test.completed::Slot"):
    lab = Attribute(str, help="The lab.")
    place = Connection("test.completed::Lab", named_by="lab")
    booking = Connection("test.completed::Booking", waits=True, together=("lab", "place"))
    chosen = Attribute(str, help="Set by itself, though users may.")

    @classmethod
    def reported(cls, stored: object) -> list[str]:
        del stored
        return ["chosen"]


SLOT, LAB = Slot.rtype, Lab.rtype


def test_one_resource_acts_for_all_that_call_for_it() -> None:
    d = Description("test")
    lab, other = d.add(LAB, label="lab"), d.add(LAB)
    named, connected, outside = d.add(SLOT, lab="lab"), d.add(SLOT, place=other), d.add(SLOT)
    elsewhere = d.add(SLOT, lab="elsewhere")
    (booking,) = d.complete([lab, other, named, connected, outside, elsewhere])
    assert d.resource(booking).peers == {"members": [named, connected, elsewhere]}
    assert d.resource(named).peers == {"place": [lab], "booking": [booking]}
    assert d.resource(elsewhere).peers == {"booking": [booking]}
    assert d.resource(outside).peers == {}
    assert d.get(connected, "lab") == other
    assert d.spec(booking).queue == "nepiq.far"
    assert d.spec(named).after == [booking]


def test_a_deployment_without_them_adds_nothing() -> None:
    d = Description("test")
    slot, lab = d.add(SLOT), d.add(LAB)
    assert d.complete([slot, lab]) == []
    assert len(d) == 2


def test_copies_leave_out_what_the_deployment_made_and_what_was_reported() -> None:
    d = Description("test")
    slot = d.add(SLOT, lab="x", chosen="y")
    d.complete([slot])
    copy = Description("copy")
    copy.adopt(d)
    assert list(copy) == [slot]
    assert (copy.resource(slot).attrs, copy.resource(slot).peers) == ({"lab": "x"}, {})


@pytest.mark.parametrize(
    "connection",
    [Connection(LAB, named_by="nothing"), Connection(LAB, together=("lab", "nothing"))],
)
def test_names_that_do_not_exist(connection: Connection[object]) -> None:
    with pytest.raises(TypeError, match="unknown names in connections: nothing"):

        class Wrong(ResourceManager):
            lab = Attribute(str, help="The lab.")
            place: ClassVar[Connection[object]] = connection
