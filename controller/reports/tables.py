"""Resources of a run as the rows of a table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors.text import LONGEST_MESSAGE, one_line

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord


@dataclass(frozen=True)
class Row:
    """What is shown of one resource.

    Attributes:
        guid: its number.
        label: its name.
        rtype: its type.
        state: where it is.
        since: seconds it has been there; None if it is NEW.
        host: label of the host it acts on; empty if there is none, or it is a host.
        note: its error, or how it ended.
    """

    guid: int
    label: str
    rtype: str
    state: str
    since: float | None
    host: str
    note: str


def rows(
    records: Iterable[ResourceRecord], known: Mapping[int, str] = MappingProxyType({})
) -> list[Row]:
    """The rows of a table of resources, in order of registration.

    Args:
        records: the resources.
        known: labels of further resources, which may be their hosts.
    """
    ordered = sorted(records, key=lambda record: record.guid)
    labels = {**known, **{record.guid: record.label for record in ordered}}
    return [_row(record, labels) for record in ordered]


def _row(record: ResourceRecord, labels: Mapping[int, str]) -> Row:
    reached = record.milestones.get(record.state)
    host = "" if record.is_host or record.host is None else labels.get(record.host, "")
    return Row(
        record.guid,
        record.label,
        record.rtype,
        record.state,
        None if reached is None else max(0.0, time.time() - reached),
        host,
        note(record.error, record.attributes),
    )


def note(error: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> str:
    """A remark on a resource: its error, else the exit code of its process.

    Args:
        error: what its record or its FAILED event says went wrong.
        attributes: its attributes, or what the event of its end tells.
    """
    if error:
        told = str(error.get("message") or error.get("type") or "failed")
        return one_line(told, LONGEST_MESSAGE)
    code = attributes.get("exitCode", attributes.get("code"))
    return "" if code is None else f"exit code {code}"


def summary(states: Iterable[str]) -> str:
    """How many resources are where: ``12 STARTED, 1 FAILED``."""
    counted = Counter(states)
    return ", ".join(f"{count} {state}" for state, count in counted.most_common())
