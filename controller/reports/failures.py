"""Failures of resources, as data and as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors.text import LONGEST_MESSAGE, one_line

if TYPE_CHECKING:
    from ..engine.store.records import ResourceRecord


@dataclass(frozen=True)
class Failure:
    """The failure of one resource, or an error while it was released.

    Attributes:
        guid: the resource.
        label: the label of the resource.
        rtype: the type of the resource.
        critical: True if the failure ends the experiment.
        released: True if the error occurred in the release, and the resource had not FAILED before.
        kind: class name of the error, e.g. ``CommandError``.
        message: the problem.
        where: host, step and attempt of the error; may be empty.
        hint: how to fix it; may be empty.
        info: the whole error record, such as ``code`` and ``stderr`` of a command.
    """

    guid: int
    label: str
    rtype: str
    critical: bool
    released: bool
    kind: str
    message: str
    where: str
    hint: str
    info: Mapping[str, Any]

    def __str__(self) -> str:
        message = self.message or self.kind or "failed"
        place = f", {self.where}" if self.where and self.where not in message else ""
        severity = "" if self.critical else " (not critical)"
        hint = f" ({self.hint})" if self.hint and self.hint not in message else ""
        return f"{self.label}: {message}{place}{severity}{hint}"

    @classmethod
    def of(cls, record: ResourceRecord) -> Failure:
        """Return the failure in the record of a resource."""
        info = record.error or {}
        where = _line(info.get("where", ""))
        # A release sets all missing milestones to its own time; FAILED is real if it is earlier.
        failed = record.milestones.get("FAILED", math.inf)
        return cls(
            record.guid,
            record.label,
            record.rtype,
            record.critical,
            failed >= record.milestones.get("RELEASED", math.inf),
            str(info.get("type", "")),
            _line(info.get("message", "")),
            where.removeprefix(record.label).lstrip(" ,:"),
            _line(info.get("hint", "")),
            info,
        )


def _line(value: object) -> str:
    return one_line(str(value), LONGEST_MESSAGE)


def failures(records: Iterable[ResourceRecord]) -> list[Failure]:
    """Return the failures in records: critical ones first, each group in order of time."""
    failed = [record for record in records if record.error]
    failed.sort(key=lambda record: (not record.critical, record.milestones.get("FAILED", 0.0)))
    return [Failure.of(record) for record in failed]
