"""The content of a crate: a campaign as it is when it is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...engine.campaign_records import CampaignRecord
from ..host_facts import HostFacts
from ..metrics import parse_all
from ..plan import CampaignPlan
from ..provenance import Provenance
from ..row import Row
from ..table import Table
from .layout import plan_of

if TYPE_CHECKING:
    from ...engine.campaigns import CampaignStore
    from ..campaign import Campaign


@dataclass
class Content:
    """A campaign as it is when it is exported.

    Attributes:
        record: how far it is.
        exp_id: name of its experiment.
        template: its description, with places.
        plan: its runs, with all of its points.
        provenance: where it was submitted from; an empty one if that is unknown.
        hosts: facts of its hosts.
        read: returns its rows, those that are added meanwhile too.
        table: its rows as a table.
    """

    record: CampaignRecord
    exp_id: str
    template: Mapping[str, Any]
    plan: CampaignPlan
    provenance: Provenance
    hosts: Sequence[HostFacts]
    read: Callable[[], Iterable[Row]]
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        self.table = Table.of_rows(self.read)

    @classmethod
    def of(cls, campaign: Campaign, store: CampaignStore) -> Content:
        """Return the content of a campaign.

        Args:
            campaign: the campaign.
            store: its records.
        """
        record, provenance = campaign.status(), campaign.provenance() or Provenance()
        data = store.definition()
        plan = plan_of(data, store.segments(), {**provenance.plan, "parallel": record.parallel})
        hosts = campaign.hosts()
        return cls(record, data["exp_id"], data["template"], plan, provenance, hosts, campaign.rows)

    @property
    def name(self) -> str:
        """The name of the campaign."""
        return self.record.name

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are in the table."""
        return islice(iter(self.read()), len(self.table))


def functions_of(plan: CampaignPlan) -> list[str]:
    """Return the names of the functions of the script that a campaign needs."""
    names = [metric.script for metric in parse_all(plan.metrics).values() if metric.script]
    return [*names, *([plan.asks] if plan.asks else [])]


def moment(seconds: float) -> str:
    """Return seconds since the epoch in ISO 8601, in UTC and to a millisecond."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
