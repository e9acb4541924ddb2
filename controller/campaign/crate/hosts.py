"""The hosts of a description, exchanged for those of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import CampaignError
from ...model import registry
from ...resources.linux.login_attributes import LOGIN

_POOL = "linux::Pool"


def in_pool(document: Mapping[str, Any], pool: str) -> dict[str, Any]:
    """Return a description whose hosts are leased from a pool, in place of their own ones.

    Args:
        document: the description as plain data, with places.
        pool: name of the pool.

    Raises:
        CampaignError: no host of the description can be leased.
    """
    resources = document.get("resources", {})
    leased = {label for label, item in resources.items() if _can_be_leased(item["type"])}
    if not leased:
        raise CampaignError("the description has no host that a pool can replace")
    kept = {
        label: {**_without_login(item), "pool": pool} if label in leased else item
        for label, item in resources.items()
        if item["type"] != _POOL
    }
    globals_ = {
        rtype: _without_login(values) if _can_be_leased(rtype) else values
        for rtype, values in document.get("globals", {}).items()
        if rtype != _POOL
    }
    return {**document, **({"globals": globals_} if globals_ else {}), "resources": kept}


def _can_be_leased(rtype: str) -> bool:
    cls = registry.find(rtype)
    return cls.provides_host and not cls.emulates and "pool" in cls.attributes


def _without_login(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a host without those that a pool gives it."""
    kept = {name: value for name, value in values.items() if name not in LOGIN}
    if isinstance(kept.get("attributes"), Mapping):
        kept["attributes"] = _without_login(kept["attributes"])
    return kept
