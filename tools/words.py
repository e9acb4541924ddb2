"""The word list: the rules of CONTRIBUTING.md, "Prose", that a machine can check.

Without arguments it checks the whole tree, prints ``file:line: problem`` for each finding, and
exits with 1 if there is one. ``--count`` prints how often each rule matches in each room instead,
also where it is not enforced yet.

Pages are checked without their code blocks and code spans; of Python files the docstrings, comments
and texts of errors are checked, each kind by the rules that name it.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

LONGEST_LINE = 100
MOST_WORDS = 25
"""Words in one cell of a table."""

DOCS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples")
CODE = ("controller", "workers", "tasks", "tools")
THIS = "tools/words.py"  # names the words


class Rule(NamedTuple):
    """A pattern that must not be used.

    Attributes:
        pattern: a regular expression; the case of letters does not matter.
        instead: the replacement.
        exempt: files and folders of code in which it is not enforced yet.
    """

    pattern: str
    instead: str
    exempt: tuple[str, ...] = ()

    def is_enforced(self, name: str) -> bool:
        """Return whether it is enforced in a file."""
        return not any(name == place or name.startswith(place + "/") for place in self.exempt)


PRODUCT = ("controller", "workers")
ENGINE = "controller/engine"
HOSTS = "workers/hosts"
UPKEEP = "workers/upkeep"
SERVICES = "controller/services"

#: Words and phrases, in docs and in the docstrings, comments and errors of code.
WORDS = (
    # Words of this project's own for what has a standard word.
    Rule(r"\balarms?\b", "scheduled time, due time", ("controller/cli", ENGINE, UPKEEP)),
    Rule(r"\boccasions?\b", "start number, start", (ENGINE, "controller/model", HOSTS, UPKEEP)),
    Rule(
        r"\bsigns? of life\b",
        "heartbeat",
        (ENGINE, "workers/runtime", "workers/sessions", UPKEEP),
    ),
    Rule(
        r"\bhomes? of (the |a |its |each )?hosts?\b|\bhome among\b",
        "preferred worker",
        (ENGINE, UPKEEP),
    ),
    Rule(r"\bvoid\b", "cancelled", (ENGINE, "workers/execution")),
    Rule(r"\bsettles?\b|\bsettled\b", "dispatch, decide", (ENGINE, "controller/description")),
    Rule(r"\bsilent hosts?\b|\b(falls?|fell) silent\b", "unreachable", (ENGINE, HOSTS)),
    Rule(r"\bkeepers?\b", "daemon", (SERVICES, "workers/execution", "workers/process")),
    Rule(r"\bguardians?\b", "restarter"),
    Rule(r"\bembedded stack\b", "local services", PRODUCT),
    Rule(r"\bconvoys?\b", "batcher"),
    # Actors without a name, and programs that talk.
    Rule(r"\b(whoever|somebody|nobody|anybody|everybody)\b", "name the actor", PRODUCT),
    Rule(r"\b(tells?|told|telling)\b", "report, return, log", PRODUCT),
    Rule(r"\b(hears?|heard)\b", "receive", PRODUCT),
    Rule(r"\b(rings|rang|rung)\b", "is due, fires", PRODUCT),
    # Phrases that are translated.
    Rule(r"\bshall\b", "must, may", PRODUCT),
    Rule(r"\bfor ever\b", "without a limit", PRODUCT),
    Rule(r"\b(gone|goes|go|going) on with\b", "resume, continue", PRODUCT),
    Rule(r"\bbroken off\b|\bbroke off\b", "interrupted", ("controller/cli", HOSTS)),
    Rule(r"\b(stand|stands|stood) still\b", "is paused", PRODUCT),
    Rule(r"\bof before\b", "earlier"),
    Rule(r"(?<!there )\b(is|are|was|were) no (?!longer\b|more\b)", "is not", PRODUCT),
)

#: First words of docstrings.
OPENINGS = (Rule(r"(what|who|how|where|whoever)\b", "a noun phrase, or a verb", PRODUCT),)

#: Whole lines of docstrings.
LINES = (Rule(r"^\s*[\w, ]+: the same\.$", "nothing: leave the attribute out", PRODUCT),)


#: Code in a docstring or comment.
_SPAN = re.compile(r"``.+?``")


class Finding(NamedTuple):
    """A place that breaks a rule."""

    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


class Line(NamedTuple):
    """A line of prose."""

    number: int
    text: str


def pages(root: Path = ROOT) -> Iterator[str]:
    """Return the pages of the project, relative to its root."""
    for place in DOCS:
        path = root / place
        for page in sorted(path.rglob("*.md")) if path.is_dir() else [path]:
            if page.exists():
                yield page.relative_to(root).as_posix()


def modules(root: Path = ROOT) -> Iterator[str]:
    """Return the Python files of the product, relative to the root."""
    for place in CODE:
        for module in sorted((root / place).rglob("*.py")):
            yield module.relative_to(root).as_posix()


def prose_of_page(text: str) -> list[Line]:
    """Return the lines of a page without code blocks, code spans and the targets of links."""
    lines = []
    # A span may run over the end of a line.
    text = re.sub(r"^```.*?^```$", _blank, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", _blank, text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    for number, line in enumerate(text.split("\n"), 1):
        lines.append(Line(number, line))
    return lines


def prose_of_module(text: str) -> tuple[list[Line], list[Line]]:
    """Return the lines of docstrings, comments and errors, and the first lines of docstrings."""
    lines, openings = [], []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                rows = [Line(node.lineno + at, row) for at, row in enumerate(value.split("\n"))]
                lines += rows
                openings.append(rows[0])
        elif isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    lines.append(Line(part.lineno, part.value))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines.append(Line(token.start[0], token.string))
    return [line._replace(text=_SPAN.sub("", line.text)) for line in lines], openings


def matches(
    rules: Iterable[Rule], lines: Iterable[Line], *, start: bool = False
) -> Iterator[tuple[Rule, Line, str]]:
    """Return the rule, the line and the text of each match.

    Args:
        rules: what to look for.
        lines: where.
        start: True if only the beginning of a line counts.
    """
    for rule in rules:
        pattern = re.compile(rule.pattern, re.IGNORECASE)
        for line in lines:
            found = [pattern.match(line.text)] if start else pattern.finditer(line.text)
            for match in found:
                if match:
                    yield rule, line, match.group().strip()


def form_of_page(text: str) -> Iterator[tuple[int, str]]:
    """Return the lines that are too long and the cells of tables that have too many words."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            continue
        elif line.startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                words = len(re.sub(r"\]\([^)]*\)", "]", cell).split())
                if words > MOST_WORDS:
                    yield number, f"a table cell of {words} words: use a list or a section"
        elif len(line) > LONGEST_LINE and " " in line.strip() and not line.startswith("!["):
            yield number, f"{len(line)} columns: wrap at {LONGEST_LINE}"


def check_page(name: str, text: str) -> Iterator[Finding]:
    """Return what is wrong with a page."""
    for number, problem in form_of_page(text):
        yield Finding(name, number, problem)
    rules = [rule for rule in WORDS if rule.is_enforced(name)]
    for rule, line, word in matches(rules, prose_of_page(text)):
        yield Finding(name, line.number, f'"{word}": write {rule.instead}')


def check_module(name: str, text: str) -> Iterator[Finding]:
    """Return what is wrong with the prose of a Python file."""
    lines, openings = prose_of_module(text)
    for rules, where, start in (
        (WORDS, lines, False),
        (LINES, lines, False),
        (OPENINGS, openings, True),
    ):
        enforced = [rule for rule in rules if rule.is_enforced(name)]
        for rule, line, word in matches(enforced, where, start=start):
            yield Finding(name, line.number, f'"{word}": write {rule.instead}')


def check(root: Path = ROOT) -> list[Finding]:
    """Return what is wrong in the whole tree."""
    findings: list[Finding] = []
    for name in pages(root):
        findings += check_page(name, (root / name).read_text("utf-8"))
    for name in modules(root):
        if name != THIS:
            findings += check_module(name, (root / name).read_text("utf-8"))
    return findings


def count(root: Path = ROOT) -> Iterator[str]:
    """Return a line for each rule and room: how often it matches there, enforced or not."""
    found: Counter[tuple[str, str]] = Counter()
    for name in pages(root):
        for rule, _, _ in matches(WORDS, prose_of_page((root / name).read_text("utf-8"))):
            found[rule.pattern, "docs"] += 1
    for name in modules(root):
        if name == THIS:
            continue
        room = "/".join(name.split("/")[:2])
        lines, openings = prose_of_module((root / name).read_text("utf-8"))
        for rule, _, _ in [*matches(WORDS, lines), *matches(LINES, lines)]:
            found[rule.pattern, room] += 1
        for rule, _, _ in matches(OPENINGS, openings, start=True):
            found[rule.pattern, room] += 1
    for rule in (*WORDS, *LINES, *OPENINGS):
        rooms = {room: n for (pattern, room), n in sorted(found.items()) if pattern == rule.pattern}
        yield f"{rule.pattern}: {sum(rooms.values())}"
        yield from (f"    {room}: {n}" for room, n in rooms.items())


def _blank(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n")


def main() -> int:
    """Check the tree, or count; return the exit code."""
    parser = argparse.ArgumentParser(description="Check the prose of the project.")
    parser.add_argument("--count", action="store_true", help="count matches by room")
    if parser.parse_args().count:
        print("\n".join(count()))
        return 0
    findings = check()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
