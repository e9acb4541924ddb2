"""Table rows of the resources of a run."""

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
    """One resource as a row of a table.

    Attributes:
        guid: the guid.
        label: the label.
        rtype: the type.
        state: the state.
        since: seconds in this state; None for NEW.
        host: label of the host that it acts on; of a leased host its name and port; else empty.
        note: its error, or its exit code; may be empty.
    """

    guid: int
    label: str
    rtype: str
    state: str
    since: float | None
    host: str
    note: str


def rows(
    records: Iterable[ResourceRecord], other_labels: Mapping[int, str] = MappingProxyType({})
) -> list[Row]:
    """Return the rows of resources, in order of registration.

    Args:
        records: the resources.
        other_labels: labels of further resources by guid, which may include their hosts.
    """
    ordered = sorted(records, key=lambda record: record.guid)
    labels = {**other_labels, **{record.guid: record.label for record in ordered}}
    return [_row(record, labels) for record in ordered]


def _row(record: ResourceRecord, labels: Mapping[int, str]) -> Row:
    entered = record.milestones.get(record.state)
    host = "" if record.is_host or record.host is None else labels.get(record.host, "")
    if record.is_host:
        host = str((record.attributes.get("lease") or {}).get("host", ""))
    return Row(
        record.guid,
        record.label,
        record.rtype,
        record.state,
        None if entered is None else max(0.0, time.time() - entered),
        host,
        note(record.error, record.attributes),
    )


def note(error: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> str:
    """Return the error of a resource, else the exit code of its process; may be empty.

    Args:
        error: the error in its record or in its FAILED event.
        attributes: its attributes, or the info of the event of its end.
    """
    if error:
        message = str(error.get("message") or error.get("type") or "failed")
        return one_line(message, LONGEST_MESSAGE)
    code = attributes.get("exitCode", attributes.get("code"))
    return "" if code is None else f"exit code {code}"


def summary(states: Iterable[str]) -> str:
    """Count resources by state: ``12 STARTED, 1 FAILED``."""
    counts = Counter(states)
    return ", ".join(f"{count} {state}" for state, count in counts.most_common())
