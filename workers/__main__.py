"""The worker process: ``python -m nepiq.workers OPTIONS``, with the options of ``celery worker``.

It is what ``celery -A nepiq.workers.app worker`` starts, in half the processor time: Celery's
command first loads all of its other commands and their plugins, a terminal toolkit and Flower
among them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Run a worker until its shutdown.

    Raises:
        SystemExit: always, with the exit code of Celery.
    """
    # What is loaded here lives until the exit. The garbage collector would search it in vain, while
    # it is loaded, in the running worker, and at the exit, which took a quarter of a short life.
    gc.disable()
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from ..controller.settings import Settings
    from .app import app

    app.loader.import_default_modules()
    gc.freeze()
    gc.enable()
    # Celery's banner is not JSON.
    quiet = Settings.from_environment().log_format == "json"
    context = CLIContext(app=app, no_color=False, workdir=None, quiet=quiet)
    worker.main(
        list(arguments),
        prog_name="nepiq.workers",
        auto_envvar_prefix="CELERY_WORKER",
        obj=context,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
