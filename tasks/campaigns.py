"""Tasks of campaigns: their step, and what concerns the files of their runs."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from ..workers.execution import campaign_step
from ..workers.runtime import context


@shared_task(name="nepiq.advance")
def advance(campaign: str) -> str:
    """Enter the rows of a campaign's ended runs, and begin others."""
    return campaign_step.advance(context.current(), campaign)


@shared_task(name="nepiq.clear")
def clear(campaign: str, items: list[list[Any]]) -> str:
    """Remove the directories of a campaign's ended runs from hosts."""
    from ..controller.campaign.run_directories import RunDirectory
    from ..workers.execution import campaign_files

    del campaign  # names the task
    directories = [RunDirectory(*item) for item in items]
    return campaign_files.clear(context.current(), directories)


@shared_task(name="nepiq.manifests")
def manifests(campaign: str, name: str, run_ids: list[str]) -> None:
    """Send a client which files this machine keeps of runs of a campaign."""
    from ..workers.transfer import kept_files

    kept_files.send_manifests(context.current(), campaign, name, run_ids)


@shared_task(name="nepiq.contents")
def contents(campaign: str, name: str, checksums: list[str]) -> None:
    """Send a client contents of files of a campaign that this machine keeps."""
    from ..workers.transfer import kept_files

    kept_files.send_contents(context.current(), campaign, name, checksums)


@shared_task(name="nepiq.discard")
def discard(campaign: str, name: str, run_ids: list[str]) -> None:
    """Delete the files of runs of a campaign that this machine keeps."""
    from ..workers.transfer import kept_files

    kept_files.discard(context.current(), campaign, name, run_ids)
