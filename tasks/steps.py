"""The steps of resources, as Celery tasks.

Their names are stable, since monitors and other versions use them: ``nepiq.deploy``,
``nepiq.discover``, ``nepiq.provision``, ``nepiq.start``, ``nepiq.stop``, ``nepiq.finish``,
``nepiq.set``, ``nepiq.release``, ``nepiq.announce`` and ``nepiq.rounds``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from ..workers.execution import rounds as short_steps
from ..workers.execution.executor import carry_out
from ..workers.runtime import context


def _step(self: Any, run_id: str, steps: list[str], apart: bool = False) -> str:
    queue = str(self.request.delivery_info.get("routing_key") or "")
    return carry_out(context.current(), run_id, steps, queue, apart)


for _action in ("deploy", "discover", "provision", "start", "stop", "finish", "set", "release"):
    shared_task(bind=True, name=f"nepiq.{_action}")(_step)


@shared_task(name="nepiq.announce")
def announce(run_id: str, items: list[list[Any]]) -> None:
    """Submit steps that became due together."""
    context.current().run(run_id).announce(items)


@shared_task(name="nepiq.rounds")
def rounds(exp_id: str, items: list[tuple[str, list[str]]]) -> str:
    """Carry out short steps of several runs of an experiment."""
    return short_steps.carry_out(context.current(), exp_id, items)
