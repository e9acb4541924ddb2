"""Logs of a worker as JSON: one object a line, with the step that a line belongs to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from celery import signals

from ..controller.engine.store.calls import Grant

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


def use_json() -> None:
    """Have this process' Celery worker log that way."""
    # Celery keeps weak references to what it calls.
    signals.after_setup_logger.connect(_reformat, weak=False)
    signals.after_setup_task_logger.connect(_reformat, weak=False)


def _reformat(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())
