"""Submissions: campaigns of a script, before they are in Redis."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..engine.redis_errors import contact
from ..errors import CampaignError, InvalidValue
from ..model.names import check_name
from ..settings import Settings
from .blueprint import Blueprint
from .campaign_link import CampaignLink, digest
from .definition import Definition
from .metrics import Metric
from .plan import CampaignPlan
from .provenance import Provenance
from .segment import described
from .space import Space

log = logging.getLogger("nepiq.campaign")


class Submission:
    """A campaign of a script, before it is in Redis.

    Args:
        blueprint: what it is made from.
        plan: its runs.
        name: its name; by default that of the experiment.

    Attributes:
        name: as given.
        plan: as given.
        build: the function of the script that describes its runs; None if there is none.
        data: the JSON values of its definition.

    Raises:
        InvalidValue: the name is invalid.
    """

    def __init__(self, blueprint: Blueprint, plan: CampaignPlan, name: str = "") -> None:
        self.name = check_name("name of a campaign", name or blueprint.exp_id)
        self.plan = plan
        self.build = blueprint.build
        self.data = Definition.data(blueprint.exp_id, blueprint.document, plan, blueprint.source)
        self._blueprint = blueprint

    @classmethod
    def of(
        cls, blueprint: Blueprint, space: Space | None, plan: Mapping[str, Any], name: str
    ) -> Submission:
        """Return that of a blueprint, with the values that a script gives.

        Args:
            blueprint: what it is made from; its plan has what the script does not give.
            space: the points.
            plan: further values of the plan.
            name: of the campaign.

        Raises:
            InvalidValue: a value is invalid.
            DocumentError: all errors of the plan.
        """
        given = dict(plan)
        if "metrics" in given:
            given["metrics"] = {
                key: Metric.parse(item).to_data() for key, item in given["metrics"].items()
            }
        if space is not None:
            given["space"] = space.to_document()
        return cls(blueprint, CampaignPlan.of({**blueprint.plan, **given}), name)

    def settings(self, settings: Settings | None) -> Settings | None:
        """Return settings with which the local worker imports what this process has imported."""
        module = self._blueprint.module
        if not module:
            return settings
        settings = settings or Settings.from_environment()
        return replace(settings, imports=(*settings.imports, module))

    def enter(self, link: CampaignLink, reviewed: Collection[str]) -> None:
        """Begin the campaign, unless it was submitted before, with its provenance.

        Args:
            link: to the campaign.
            reviewed: files, by their path in the tree, whose changes have no secrets although it
                looks like it.

        Raises:
            CampaignError: another campaign has this name, or changes that are not committed have
                what looks like a secret.
            NepiqError: the first or the last run cannot be described.
        """
        segment = described(self.plan, str(self.data["exp_id"]), self.build)
        total, places = self._check(segment)
        name = digest([self.data, segment])
        provenance = self._provenance(segment, reviewed)
        with contact():
            store = link.store
            link.backend.agree()
            limits = {**self.plan.limits, "places": 1} if places else self.plan.limits
            status, _ = store.create(name, self.data, **limits)
            if status == "CLASH":
                raise CampaignError(
                    f"another campaign has the name {self.name!r}",
                    hint=f"choose another name, or delete it: nepiq campaign rm {self.name}",
                )
            store.note_provenance(provenance.to_data())
            store.add(name, 0, total, segment)

    def _provenance(self, segment: Mapping[str, Any], reviewed: Collection[str]) -> Provenance:
        document = self.plan.to_document()
        data = [self.data, segment, *document.pop("added", ())]
        provenance = Provenance.of(self._blueprint.folder, document, data, reviewed)
        if provenance.tree is not None and provenance.tree.omitted:
            log.warning("campaign %s: no diff is kept: %s", self.name, provenance.tree.omitted)
        return provenance

    def _check(self, segment: Mapping[str, Any]) -> tuple[int, bool]:
        """Describe the first and the last run; return how many there are, if hosts are leased."""
        definition = Definition(self.name, self.data, [segment])
        total = len(definition.segments[0])
        if not total:
            raise InvalidValue("the space has no points", where=self.name)
        for slot in {0, total - 1}:
            definition.arguments(slot)
            for (key, name), error in self.plan.unknown(definition.description(slot)):
                error.where = ", ".join(filter(None, (f"{key} {name}", error.where)))
                raise error
            definition.check_files(slot)
        places = any(definition.places(slot) for slot in (0, total - 1))
        return total, places
