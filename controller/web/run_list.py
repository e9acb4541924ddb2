"""The feed of the list of runs: active ones with their states, and the latest that ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors.text import LONGEST_MESSAGE, escaped, one_line
from .overview_feed import OverviewFeed

if TYPE_CHECKING:
    from ..engine import Backend, RunInfo
    from ..engine.installation import Overview

PAGE = 100
"""Ended runs that are listed at a time."""


def ended_run(info: RunInfo) -> dict[str, Any]:
    """Return a run for the page."""
    cause: Mapping[str, Any] = info.cause or {}
    error = (cause.get("error") or {}).get("message", "")
    text = f"{cause.get('label', '')}: {error}" if cause else ""
    return {
        "id": info.run_id,
        "name": escaped(info.exp_id),
        "phase": info.phase,
        "created": info.created,
        "cause": one_line(text, LONGEST_MESSAGE),
        "live": info.live,
    }


class RunList(OverviewFeed):
    """The list of runs.

    Args:
        backend: the installation.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__("nepiq-web-runs", backend)

    def parts(self, overview: Overview) -> Mapping[str, Any]:
        """Return the active runs and the latest that have ended."""
        backend = self.backend
        infos = {
            info.run_id: info for info in backend.runs_of([run.run_id for run in overview.runs])
        }
        active = [
            {**ended_run(infos[run.run_id]), "phase": run.phase, "states": dict(run.states)}
            for run in reversed(overview.runs)
            if run.run_id in infos
        ]
        latest = backend.runs(PAGE + len(active))
        ended = [ended_run(info) for info in latest if info.run_id not in infos]
        runs = {
            "active": active,
            "ended": ended[:PAGE],
            "released": overview.released,
            "workers": sum(worker.alive for worker in overview.workers),
            "waiting": sum(overview.queues.values()),
        }
        return {"runs": runs}
