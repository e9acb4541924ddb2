"""Tables of an experiment, while other threads change it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from nepiq.controller import ExperimentController
from nepiq.controller.description.resource import Resource
from nepiq.controller.description.roster import Roster


def test_a_resource_that_another_thread_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the table or not; the table is not broken off."""
    ec = ExperimentController("shared")
    node = ec.register_resource("linux::Node", label="node")
    doomed = ec.register_resource("linux::Application", label="doomed", connectedTo=node)
    listed = Roster.resources
    removers: list[threading.Thread] = []

    def resources(self: Roster) -> Iterable[Resource]:
        found = listed(self)
        if not removers:
            removers.append(threading.Thread(target=ec.remove_resource, args=[doomed]))
            removers[0].start()
            removers[0].join(0.2)  # A remover that has to wait for the table goes on after it.
        return found

    monkeypatch.setattr(Roster, "resources", resources)
    assert "doomed" in ec._repr_html_()
    removers[0].join(10)
    assert ec.resources == [node]
