"""Calls of functions that scripts have scheduled, made on a worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...controller.errors import ClassNotImportable, NotAllowed
from ...controller.experiment.controller import ExperimentController
from ...controller.experiment.schedule import METHODS
from ...controller.model.locations import import_location
from ...controller.settings import Settings

#: Characters of a result that are recorded.
LONGEST = 20_000


def call(settings: Settings, run_id: str, description: str) -> str:
    """Call a function or a method of the experiment, as described by ``ec.schedule``.

    Args:
        settings: of this worker; only modules listed in its ``imports`` are imported.
        run_id: the run of the call.
        description: JSON with ``function`` (``module:name``) or ``method``, ``args``, ``kwargs``.

    Returns:
        The returned value as JSON; a value that has no JSON form or is too long is replaced by
        its representation, cut to :data:`LONGEST` characters.

    Raises:
        ClassNotImportable: this worker does not import the function's module.
        NotAllowed: it is not a function of that module, or not a method that workers call.
        Exception: any error of the function.
    """
    spec = json.loads(description)
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
    function = import_location(where)
    # Anyone who can write to Redis names the function: names that the module only imports are
    # not exposed.
    if not callable(function) or function.__module__ != module:
        raise NotAllowed(f"{where} is not a function of that module")
    return function  # type: ignore[no-any-return]


def _on_experiment(settings: Settings, run_id: str, spec: dict[str, Any]) -> Any:
    if spec["method"] not in METHODS:
        raise NotAllowed(f"workers do not call {spec['method']!r} of an experiment")
    ec = ExperimentController.attach(run_id, settings=settings)
    try:
        with ec.without_waiting():
            return getattr(ec, spec["method"])(*spec["args"], **spec["kwargs"])
    finally:
        ec.close()
