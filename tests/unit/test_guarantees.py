"""Every promise names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())
    assert len(named) >= 20
    missing = []
    for file, name in sorted(set(named)):
        path = ROOT / file
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if name not in defined:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_promise_names_one() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows if row.count("|") == 4 and " s |" not in row]
    promises = [row for row in promises if not row.startswith(("| promise", "| what"))]
    assert len(promises) >= 15
    assert [row for row in promises if "::" not in row] == []


def test_the_files_that_security_names_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`((?:tests|deploy)/[\w./]+)`", text))
    assert len(named) >= 8
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
