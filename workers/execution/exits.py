"""Exits of supervised processes, in the form in which the engine records them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ...controller import errors
from ...controller.engine.run import Run
from ...controller.engine.store.records import ResourceRecord
from ...controller.errors.text import LONGEST_MESSAGE, one_line
from ...controller.model import figures, registry
from ...controller.model.host import Exit
from . import loading

log = logging.getLogger("nepiq.exits")


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


def measure(
    run: Run, record: ResourceRecord, process_exit: Exit, read: Callable[[str, int], bytes]
) -> dict[str, Any]:
    """Return the figures that a process has left, if its resource type declares any.

    Args:
        run: the run.
        record: the resource.
        process_exit: the exit.
        read: returns the last bytes of a file in the run directory; used for outputs that did not
            travel with the exit.

    Raises:
        HostUnreachable: such outputs cannot be read at present.
    """
    try:
        if process_exit.code is None or not registry.find(record.rtype).measured:
            return {}
        rm = loading.resource(run, record)
    except errors.NepiqError:
        return {}
    try:
        return figures.measure(rm, figures.Outputs(process_exit, read))
    except errors.HostUnreachable:
        raise
    except Exception as error:  # noqa: BLE001 - a class may raise anything
        log.warning("%s", figures.warning(rm, error), extra={"action": "figures_failed"})
        return {}
