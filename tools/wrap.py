"""The wrapping of pages: paragraphs and lists at 100 columns; tables and code stay as they are.

Run it with the names of pages, which it changes: ``.venv/bin/python tools/wrap.py docs/cli.md``.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

WIDTH = 100
LONGEST_SPAN = 70
"""A code span up to this length stays in one line."""

_ITEM = re.compile(r"(\s*)([-*]|\d+\.) (.*)")
_SPAN = re.compile(r"`[^`\n]+`")
_BLANK = "\0"


def wrap(text: str) -> str:
    """Return the text of a page with its paragraphs and lists wrapped."""
    lines: list[str] = []
    paragraph: list[str] = []
    first = rest = ""
    fenced = False

    def flush() -> None:
        lines.extend(_filled(" ".join(paragraph), first, rest))
        paragraph.clear()

    for line in text.rstrip("\n").split("\n"):
        fence = line.lstrip().startswith("```")
        if fence or fenced or not line.strip() or line.startswith(("#", "|", "![")):
            flush()
            fenced ^= fence
            lines.append(line)
        elif item := _ITEM.fullmatch(line):
            flush()
            first = f"{item[1]}{item[2]} "
            rest = " " * len(first)
            paragraph.append(item[3])
        else:
            if not paragraph:
                first = rest = line[: len(line) - len(line.lstrip())]
            paragraph.append(line)
    flush()
    return "\n".join(lines) + "\n"


def _filled(text: str, first: str, rest: str) -> list[str]:
    whole = _SPAN.sub(_kept, " ".join(text.split()))
    filled = textwrap.wrap(
        whole,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_BLANK, " ") for line in filled]


def _kept(match: re.Match[str]) -> str:
    span = match.group()
    return span.replace(" ", _BLANK) if len(span) <= LONGEST_SPAN else span


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(wrap(page.read_text("utf-8")), "utf-8")
