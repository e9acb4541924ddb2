"""The word list of the project's prose, and the wrapping of its pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import words, wrap

CELL = " ".join(["word"] * 26)


def problems(findings: list[words.Finding]) -> list[tuple[int, str]]:
    return [(finding.line, finding.problem.split(":")[0]) for finding in findings]


def test_the_project_keeps_its_rules() -> None:
    assert [str(finding) for finding in words.check()] == []


def test_a_word_is_found_with_its_line() -> None:
    page = "A title\n\nThe step is told.\nNobody knows it.\n"
    found = problems(list(words.check_page("docs/page.md", page)))
    assert sorted(found) == [(3, '"told"'), (4, '"Nobody"')]


def test_code_and_targets_of_links_are_not_prose() -> None:
    page = "`told` and `a\ntold b` and [a page](told.md)\n\n```\nnobody\n```\n"
    assert list(words.check_page("docs/page.md", page)) == []


def test_what_follows_a_block_keeps_its_line() -> None:
    page = "```\nfirst\nsecond\n```\nIt is void.\n"
    assert problems(list(words.check_page("docs/page.md", page))) == [(5, '"void"')]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is no file.", 1),
        ("They were no files.", 1),
        ("It is no longer a file.", 0),
        ("There is no file.", 0),
        ("It is not a file.", 0),
    ],
)
def test_negations(text: str, number: int) -> None:
    assert len(list(words.check_page("docs/page.md", text))) == number


def test_long_lines_and_cells() -> None:
    page = f"{'long ' * 21}\n\n| {CELL} | b |\n|---|---|\n\n```\n{'long ' * 21}\n```\n"
    assert problems(list(words.check_page("docs/page.md", page))) == [
        (1, "105 columns"),
        (3, "a table cell of 26 words"),
    ]


def test_docstrings_comments_and_errors_of_code() -> None:
    module = (
        '"""What it is.\n\nIt shall be.\n"""\n\n'
        "told = 1  # told to others\n"
        'raise ValueError("nobody is there")\n'
    )
    found = problems(list(words.check_module("tasks/module.py", module)))
    assert sorted(found) == [(1, '"What"'), (3, '"shall"'), (6, '"told"'), (7, '"nobody"')]


def test_code_in_docstrings_is_not_prose() -> None:
    module = '"""A step that is ``void``."""\n'
    assert list(words.check_module("tasks/module.py", module)) == []


def test_a_word_is_not_enforced_where_the_table_exempts_it() -> None:
    module = '"""A convoy of steps, which somebody watches."""\n'
    found = problems(list(words.check_module("controller/engine/module.py", module)))
    assert found == [(1, '"convoy"')]


def test_every_place_that_is_exempt_exists() -> None:
    rules = (*words.WORDS, *words.OPENINGS, *words.LINES)
    places = {place for rule in rules for place in rule.exempt}
    assert sorted(place for place in places if not (words.ROOT / place).exists()) == []


def test_all_of_the_tree_is_read(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "deep" / "page.md").write_text("Somebody did it.\n")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "module.py").write_text("# It rang.\n")
    assert [str(finding).rsplit(": write", 1)[0] for finding in words.check(tmp_path)] == [
        'docs/deep/page.md:1: "Somebody"',
        'tasks/module.py:1: "rang"',
    ]


def test_paragraphs_and_items_are_wrapped_and_nothing_else() -> None:
    long = " ".join(["word"] * 30)
    page = f"# {long}\n\n- {long}\n  and more\n- short\n\n| {long} |\n\n```\n{long}\n```\n{long}\n"
    lines = wrap.wrap(page).splitlines()
    assert lines[0] == f"# {long}"
    assert [line[:2] for line in lines[2:5]] == ["- ", "  ", "- "]
    assert f"| {long} |" in lines
    assert lines.count(long) == 1
    assert max(len(line) for line in lines[-2:]) <= wrap.WIDTH


@pytest.mark.parametrize("name", list(words.pages()))
def test_what_is_wrapped_stays_as_it_is(name: str) -> None:
    once = wrap.wrap((words.ROOT / name).read_text())
    assert wrap.wrap(once) == once
    assert list(words.form_of_page(once)) == []
