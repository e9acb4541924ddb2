"""Exits of supervised processes, in the form in which the engine records them."""

from __future__ import annotations

from typing import Any

from ...controller import errors
from ...controller.errors.text import LONGEST_MESSAGE, one_line
from ...controller.model import registry
from ...controller.model.host import Exit


def info(process_exit: Exit, where: str) -> dict[str, Any]:
    """Return the exit as recorded in the event stream: its code, and an error if it is FAILED.

    Args:
        process_exit: the exit.
        where: the resource and host, for people.
    """
    record: dict[str, Any] = {"code": process_exit.code}
    if process_exit.outcome == "FAILED":
        message = process_exit.reason or f"exited with {process_exit.code}"
        record |= {
            "type": "CommandError",
            "message": one_line(message, LONGEST_MESSAGE),
            "where": where,
            "hint": errors.exit_hint(process_exit.code) or "set okExitCodes if this code is fine"
            if process_exit.code is not None
            else "",
        }
    return record


def attributes(rtype: str, process_exit: Exit) -> dict[str, Any]:
    """Return the attributes that an exit sets, if the resource type declares them."""
    if process_exit.code is None:
        return {}
    try:
        declared = registry.find(rtype).attributes
    except errors.NepiqError:
        return {}
    return {"exitCode": process_exit.code} if "exitCode" in declared else {}
