"""The end of a supervised process, as the engine records it."""

from __future__ import annotations

from typing import Any

from ...controller import errors
from ...controller.errors.text import LONGEST_MESSAGE, one_line
from ...controller.model import registry
from ...controller.model.host import Exit


def info(ended: Exit, where: str) -> dict[str, Any]:
    """What is told of an exit in the run's history; an error if it counts as FAILED.

    Args:
        ended: how it ended.
        where: the resource and host, for people.
    """
    told: dict[str, Any] = {"code": ended.code}
    if ended.outcome == "FAILED":
        told |= {
            "type": "CommandError",
            "message": one_line(ended.reason or f"exited with {ended.code}", LONGEST_MESSAGE),
            "where": where,
            "hint": errors.exit_hint(ended.code) or "set okExitCodes if this code is fine"
            if ended.code is not None
            else "",
        }
    return told


def attributes(rtype: str, ended: Exit) -> dict[str, Any]:
    """The attributes that an exit sets, where the type has them."""
    if ended.code is None:
        return {}
    try:
        declared = registry.find(rtype).attributes
    except errors.NepiqError:
        return {}
    return {"exitCode": ended.code} if "exitCode" in declared else {}
