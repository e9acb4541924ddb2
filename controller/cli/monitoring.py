"""Verbs for monitoring an installation: metrics, flower."""

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
        str, typer.Option(metavar="ADDRESS:PORT", help="Where to listen; port 0 takes a free port.")
    ] = "127.0.0.1:9108",
) -> None:
    """Serve metrics of the whole installation to Prometheus until SIGTERM or ctrl-C.

    Each scrape queries Redis; nepiq_redis_up is 0 while it does not answer. A worker serves its
    own metrics: nepiq worker --metrics ADDRESS:PORT
    """
    from prometheus_client import start_http_server

    from ..engine.installation import Observer
    from ..monitoring.prometheus import registry

    host, port = endpoint("--listen", listen)
    access = Access(worker=False)
    observer = Observer(access.settings)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        try:
            server, thread = start_http_server(port, host, registry(observer.look))
        except OSError as error:
            raise InfrastructureError(
                f"cannot serve metrics at {listen}: {error.strerror or error}",
                hint="choose another port: nepiq metrics --listen ADDRESS:PORT",
            ) from error
        sys.stderr.write(f"metrics at http://{shown_endpoint(host, server.server_port)}/metrics\n")
        sys.stderr.flush()
        stop.wait()
        server.shutdown()
        server.server_close()
        thread.join()
    finally:
        observer.close()
        access.close()


def flower(
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where to listen.")
    ] = "127.0.0.1:5555",
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with the password in its first line; it should have mode 600."),
    ] = None,
    user: Annotated[str, typer.Option(help="User name for the login.")] = "nepiq",
    max_tasks: Annotated[
        int, typer.Option(min=1, help="Maximum number of tasks in memory.")
    ] = 20000,
    control: Annotated[
        bool, typer.Option("--control", help="Allow the browser to terminate tasks and workers.")
    ] = False,
    options: Annotated[
        list[str] | None, typer.Argument(help="Further options of celery flower, after --")
    ] = None,
) -> None:
    """Run Flower, which shows tasks and workers in a browser, in the foreground until ctrl-C.

    The password is read from --password-file or NEPIQ_FLOWER_PASSWORD; without both, one is
    generated and printed.
    """
    host, port = _check_free(listen)
    password, password_source = _password(password_file)
    if not user or any(character in user + password for character in ":,\n"):
        raise InvalidValue(
            "the user and the password must not be empty or contain a colon, comma or newline"
        )
    access = Access(worker=False)
    # Fail now with one line, instead of serving pages that stay empty.
    access.backend.workers()
    access.backend.close()
    if access.embedded is not None:
        access.embedded.keep_over_exec()
    # Not as arguments: every user of this machine can read the process list.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")},
        "NEPIQ_BROKER_URL": access.settings.broker_url,
        "NEPIQ_STATE_URL": access.settings.state_url,
        "FLOWER_BASIC_AUTH": f"{user}:{password}",
        "FLOWER_ADDRESS": host,
        "FLOWER_PORT": str(port),
        # Flower would otherwise read a flowerconfig.py in the current directory.
        "FLOWER_CONF": os.devnull,
        "FLOWER_MAX_TASKS": str(max_tasks),
        "FLOWER_PURGE_OFFLINE_WORKERS": "300",
        "FLOWER_TASKS_COLUMNS": _COLUMNS,
        "FLOWER_READ_ONLY": str(not control),
    }
    environment.pop("NEPIQ_FLOWER_PASSWORD", None)
    sys.stderr.write(
        f"Flower at http://{shown_endpoint(host, port)}/ user {user}, password {password_source}\n"
    )
    sys.stderr.flush()
    command = [sys.executable, "-m", "celery", "-q", "-A", "nepiq.workers.flower_app", "flower"]
    command += options or []
    os.execve(sys.executable, command, environment)  # noqa: S606 - it becomes Flower


def _check_free(listen: str) -> tuple[str, int]:
    """Return the host and port of an address after checking that it can be listened on.

    Raises:
        InfrastructureError: the port is in use, or the address is not one of this machine.
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
            hint="choose another port: nepiq flower --listen ADDRESS:PORT",
        ) from error


def _password(file: Path | None) -> tuple[str, str]:
    """Return the password and the text to print for it."""
    if file is not None:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValue(f"cannot read the password from {file}: {error}") from error
        if not lines or not lines[0]:
            raise InvalidValue(f"the first line of {file} is empty")
        return lines[0], f"from {file}"
    password = os.environ.get("NEPIQ_FLOWER_PASSWORD", "")
    if password:
        return password, "from NEPIQ_FLOWER_PASSWORD"
    password = secrets.token_urlsafe(12)
    return password, password
