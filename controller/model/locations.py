"""Locations of classes and functions: ``module:name``, or ``module:Class.method``."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

_LOCATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


def is_location(text: str) -> bool:
    """Return whether a text has the form of a location."""
    return _LOCATION.fullmatch(text) is not None


def import_location(location: str) -> Any:
    """Return the object at a location; its module is imported.

    Raises:
        Exception: any error of the import, or AttributeError if the module has no such name.
    """
    module, _, name = location.partition(":")
    value: Any = import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value
