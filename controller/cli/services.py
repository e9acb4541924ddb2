"""Verbs about what experiments run on: up, down, worker, version."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer

from ..errors import EmbeddedError, InvalidValue, NotAllowed
from ..experiment.connect import Access
from ..model.names import check_name
from ..reports.words import duration, some
from ..services import embedded
from ..settings import Settings, check_log_format, endpoint
from .console import print_json

_START_SECONDS = 30.0


def _embedded_settings() -> Settings:
    settings = Settings.from_environment()
    if not settings.embedded:
        raise InvalidValue(
            "NEPIQ_BROKER_URL is set, so the embedded stack is not in use",
            hint="unset it, or start workers there with: nepiq worker",
        )
    return settings


def up() -> None:
    """Start the embedded stack, a private Redis and a local worker, and keep it up.

    Experiments start it by themselves and it ends by itself a minute after the last one. With
    this it stays, until: nepiq down
    """
    settings = _embedded_settings()
    began = time.monotonic()
    embedded.join(settings.state_home, imports=settings.imports, pinned=True).close()
    access = Access(settings)
    try:
        wait_for_worker(access)
    finally:
        access.close()
    told = embedded.status(settings.state_home) or {}
    took = duration(time.monotonic() - began)
    sys.stderr.write(f"up after {took}; pids {told.get('redis')}, {told.get('worker')}\n")
    sys.stdout.write(f"NEPIQ_BROKER_URL={access.settings.broker_url}\n")
    sys.stdout.write(f"NEPIQ_STATE_URL={access.settings.state_url}\n")


def wait_for_worker(access: Access, seconds: float = _START_SECONDS) -> str:
    """Wait until the embedded worker serves; return its name.

    Raises:
        EmbeddedError: it does not start; the message has the end of its log.
    """
    end = time.monotonic() + seconds
    while True:
        for worker in access.stack.workers():
            if worker.alive and worker.name.startswith("embedded-"):
                return worker.name
        failure = access.failure()
        if failure is not None:
            raise failure
        if time.monotonic() > end:
            log = access.embedded.place.log("worker") if access.embedded else "its log"
            raise EmbeddedError(
                f"the local worker does not serve after {seconds:g} s",
                hint=f"see {log}; nepiq down ends what has been started",
            )
        # Workers announce themselves by a key, not by an event of a run.
        time.sleep(0.05)


def down(
    release: Annotated[
        bool, typer.Option("--release", help="Release the runs that are active first.")
    ] = False,
) -> None:
    """Stop the embedded stack; none of its processes is left.

    Refused while runs are active, since nobody would be there to end what they started.
    """
    settings = _embedded_settings()
    if embedded.status(settings.state_home) is None:
        sys.stderr.write("the embedded stack is not running\n")
        return
    access = Access(settings, worker=release)
    try:
        active = [run.run_id for run in access.stack.runs() if run.phase != "RELEASED"]
        if active and not release:
            raise NotAllowed(
                f"active: {some(active)}",
                hint="nepiq release RUN ends one, nepiq down --release all of them",
            )
        from .runs import release_run

        for run_id in active:
            release_run(access, run_id, None)
    finally:
        access.close()
    embedded.down(settings.state_home)
    sys.stderr.write("the embedded stack is down\n")


def worker(
    site: Annotated[
        list[str] | None,
        typer.Option(help="A site whose hosts this machine reaches; may be repeated."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Steps carried out at once.")] = 16,
    name: Annotated[str, typer.Option(help="Name of the worker; made up by default.")] = "",
    metrics: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Answer Prometheus there.")
    ] = "",
    log_format: Annotated[str, typer.Option(help="text, or json: an object a line.")] = "",
    options: Annotated[
        list[str] | None, typer.Argument(help="Further options of celery worker, after --")
    ] = None,
) -> None:
    """Serve experiments from this machine, in the foreground, until it is told to end.

    SIGTERM, ctrl-C and nepiq drain have it finish its steps first. When the Celery process dies by
    itself, it is started again.
    """
    settings = Settings.from_environment()
    sites = [check_name("site", item) for item in site or settings.sites]
    form = check_log_format(log_format or settings.log_format)
    if metrics:
        endpoint("--metrics", metrics)
    access = Access(settings, worker=False)
    # One line now is better than a worker that tries for ever.
    access.stack.workers()
    access.stack.close()
    if access.embedded is not None:
        access.embedded.keep_over_exec()
    node = check_name("worker name", name) if name else f"nepiq-{os.getpid()}"
    environment = {
        **os.environ,
        "NEPIQ_BROKER_URL": access.settings.broker_url,
        "NEPIQ_STATE_URL": access.settings.state_url,
        "NEPIQ_SITES": ",".join(sites),
        "NEPIQ_METRICS": metrics or settings.metrics,
        "NEPIQ_LOG_FORMAT": form,
    }
    # Celery's banner is no JSON.
    quiet = ["--quiet"] if form == "json" else []
    command = [sys.executable, "-m", "nepiq.controller.services.restarter"]
    command += [sys.executable, "-m", "celery", *quiet, "-A", "nepiq.workers.app", "worker"]
    command += ["--pool", "threads", "--concurrency", str(concurrency)]
    command += ["--hostname", f"{node}@{settings.machine}", "--loglevel", "INFO"]
    command += ["--without-gossip", "--without-mingle", *(options or [])]
    os.execve(sys.executable, command, environment)  # noqa: S606 - it becomes the restarter


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the versions of nepiq and of what it builds on."""
    from importlib.metadata import version as version_of

    told = {name: version_of(name) for name in ("nepiq", "celery", "redis", "paramiko")}
    told["python"] = ".".join(map(str, sys.version_info[:3]))
    if as_json:
        print_json(told)
    else:
        sys.stdout.write(" ".join(f"{name} {text}" for name, text in told.items()) + "\n")
