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
    text = PAGE.read_text().split("\n## Redis\n")[0]
    promises = re.split(r"^- \*\*", text, flags=re.MULTILINE)[1:]
    assert len(promises) >= 40
    assert [promise for promise in promises if "`tests/" not in promise] == []


def test_the_files_that_security_names_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`((?:tests|deploy)/[\w./]+)`", text))
    assert len(named) >= 8
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
