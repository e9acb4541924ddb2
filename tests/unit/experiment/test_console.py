"""What the command line prints of texts that others chose."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nepiq.controller.cli.console import (
    make_console,
    print_error,
    print_json,
    print_line,
    print_message,
    resource_table,
    simple_table,
    state_text,
)
from nepiq.controller.errors import HostError
from nepiq.controller.reports.tables import Row

EVIL = "a\x1b[2J\x1b]0;owned\x07b\rc\x9b31m\u202egnp.exe\x7f"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07b\rc\x9b31m\u202egnp.exe\x7f"
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


def everything(console: Console) -> None:
    """Print the text in all that it may be put into."""
    console.print(EVIL)
    console.print(EVIL, style="red", soft_wrap=True)
    console.print(Text(EVIL), Text(EVIL, style="blue"), sep="\n")
    console.print(Group(EVIL, Text(EVIL), state_text(EVIL)))
    table = simple_table("first", "last")
    table.add_row(EVIL, Text(EVIL))
    table.add_row("one", f"two\nthree {EVIL}")
    console.print(table)
    console.print(resource_table([Row(1, EVIL, EVIL, "FAILED", 1.0, EVIL, EVIL)]))


@pytest.mark.parametrize("terminal", [False, True])
def test_control_characters_are_shown_as_text(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
    out = io.StringIO()
    console = make_console(out)
    everything(console)
    with Live(Text(EVIL), console=console, redirect_stdout=False, redirect_stderr=False):
        pass
    text = out.getvalue()
    assert console.is_terminal == terminal
    # rich itself drops some of them from a Text.
    dropped = SHOWN.replace(r"\x07", "").replace(r"\r", "")
    assert text.count(SHOWN) >= 9
    assert text.count(SHOWN) + text.count(dropped) >= 14
    for acting in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\x7f", "\u202e", "b\r"):
        assert acting not in text
    # A row of a table is one line, whatever is in it.
    assert rf"two\nthree {SHOWN}" in text


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_message(f"a\n{EVIL}")
    print_line(f"a\n{EVIL}")
    print_error(HostError(EVIL))
    print_json({EVIL: [EVIL]})
    out, err = capsys.readouterr()
    assert err == f"a\\n{SHOWN}\nnepiq: {SHOWN}\n"
    first, rest = out.split("\n", 1)
    assert first == f"a\\n{SHOWN}"
    assert json.loads(rest) == {EVIL: [EVIL]}
    assert all(character.isprintable() for character in rest.replace("\n", ""))
