"""Verbs for those who watch an installation: metrics, flower."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InfrastructureError, InvalidValue
from ..experiment.connect import Access
from ..settings import endpoint, shown_endpoint

_COLUMNS = "name,args,state,result,received,runtime,worker"


def metrics(
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where Prometheus asks; port 0: a free one.")
    ] = "127.0.0.1:9108",
) -> None:
    """Serve metrics of the whole installation to Prometheus, until told to end.

    Redis is asked at each scrape. While it does not answer, nepiq_redis_up is 0. Metrics of one
    worker are served by the worker itself: nepiq worker --metrics ADDRESS:PORT
    """
    from prometheus_client import start_http_server

    from ..engine.installation import Observer
    from ..monitoring.prometheus import registry

    host, port = endpoint("--listen", listen)
    access = Access(worker=False)
    observer = Observer(access.settings)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    try:
        try:
            server, thread = start_http_server(port, host, registry(observer.look))
        except OSError as error:
            raise InfrastructureError(
                f"metrics cannot be served at {listen}: {error.strerror or error}",
                hint="another port: nepiq metrics --listen ADDRESS:PORT",
            ) from error
        sys.stderr.write(f"metrics at http://{shown_endpoint(host, server.server_port)}/metrics\n")
        sys.stderr.flush()
        over.wait()
        server.shutdown()
        server.server_close()
        thread.join()
    finally:
        observer.close()
        access.close()


def flower(
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where browsers reach it.")
    ] = "127.0.0.1:5555",
    password_file: Annotated[
        Path | None,
        typer.Option(help="The password is the first line of this file; it wants mode 600."),
    ] = None,
    user: Annotated[str, typer.Option(help="The name that a browser asks for.")] = "nepiq",
    max_tasks: Annotated[int, typer.Option(min=1, help="Tasks kept in memory.")] = 20000,
    control: Annotated[
        bool, typer.Option("--control", help="Allow to end tasks and workers from the browser.")
    ] = False,
    options: Annotated[
        list[str] | None, typer.Argument(help="Further options of celery flower, after --")
    ] = None,
) -> None:
    """Show tasks and workers in a browser, by Flower, in the foreground until it is told to end.

    The password is NEPIQ_FLOWER_PASSWORD, or that of --password-file, or one that is made up and
    printed.
    """
    host, port = _free(listen)
    password, told = _password(password_file)
    if not user or any(sign in user + password for sign in ":,\n"):
        raise InvalidValue(
            "neither the user nor the password may have a colon, a comma, a line end"
        )
    access = Access(worker=False)
    # One line now is better than a page that stays empty.
    access.stack.workers()
    access.stack.close()
    if access.embedded is not None:
        access.embedded.keep_over_exec()
    # By the environment: everybody on this machine can read the process list.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")},
        "NEPIQ_BROKER_URL": access.settings.broker_url,
        "NEPIQ_STATE_URL": access.settings.state_url,
        "FLOWER_BASIC_AUTH": f"{user}:{password}",
        "FLOWER_ADDRESS": host,
        "FLOWER_PORT": str(port),
        # Else it would read a flowerconfig.py that happens to lie here.
        "FLOWER_CONF": os.devnull,
        "FLOWER_MAX_TASKS": str(max_tasks),
        "FLOWER_PURGE_OFFLINE_WORKERS": "300",
        "FLOWER_TASKS_COLUMNS": _COLUMNS,
        "FLOWER_READ_ONLY": str(not control),
    }
    environment.pop("NEPIQ_FLOWER_PASSWORD", None)
    sys.stderr.write(
        f"Flower at http://{shown_endpoint(host, port)}/ user {user}, password {told}\n"
    )
    sys.stderr.flush()
    command = [sys.executable, "-m", "celery", "-q", "-A", "nepiq.workers.flower_app", "flower"]
    command += options or []
    os.execve(sys.executable, command, environment)  # noqa: S606 - it becomes Flower


def _free(listen: str) -> tuple[str, int]:
    """The address and port, once it is known that nobody listens there.

    Raises:
        InfrastructureError: somebody does, or the address is not one of this machine.
    """
    host, port = endpoint("--listen", listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return host, int(probe.getsockname()[1])
    except OSError as error:
        raise InfrastructureError(
            f"Flower cannot listen at {listen}: {error.strerror or error}",
            hint="another port: nepiq flower --listen ADDRESS:PORT",
        ) from error


def _password(file: Path | None) -> tuple[str, str]:
    """The password, and what is said of it."""
    if file is not None:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValue(f"the password cannot be read from {file}: {error}") from error
        if not lines or not lines[0]:
            raise InvalidValue(f"the first line of {file} is empty")
        return lines[0], f"that of {file}"
    named = os.environ.get("NEPIQ_FLOWER_PASSWORD", "")
    if named:
        return named, "that of NEPIQ_FLOWER_PASSWORD"
    made = secrets.token_urlsafe(12)
    return made, made
