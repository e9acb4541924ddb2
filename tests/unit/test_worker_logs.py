"""Logs of workers as JSON."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from celery.utils.log import ColorFormatter

from nepiq.workers.runtime.json_logs import HarmlessFilter, JsonFormatter


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800", "grün", 'a "b"\n\t\x1b[0m'])
def test_any_text_can_be_written(text: str) -> None:
    record = logging.LogRecord("nepiq", logging.INFO, __file__, 1, "said %s", (text,), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line.encode("ascii"))["message"] == f"said {text}"


@pytest.mark.parametrize("colours", [False, True])
def test_a_record_of_text_begins_one_line(colours: bool) -> None:
    evil = "one\n[2026-01-01] forged \x1b[2J\u202e\r[2026-01-02] forged"
    try:
        raise ValueError(evil)
    except ValueError:
        told = sys.exc_info()
    record = logging.LogRecord("nepiq", logging.ERROR, __file__, 1, "said %s", (evil,), told)
    for _ in range(2):
        # Two handlers may share a record.
        assert HarmlessFilter().filter(record)
        text = ColorFormatter("[%(levelname)s] %(message)s", use_color=colours).format(record)
        first, *rest = text.replace("\r", "\n").removeprefix("\x1b[1;31m").split("\n")
        assert first == "[ERROR] said one"
        assert len(rest) >= 5
        assert all(line.startswith("    ") for line in rest)
        assert "\x1b[2J" not in text
        assert "\u202e" not in text
        assert rest[0].strip() == r"[2026-01-01] forged \x1b[2J\u202e\r[2026-01-02] forged"
