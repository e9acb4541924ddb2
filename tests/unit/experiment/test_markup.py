"""Tables for notebooks."""

from __future__ import annotations

from tests.unit.experiment.test_page import EVIL, record

from nepiq.controller import ExperimentController
from nepiq.controller.reports.markup import experiment_html, resource_html
from nepiq.controller.reports.tables import rows


def test_what_is_not_deployed_is_shown_without_redis() -> None:
    # The address leads nowhere; nobody may try it.
    ec = ExperimentController("table", state_url="redis://192.0.2.1:1/0")
    ec.register_resource("linux::Node", label="here")
    ec.register_resource("linux::Application", label="app", connectedTo="here", command="true")
    table = ec._repr_html_()
    assert "not deployed" in table
    assert "2 resources" in table
    assert table.count("<tr>") == 3
    assert ">here<" in table
    view = ec.get_resource("app")
    assert view is not None
    for text in ("<b>app</b>", ">linux::Application<", ">here<", ">true<"):
        assert text in view._repr_html_()


def test_texts_are_escaped() -> None:
    made = record(1, "app", error={"message": EVIL}, attributes={"command": EVIL})
    for table in (experiment_html(EVIL, EVIL, rows([made])), resource_html(made)):
        assert "<script" not in table
        assert "\u202e" not in table
        assert r"\u202e" in table
        assert "&lt;/script&gt;" in table


def test_a_long_table_is_cut_short() -> None:
    table = experiment_html("x", "run 1", rows(record(g, f"r{g}") for g in range(1, 101)))
    assert "and 70 more" in table
    assert "100 resources, 100 STARTED" in table
    assert table.count("<tr>") == 32


def test_a_resource() -> None:
    host = record(1, "node", 1, is_host=True)
    table = resource_html(record(2, "app", 1, attributes={"command": "true"}), [host])
    for text in ("app", "STARTED", "node", "command", "true"):
        assert f">{text}<" in table or f" {text}" in table
