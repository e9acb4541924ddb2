"""Log formats of a worker: text, or JSON with the step to which a line belongs.

Hosts and hooks supply parts of a line. None of them may look like a line of its own or send
control characters to a terminal; in JSON everything but plain ASCII is escaped.
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

from ...controller.engine.store.calls import Claim
from ...controller.errors.text import escaped

_NO_FIELDS: Mapping[str, Any] = {}
_step: ContextVar[Mapping[str, Any]] = ContextVar("nepiq_step", default=_NO_FIELDS)


def step_fields(run_id: str, claim: Claim, worker: str) -> dict[str, Any]:
    """Return the fields of a log line that identify its step."""
    return {
        "run": run_id,
        "label": claim.label,
        "guid": claim.guid,
        "action": claim.action,
        "step": claim.step,
        "attempt": claim.tries,
        "worker": worker,
    }


@contextmanager
def within(fields: Mapping[str, Any]) -> Iterator[None]:
    """Add the fields of a step to the lines that this thread logs in the block."""
    token = _step.set(fields)
    try:
        yield
    finally:
        _step.reset(token)


class JsonFormatter(logging.Formatter):
    """Formatter of lines as JSON objects.

    Each has ``time`` (UTC, microseconds), ``level``, ``logger`` and ``message``. ``event`` names
    the kind of event, if the program sets it; ``exception`` is a traceback. Lines of a step also
    have the fields of :func:`step_fields`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        fields = {
            "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "action", None)
        if event is not None:
            fields["event"] = event
        fields |= getattr(record, "about", None) or _step.get()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # ASCII can be written in any encoding; a host's file names may not be valid text.
        return json.dumps(fields, default=str)


class HarmlessFilter(logging.Filter):
    """Filter that removes control characters from records and indents their further lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record and return True."""
        record.msg, record.args = _indented(record.getMessage()), None
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            traceback = logging.Formatter().formatException(record.exc_info)
            record.exc_text = _INDENT + _indented(traceback)
        return True


_INDENT = "    "


def _indented(text: str) -> str:
    lines = escaped(text).split("\n")
    return "\n".join([lines[0], *(_INDENT + line for line in lines[1:])])


def use_json() -> None:
    """Make this process' Celery worker log as JSON."""
    _on_setup(_as_json)


def use_text() -> None:
    """Make this process' Celery worker log as text."""
    _on_setup(_as_text)


def _on_setup(change: Callable[..., None]) -> None:
    # Celery keeps weak references to receivers by default.
    signals.after_setup_logger.connect(change, weak=False)
    signals.after_setup_task_logger.connect(change, weak=False)


def _as_json(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())


def _as_text(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        if not any(isinstance(item, HarmlessFilter) for item in handler.filters):
            handler.addFilter(HarmlessFilter())
