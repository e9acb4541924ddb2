"""Celery application of workers, loaded by ``celery -A nepiq.workers.app worker``.

The environment names the broker, the state and the sites that the worker serves (see
:class:`nepiq.controller.settings.Settings`); ``nepiq worker`` sets it and starts this.
"""

from __future__ import annotations

import sys

from celery import Celery

from ..controller.engine.messaging import queues
from ..controller.engine.messaging.celery_app import make_app
from ..controller.engine.redis_connection import broker_url
from ..controller.errors import InfrastructureError
from ..controller.settings import Settings
from .process.bootsteps import NepiqStep
from .runtime import json_logs


def worker_app(settings: Settings) -> Celery:
    """Return the Celery application of a worker that serves ``settings.sites``.

    Raises:
        InfrastructureError: no broker was named.
    """
    if settings.embedded:
        raise InfrastructureError(
            "a worker needs a Redis",
            hint="set NEPIQ_BROKER_URL (and NEPIQ_STATE_URL); 'nepiq up' starts a private one",
        )
    queue_names = [
        queues.COMMON,
        *map(queues.of_site, settings.sites),
        queues.of_machine(settings.machine),
    ]
    app = make_app(broker_url(settings.broker_url), queue_names, name="nepiq.workers")
    app.set_current()
    app.conf.include = ["nepiq.tasks.campaigns", "nepiq.tasks.steps", "nepiq.tasks.transfer"]
    app.steps["worker"].add(NepiqStep)
    (json_logs.use_json if settings.log_format == "json" else json_logs.use_text)()
    return app


try:
    app = worker_app(Settings.from_environment())
except InfrastructureError as error:
    sys.exit(f"nepiq: {error}")
