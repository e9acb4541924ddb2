"""The content of a crate: a campaign as it is when it is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.campaign_records import CampaignRecord
from ..file_store import FileStore
from ..host_facts import HostFacts
from ..metrics import parse_all
from ..plan import CampaignPlan
from ..provenance import Provenance
from ..row import Row
from ..table import Table
from . import layout
from .files import linked

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
        bring: brings the collected files to a new folder; None if there are none.
        code: the module of its build function, by path in the crate.
        table: its rows as a table.
    """

    record: CampaignRecord
    exp_id: str
    template: Mapping[str, Any]
    plan: CampaignPlan
    provenance: Provenance
    hosts: Sequence[HostFacts]
    read: Callable[[], Iterable[Row]]
    bring: Callable[[Path], FileStore] | None = None
    code: Mapping[str, str] = field(default_factory=dict)
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        self.table = Table.of_rows(self.read)

    @classmethod
    def of(
        cls, campaign: Campaign, records: CampaignStore, folder: str | Path | None = None
    ) -> Content:
        """Return the content of a campaign.

        Args:
            campaign: the campaign.
            records: its records.
            folder: a file store that has its collected files, or gets them first.
        """
        record, provenance = campaign.status(), campaign.provenance() or Provenance()
        data = records.definition()
        plan = layout.plan_of(
            data, records.segments(), {**provenance.plan, "parallel": record.parallel}
        )
        run_ids = {row.run_id for row in campaign.rows() if row.files_on}

        def bring(target: Path) -> FileStore:
            if folder is None:
                return campaign.export(target)
            return linked(campaign.export(folder), target, run_ids)

        return cls(
            record,
            data["exp_id"],
            data["template"],
            plan,
            provenance,
            campaign.hosts(),
            campaign.rows,
            bring if run_ids else None,
            _code("" if plan.build_of_script else plan.build, str(data.get("source", ""))),
        )

    @property
    def name(self) -> str:
        """The name of the campaign."""
        return self.record.name

    @property
    def files(self) -> dict[str, tuple[str, str, str]]:
        """Title, contents and media type of the files that the crate may have, by path."""
        return {**layout.CONTENTS, **dict.fromkeys(self.code, layout.MODULE)}

    @property
    def rerun(self) -> str:
        """The command that repeats it in the folder of the crate."""
        if not self.plan.build:
            return "nepiq rerun ."
        path = f"PYTHONPATH={layout.CODE} " if self.code else ""
        return f"{path}NEPIQ_IMPORTS={self.plan.build.partition(':')[0]} nepiq rerun ."

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are in the table."""
        return islice(iter(self.read()), len(self.table))


def _code(location: str, source: str) -> dict[str, str]:
    if not location:
        return {}
    from ..build import code_of

    return {f"{layout.CODE}/{name}": text for name, text in code_of(location, source).items()}


def functions_of(plan: CampaignPlan) -> list[str]:
    """Return the names of the functions of the script that a campaign needs."""
    names = [metric.script for metric in parse_all(plan.metrics).values() if metric.script]
    return [*names, *filter(None, (plan.asks, plan.build_of_script))]


def moment(seconds: float) -> str:
    """Return seconds since the epoch in ISO 8601, in UTC and to a millisecond."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
