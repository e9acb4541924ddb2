"""Logs of a worker: as text, or as JSON with the step that a line belongs to.

Hosts and hooks choose what is in a line, so that nothing in it may look like a line of its own or
reach a terminal: in JSON all that is not plain ASCII is escaped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from celery import signals

from ...controller.engine.store.calls import Grant
from ...controller.errors.text import harmless

_NOTHING: Mapping[str, Any] = {}
_step: ContextVar[Mapping[str, Any]] = ContextVar("nepiq_step", default=_NOTHING)


def about(run_id: str, grant: Grant, worker: str) -> dict[str, Any]:
    """What a line tells of the step that it belongs to."""
    return {
        "run": run_id,
        "label": grant.label,
        "guid": grant.guid,
        "action": grant.action,
        "step": grant.step,
        "attempt": grant.tries,
        "worker": worker,
    }


@contextmanager
def within(fields: Mapping[str, Any]) -> Iterator[None]:
    """Have the lines that this thread logs in the block belong to a step."""
    token = _step.set(fields)
    try:
        yield
    finally:
        _step.reset(token)


class JsonFormatter(logging.Formatter):
    """Makes a line a JSON object.

    It has ``time`` (UTC, microseconds), ``level``, ``logger`` and ``message``; ``event``, a word
    that names what happened, where the program gives one; ``exception``, a traceback; and within
    a step what :func:`about` tells.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        told = {
            "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "action", None)
        if event is not None:
            told["event"] = event
        told |= getattr(record, "about", None) or _step.get()
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        # In ASCII: it can be written in any encoding, also what of a host's file names is no text.
        return json.dumps(told, default=str)


class HarmlessFilter(logging.Filter):
    """Has the text of a record shown without control characters, its further lines indented."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let it pass."""
        record.msg, record.args = _indented(record.getMessage()), None
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            told = logging.Formatter().formatException(record.exc_info)
            record.exc_text = _INDENT + _indented(told)
        return True


_INDENT = "    "


def _indented(text: str) -> str:
    lines = harmless(text).split("\n")
    return "\n".join([lines[0], *(_INDENT + line for line in lines[1:])])


def use_json() -> None:
    """Have this process' Celery worker log as JSON."""
    _whenever_set_up(_as_json)


def use_text() -> None:
    """Have this process' Celery worker log as text."""
    _whenever_set_up(_as_text)


def _whenever_set_up(change: Callable[..., None]) -> None:
    # Celery keeps weak references to what it calls.
    signals.after_setup_logger.connect(change, weak=False)
    signals.after_setup_task_logger.connect(change, weak=False)


def _as_json(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())


def _as_text(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        if not any(isinstance(one, HarmlessFilter) for one in handler.filters):
            handler.addFilter(HarmlessFilter())
