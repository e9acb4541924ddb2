"""The files of a crate, and the document of its campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...model.locations import is_location
from ..file_store import MANIFEST
from ..plan import CampaignPlan

README = "README.md"
METADATA = "ro-crate-metadata.json"
CAMPAIGN = "campaign.yaml"
"""The description with its campaign, as ``nepiq campaign run`` reads it."""
TABLE = "table.csv"
PARQUET = "table.parquet"
PROVENANCE = "provenance.json"
DIFF = "uncommitted.diff"
EXPECTED = "expected.csv"
LICENSE = "LICENSE"
RESULTS = "results"
"""The folder of the collected files, a :class:`.FileStore`."""
CODE = "code"
"""The folder of the module of a build function."""
FILES = f"{RESULTS}/{MANIFEST}"

CONTENTS = {
    README: ("README", "Contents of this crate, and how to repeat it", "text/markdown"),
    CAMPAIGN: ("Campaign", "The experiment and the points of its runs", "application/yaml"),
    TABLE: ("Rows", "Parameters, seed, hosts, times, outcome and metrics of each run", "text/csv"),
    PARQUET: (
        "Rows with kinds",
        "The same table with kinds of columns",
        "application/vnd.apache.parquet",
    ),
    PROVENANCE: (
        "Provenance",
        "Code and packages that the campaign was submitted from, and facts of its hosts",
        "application/json",
    ),
    FILES: (
        "Names of collected files",
        "Collected files of each run; their contents are beside it, by SHA-256",
        "application/jsonl",
    ),
    EXPECTED: (
        "Expected figures",
        "Mean of each metric at the points of the short run, with its 95 % interval",
        "text/csv",
    ),
    LICENSE: ("License", "Name and URL of the license of this crate", "text/plain"),
    DIFF: ("Uncommitted changes", "Changes to the commit of the script", "text/x-diff"),
}
"""The files of a crate beside its metadata: title, contents, media type."""
MODULE = ("Module", "The function that describes the runs", "text/x-python")
"""The same of the module of a build function."""


def plan_of(
    definition: Mapping[str, Any], segments: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]
) -> CampaignPlan:
    """Return the plan of a campaign with all of its points.

    Args:
        definition: what :meth:`.Definition.data` returned.
        segments: its spaces, as :meth:`.Segment.data` returned them.
        plan: the plan that it was submitted with, for what is in neither of them.
    """
    (first, repetitions), *added = _spaces(segments)
    least = definition["least"]
    asks, build = definition.get("asks"), definition.get("build")
    kept = ("build", "collect", "keep", "directories")
    section = {
        **plan,
        **{name: definition[name] for name in kept if name in definition},
        **({"build": {"script": build}} if build and not is_location(build) else {}),
        "space": first["space"],
        "added": [{"space": segment["space"], "repetitions": count} for segment, count in added],
        "repetitions": {"min": least, "max": repetitions} if least > 1 else repetitions,
        "seed": definition["seed"],
        "seeds": definition["seeds"],
        "order": "given" if first["order"] is None else "shuffled",
        "timeout": definition["timeout"],
        "metrics": plan.get("metrics", definition["metrics"]),
        "stop": {"script": asks} if asks else definition["stop"],
    }
    return CampaignPlan.of(section)


def _spaces(segments: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Return the segments with a space of their own, each with the number of its repetitions."""
    counts: dict[int, int] = {}
    for number, segment in enumerate(segments):
        own = segment.get("of", number)
        counts[own] = counts.get(own, 0) + segment["repetitions"]
    return [(segments[number], count) for number, count in counts.items()]


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
