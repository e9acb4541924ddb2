"""What the command line prints of texts that others chose."""

from __future__ import annotations

import io

import pytest

from nepiq.controller.cli.console import make_console, resource_table, simple_table
from nepiq.controller.reports.tables import Row

ODD = ["sh: [/tmp]: not found", "[bold]x[/bold]", "a:smile:b", "[link=x]", "\\[a]", "x[/]y"]


@pytest.mark.parametrize("text", ODD)
def test_texts_are_printed_as_they_are(text: str) -> None:
    out = io.StringIO()
    console = make_console(out)
    console.print(text)
    console.print(text, style="red", soft_wrap=True)
    table = simple_table("first", "last")
    table.add_row(text, text)
    console.print(table)
    console.print(resource_table([Row(1, "one", "test::Type", "FAILED", 1.0, "host", text)]))
    assert out.getvalue().count(text) == 5
