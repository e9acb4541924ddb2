"""Libraries that only an extra of this package brings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import CampaignError


def library(name: str, extra: str) -> Any:
    """Return a module.

    Args:
        name: its name.
        extra: the extra that brings it.

    Raises:
        CampaignError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        hint = f"pip install 'nepiq[{extra}]'"
        if extra in ("pandas", "polars", "parquet"):
            hint += "; CSV and JSONL need nothing"
        raise CampaignError(f"{name.partition('.')[0]} is not installed", hint=hint) from error
