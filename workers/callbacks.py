"""Functions that scripts have scheduled, called on a worker."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from ..controller.errors import ClassNotImportable, NotAllowed
from ..controller.experiment import ExperimentController
from ..controller.settings import Settings


def call(settings: Settings, run_id: str, described: str) -> str:
    """Call a function or a method of the experiment, as ``ec.schedule`` has described it.

    Args:
        settings: of this worker; only modules that its ``imports`` list are imported.
        run_id: the run that it belongs to.
        described: JSON with ``function`` (``module:name``) or ``method``, ``args``, ``kwargs``.

    Returns:
        What it returned, as JSON; text that shows it if it is nothing that JSON has.

    Raises:
        ClassNotImportable: this worker does not import its module.
        Exception: what it raised.
    """
    spec = json.loads(described)
    if "method" in spec:
        value = _on_experiment(settings, run_id, spec)
    else:
        value = _function(settings, spec["function"])(*spec["args"], **spec["kwargs"])
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(repr(value))


def _function(settings: Settings, where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    if module not in settings.imports:
        raise ClassNotImportable(
            f"this worker does not import {module!r}, in which the callback {name!r} is",
            where=f"worker machine {settings.machine}",
            hint=f"install it there and list it in NEPIQ_IMPORTS={module}",
        )
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise NotAllowed(f"{where} cannot be called")
    return found  # type: ignore[no-any-return]


def _on_experiment(settings: Settings, run_id: str, spec: dict[str, Any]) -> Any:
    ec = ExperimentController.attach(run_id, settings=settings)
    try:
        with ec.without_waiting():
            return getattr(ec, spec["method"])(*spec["args"], **spec["kwargs"])
    finally:
        ec.close()
