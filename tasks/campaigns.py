"""The step of a campaign, as a Celery task."""

from __future__ import annotations

from celery import shared_task

from ..workers.execution import campaign_step
from ..workers.runtime import context


@shared_task(name="nepiq.advance")
def advance(campaign: str) -> str:
    """Enter the rows of a campaign's ended runs, and begin others."""
    return campaign_step.advance(context.current(), campaign)
