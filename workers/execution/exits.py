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
            "hint": process_exit.hint,
        }
    return record


def attributes(rtype: str, process_exit: Exit) -> dict[str, Any]:
    """Return the attributes that an exit sets, if the resource type declares them."""
    return declared(rtype, {} if process_exit.code is None else {"exitCode": process_exit.code})


def declared(rtype: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values whose attributes the resource type declares."""
    if not values:
        return {}
    try:
        known = registry.find(rtype).attributes
    except errors.NepiqError:
        return {}
    return {name: value for name, value in values.items() if name in known}
