"""Further runs of a campaign that was submitted: more points, and repetitions of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.redis_errors import contact
from ..errors import InvalidValue, NotAllowed
from ..errors.text import quoted
from .campaign_link import CampaignLink
from .plan import CampaignPlan
from .segment import Segment, described, further
from .space import Space, point_id

if TYPE_CHECKING:
    from .build import Build


def add_points(link: CampaignLink, space: Space, repetitions: int, build: Build | None) -> int:
    """Add points; return the number of runs added. Points that the campaign has are left out.

    Args:
        link: to the campaign.
        space: the points.
        repetitions: number of runs at each of them.
        build: the function of the script that describes them; None if there is none here.

    Raises:
        InvalidValue: the number is below 1.
        NotAllowed: only a function of the script can describe them.
        UnknownCampaign: the campaign does not exist.
    """
    check_count("repetitions", repetitions)
    with contact():
        while True:
            definition = link.definition()
            known = {point for part in definition.segments for point in part.ids()}
            new = [point for point in space if point_id(point) not in known]
            if not new:
                return 0
            chosen = space if len(new) == len(space) else Space.points(new)
            if any(part.built for part in definition.segments) and build is None:
                raise NotAllowed(
                    "the points are described by a function of the script, which is not here",
                    where=link.name,
                    hint="add them to the campaign that the script has submitted",
                )
            segment = described(CampaignPlan(chosen, repetitions), definition.exp_id, build)
            count = len(new) * repetitions
            if link.add(segment, len(definition.segments), count):
                return count


def add_repetitions(link: CampaignLink, repetitions: int) -> None:
    """Add runs of the points that have fewer repetitions.

    Args:
        link: to the campaign.
        repetitions: number of runs that each point is to have.

    Raises:
        UnknownCampaign: the campaign does not exist.
    """
    with contact():
        while True:
            segments = link.definition().segments
            segment = further(segments, repetitions)
            if segment is None:
                return
            link.add(segment, len(segments), len(Segment(segment)))


def check_count(name: str, value: object) -> None:
    """Refuse a number that is not 1 or more.

    Args:
        name: of the number, for the message.
        value: the number.

    Raises:
        InvalidValue: it is below 1, or not a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{name} cannot be {quoted(value)}", hint="choose 1 or more")
