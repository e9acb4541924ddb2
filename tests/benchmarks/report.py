"""Tables for people and a file for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .measure import Outcome, Workload

OURS = "nepiq"
PACKAGES = ("nepiq", "celery", "kombu", "redis", "paramiko", "asynciojobs", "apssh", "asyncssh")


def is_ours(side: str) -> bool:
    """Whether a side is nepiq, in whatever condition: ``nepiq``, ``nepiq warm``."""
    return side.split(maxsplit=1)[0] == OURS


def table(workload: Workload, outcomes: Mapping[str, Outcome]) -> Iterable[str]:
    """Yield the lines of one workload's table.

    The ratio is nepiq's median to the peer's, or a side's to the rival's: above 1 it is slower.
    """
    rival = outcomes.get(workload.rival)
    costs = list(dict.fromkeys(cost for outcome in outcomes.values() for cost in outcome.costs))
    against = f"it:{workload.rival}" if workload.rival else f"{OURS}:it"
    yield f"{workload.title}{_budget(workload)}"
    yield (
        f"  {'':<14}{'median':>12}{'min':>12}{'max':>12}{'p95':>12}{'n':>6}{against:>12}"
        + "".join(f"{cost:>12}" for cost in costs)
    )
    for name, outcome in outcomes.items():
        if outcome.error:
            yield f"  {name:<14}{outcome.error}"
            continue
        columns = (outcome.median, min(outcome.samples), max(outcome.samples), outcome.p95)
        line = f"  {name:<14}" + "".join(f"{shown(value, workload.unit):>12}" for value in columns)
        line += f"{len(outcome.samples):>6}{_ratio(workload, outcomes, name):>12}"
        line += "".join(f"{_cost(outcome, cost):>12}" for cost in costs)
        if is_ours(name) and outcome.over(workload.budgets, rival):
            line += "   over budget"
        yield line.rstrip()


def _ratio(workload: Workload, outcomes: Mapping[str, Outcome], name: str) -> str:
    other = outcomes.get(workload.rival or OURS)
    if other is None or not other.samples or name == (workload.rival or OURS):
        return ""
    ratio = outcomes[name].median / other.median
    return f"{ratio if workload.rival else 1 / ratio:.3g}"


def _cost(outcome: Outcome, cost: str) -> str:
    return f"{statistics.median(outcome.costs[cost]):.3g}" if cost in outcome.costs else ""


def _budget(workload: Workload) -> str:
    limits = [
        f"{item.limit:g} of {workload.rival}"
        if item.statistic == "ratio"
        else f"{item.statistic} {shown(item.limit, workload.unit)}"
        for item in workload.budgets
    ]
    return f" (budget: {', '.join(limits)})" if limits else ""


def shown(value: float, unit: str) -> str:
    """A figure with its unit: times in ms or s, sizes in bytes."""
    if unit == "B":
        return f"{value:.0f} B"
    return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"


def write(folder: Path, results: Iterable[tuple[Workload, Mapping[str, Outcome]]]) -> Path:
    """Write every sample, and where and when it was taken, to a JSON file in the folder."""
    path = folder / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    content = {"machine": machine(), "workloads": [_plain(*item) for item in results]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def _plain(workload: Workload, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {
        "name": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "budgets": {item.statistic: item.limit for item in workload.budgets},
        "sides": {
            name: {"error": outcome.error}
            if outcome.error
            else {
                "median": outcome.median,
                "p95": outcome.p95,
                "samples": outcome.samples,
                **({"costs": outcome.costs} if outcome.costs else {}),
            }
            for name, outcome in outcomes.items()
        },
    }


def machine() -> dict[str, Any]:
    """What figures depend on."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
