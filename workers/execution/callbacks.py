"""Functions that scripts have scheduled, called on a worker."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from ...controller.errors import ClassNotImportable, NotAllowed
from ...controller.experiment.controller import ExperimentController
from ...controller.experiment.schedule import METHODS
from ...controller.settings import Settings

#: Characters of a result that are kept.
LONGEST = 20_000


def call(settings: Settings, run_id: str, described: str) -> str:
    """Call a function or a method of the experiment, as ``ec.schedule`` has described it.

    Args:
        settings: of this worker; only modules that its ``imports`` list are imported.
        run_id: the run that it belongs to.
        described: JSON with ``function`` (``module:name``) or ``method``, ``args``, ``kwargs``.

    Returns:
        What it returned, as JSON; text that shows it, or its beginning, if it is nothing that
        JSON has, or too long.

    Raises:
        ClassNotImportable: this worker does not import its module.
        NotAllowed: it is no function of that module, or no method that workers call.
        Exception: what it raised.
    """
    spec = json.loads(described)
    if "method" in spec:
        value = _on_experiment(settings, run_id, spec)
    else:
        value = _function(settings, spec["function"])(*spec["args"], **spec["kwargs"])
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(repr(value))
    return text if len(text) <= LONGEST else json.dumps(repr(value)[:LONGEST] + "...")


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
    # What the module itself imports was not meant to be called by whoever writes into Redis.
    if not callable(found) or found.__module__ != module:
        raise NotAllowed(f"{where} is no function of that module")
    return found  # type: ignore[no-any-return]


def _on_experiment(settings: Settings, run_id: str, spec: dict[str, Any]) -> Any:
    if spec["method"] not in METHODS:
        raise NotAllowed(f"workers do not call {spec['method']!r} of an experiment")
    ec = ExperimentController.attach(run_id, settings=settings)
    try:
        with ec.without_waiting():
            return getattr(ec, spec["method"])(*spec["args"], **spec["kwargs"])
    finally:
        ec.close()
