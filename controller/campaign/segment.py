"""Segments of a campaign: its spaces, and further repetitions of them, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .plan import CampaignPlan
from .space import Order, Space, point_id

if TYPE_CHECKING:
    from .build import Build


class Segment:
    """One space of a campaign, in its order; or further repetitions of an earlier one.

    Args:
        data: ``space``, ``repetitions``, and ``order``, a seed or None, as JSON values. Further
            repetitions also have ``of``, the number of the earlier space, and ``first``, the
            number of repetitions before them; a space whose points a function of the script has
            described has ``built``, an :class:`.Expansion`.

    Attributes:
        document: the JSON values.
        space: the points.
        of: number of the earlier space; None for a space of its own.
        end: number of repetitions of the space up to and with these.
        built: the descriptions of its points; empty for none of their own.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.space = Space.of(data["space"])
        self.of: int | None = data.get("of")
        first, repetitions = int(data.get("first", 0)), int(data["repetitions"])
        self.end = first + repetitions
        self.document = data
        self.built = str(data.get("built", ""))
        self._order = Order(len(self.space), self.end, data["order"])
        self._skipped = first * len(self.space)

    @staticmethod
    def data(plan: CampaignPlan) -> dict[str, Any]:
        """Return the JSON values of the space of a plan."""
        return {
            "space": plan.space.to_document(),
            "repetitions": plan.repetitions,
            "order": plan.seed if plan.order == "shuffled" else None,
        }

    def __len__(self) -> int:
        return len(self._order) - self._skipped

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Return the index of the point and the repetition, both from 0, at a position."""
        return self._order[position + self._skipped]

    def ids(self) -> Iterator[str]:
        """Yield the ids of all points."""
        return map(point_id, self.space)


def described(plan: CampaignPlan, exp_id: str, build: Build | None) -> dict[str, Any]:
    """Return the JSON values of the space of a plan, its points described if only the script can.

    Args:
        plan: the runs.
        exp_id: name of the experiment.
        build: the function of the script; None if workers describe the runs.
    """
    data = Segment.data(plan)
    if build is not None:
        data["built"] = build.expand(exp_id, plan.space)
    return data


def further(segments: Sequence[Segment], repetitions: int) -> Mapping[str, Any] | None:
    """Return the JSON values of a segment for a space that has fewer repetitions.

    Args:
        segments: those of the campaign.
        repetitions: number of runs that each point is to have.

    Returns:
        The segment; None if each space has so many.
    """
    ends = {n if item.of is None else item.of: item.end for n, item in enumerate(segments)}
    for number, end in ends.items():
        if end < repetitions:
            count = repetitions - end
            document = {**segments[number].document}
            document.pop("built", None)
            return {**document, "repetitions": count, "of": number, "first": end}
    return None
