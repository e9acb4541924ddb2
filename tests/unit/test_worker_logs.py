"""Logs of workers as JSON."""

from __future__ import annotations

import json
import logging

import pytest

from nepiq.workers.logs import JsonFormatter


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800", "grün", 'a "b"\n\t\x1b[0m'])
def test_any_text_can_be_written(text: str) -> None:
    record = logging.LogRecord("nepiq", logging.INFO, __file__, 1, "said %s", (text,), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line.encode("ascii"))["message"] == f"said {text}"
