"""A crate as it is read: the campaign in it, and a new campaign that repeats it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CampaignError, NotAllowed
from ...errors.text import quoted
from .. import campaign_file, flat_row
from ..host_facts import HostFacts
from ..metrics import parse_all
from ..provenance import Provenance
from ..row import Row
from ..samples import guessed
from ..space import Point, point_id
from ..table import Table
from ..template import Template
from . import layout
from .content import functions_of
from .hosts import in_pool
from .reproduction import Reproduction, reproduction
from .sample import sample

if TYPE_CHECKING:
    from ...settings import Settings
    from ..campaign import Campaign

_WHOLE = ("repetition", "seed", "attempts")
_TIMES = ("began", "ended")


class Crate:
    """A crate that :meth:`.Campaign.to_crate` wrote.

    Args:
        path: its folder.

    Attributes:
        path: its folder.
        name: name of the campaign in it.
        file: the description with its campaign.
        provenance: the code and the environment of the campaign.
        hosts: facts of its hosts.

    Raises:
        CampaignError: the folder is not such a crate.
        DocumentError: the description in it is invalid here, for example because a module with a
            resource type is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            data = json.loads((self.path / layout.PROVENANCE).read_bytes())
            self.name = str(data["campaign"])
            self.provenance = Provenance.from_data(data)
            self.hosts = [HostFacts.from_data(host) for host in data["hosts"]]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CampaignError(
                f"{quoted(str(path))} is not the crate of a campaign: {error}",
                hint="name a folder that nepiq campaign export --crate wrote",
            ) from error
        self.file = campaign_file.read(self.path / layout.CAMPAIGN)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the campaign.

        Raises:
            CampaignError: the table is damaged.
        """
        path = self.path / layout.TABLE
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for cells in csv.DictReader(file):
                    yield self._row(cells)
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise CampaignError(f"the table is damaged: {error}", where=str(path)) from error

    def table(self) -> Table:
        """Return the rows as a table."""
        return Table.of_rows(self.rows)

    def repeat(
        self,
        name: str = "",
        *,
        pool: str = "",
        runs: int | None = None,
        settings: Settings | None = None,
    ) -> Campaign:
        """Return a campaign that repeats the one in the crate; it is not submitted yet.

        Args:
            name: of the new campaign; by default that of the crate with ``-rerun``.
            pool: the pool that its hosts are leased from, in place of the hosts of the crate.
            runs: repeat about so many runs only, at points over all of the space.
            settings: where Redis is; read from the environment by default.

        Raises:
            NotAllowed: the campaign needs functions of a script.
            InvalidValue: a value is invalid.
        """
        from ..campaign import Campaign

        functions = functions_of(self.file.plan)
        if functions:
            raise NotAllowed(
                f"the campaign needs functions of its script: {', '.join(functions)}",
                where=str(self.path),
                hint="run that script again, and compare: nepiq campaign compare",
            )
        file = self.file
        if runs is not None:
            file = replace(file, plan=sample(file.plan, self.rows(), runs))
        if pool:
            document = in_pool(file.template.to_document(), pool)
            file = replace(file, template=Template(document, file.template.parameters))
        return Campaign(file, name=name or f"{self.name}-rerun", settings=settings)

    def compare(
        self, campaign: Campaign, margin: str | float | None = None, confidence: float = 0.95
    ) -> Reproduction:
        """Return how the results of a campaign that repeats this one compare with it.

        Args:
            campaign: the campaign, which has ended.
            margin: see :func:`.comparison.compare`.
            confidence: see there.

        Raises:
            CampaignError: no run has finished, or scipy is not installed.
        """
        return reproduction(self, campaign, margin, confidence)

    # -- inside -------------------------------------------------------------------------------

    @cached_property
    def _points(self) -> dict[str, Point]:
        return {point_id(point): point for space in self.file.plan.spaces for point in space}

    @cached_property
    def _texts(self) -> set[str]:
        """The names of the metrics that are text, also where this looks like a number."""
        metrics = parse_all(self.file.plan.metrics).items()
        return {name for name, metric in metrics if metric.kind == "str"}

    def _row(self, cells: dict[Any, Any]) -> Row:
        if None in cells:
            raise ValueError("a line has more cells than the first")
        record: dict[str, Any] = {name: cell for name, cell in cells.items() if cell != ""}
        fields = flat_row.fields_of(record)
        for names, kind in ((_WHOLE, int), (_TIMES, float)):
            fields.update({name: kind(fields[name]) for name in names if name in fields})
        # CSV has no kinds; the points have.
        fields["parameters"] = self._points[fields["point"]]
        fields["metrics"] = {
            name: cell if name in self._texts else guessed(cell)
            for name, cell in fields["metrics"].items()
        }
        return Row(**fields)
