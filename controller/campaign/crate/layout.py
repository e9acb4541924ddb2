"""The files of a crate, and the document of its campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..plan import CampaignPlan

README = "README.md"
METADATA = "ro-crate-metadata.json"
CAMPAIGN = "campaign.yaml"
"""The description with its campaign, as ``nepiq campaign run`` reads it."""
TABLE = "table.csv"
PARQUET = "table.parquet"
PROVENANCE = "provenance.json"
DIFF = "uncommitted.diff"


def plan_of(
    definition: Mapping[str, Any], segments: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]
) -> CampaignPlan:
    """Return the plan of a campaign with all of its points.

    Args:
        definition: what :meth:`.Definition.data` returned.
        segments: its spaces, as :meth:`.Segment.data` returned them.
        plan: the plan that it was submitted with, for what is in neither of them.
    """
    first, *added = segments
    repetitions, least = first["repetitions"], definition["least"]
    asks = definition.get("asks")
    section = {
        **plan,
        "space": first["space"],
        "added": [
            {"space": segment["space"], "repetitions": segment["repetitions"]} for segment in added
        ],
        "repetitions": {"min": least, "max": repetitions} if least > 1 else repetitions,
        "seed": definition["seed"],
        "seeds": definition["seeds"],
        "order": "given" if first["order"] is None else "shuffled",
        "timeout": definition["timeout"],
        "metrics": plan.get("metrics", definition["metrics"]),
        "stop": {"script": asks} if asks else definition["stop"],
    }
    return CampaignPlan.of(section)


def document_of(exp_id: str, template: Mapping[str, Any], plan: CampaignPlan) -> dict[str, Any]:
    """Return a description with its campaign, as plain data.

    Args:
        exp_id: name of the experiment.
        template: its description, with places.
        plan: its runs.
    """
    rest = dict(template)
    rest.pop("exp_id", None)
    head: dict[str, Any] = {name: rest.pop(name) for name in ("nepiq", "globals") if name in rest}
    return {**head, "exp_id": exp_id, "campaign": plan.to_document(), **rest}
