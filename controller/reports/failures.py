"""What failed, where and why, as data and in words."""

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
        label: its name.
        rtype: its type.
        critical: True if it ends the experiment.
        released: True if the error came while it was released: nothing failed before.
        kind: class of the error, e.g. ``CommandError``.
        message: what happened.
        where: host, step and attempt it happened at; may be empty.
        hint: what to do about it; may be empty.
        info: everything recorded, such as ``code`` and ``stderr`` of a command.
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
        weight = "" if self.critical else " (not critical)"
        hint = f" ({self.hint})" if self.hint and self.hint not in message else ""
        return f"{self.label}: {message}{place}{weight}{hint}"

    @classmethod
    def of(cls, record: ResourceRecord) -> Failure:
        """The failure that a resource's record holds."""
        info = record.error or {}
        where = _line(info.get("where", ""))
        # A release counts as every milestone, so its time tells which of them really came.
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


def _line(told: object) -> str:
    return one_line(str(told), LONGEST_MESSAGE)


def failures(records: Iterable[ResourceRecord]) -> list[Failure]:
    """The failures that records hold, critical ones first, in order of time."""
    failed = [record for record in records if record.error]
    failed.sort(key=lambda record: (not record.critical, record.milestones.get("FAILED", 0.0)))
    return [Failure.of(record) for record in failed]
