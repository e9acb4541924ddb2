"""``nepiq run``: run a script or description, show its runs live, and report the results."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..engine import Backend, threads
from ..errors import InvalidValue, NepiqError
from ..experiment.announcement import VARIABLE
from ..settings import Settings
from .child import is_description
from .console import make_console
from .live_table import Display
from .report import report

if TYPE_CHECKING:
    from ..web.server import WebServer


def run(
    context: typer.Context,
    script: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A Python script, or a description: .yaml, .json or NEPI's .xml."
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Arguments of the script.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Collect all outputs in this directory.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only the output of the script, and errors.")
    ] = False,
    web: Annotated[
        bool,
        typer.Option("--web", help="Serve a live page meanwhile, and print the link of each run."),
    ] = False,
) -> None:
    """Run a script or description and show its runs live, then timeline, failures, outputs.

    A description is deployed, and released when all resources except hosts have ended.

    The exit code is that of the script, or 1 if the script succeeded but its experiment failed.
    Use --quiet for a script that reads from the terminal.
    """
    if not script.is_file():
        raise InvalidValue(f"script not found: {str(script)!r}")
    if is_description(script) and arguments:
        raise InvalidValue(
            f"{str(script)!r} is a description, which takes no arguments",
            hint="write options of nepiq run before the file",
        )
    console = make_console(sys.stderr)
    with _Services() as services:
        with contextlib.ExitStack() as stack:
            display = stack.enter_context(Display(console, quiet=quiet))
            pages = stack.enter_context(_Pages()) if web else None
            path = stack.enter_context(_announcements(display, pages, services))
            code = _run_child(context.obj, script, arguments or [], path, display)
        failed = False
        for view in display.views:
            failed = report(view.experiment_run, console, results, quiet=quiet) or failed
            view.experiment_run.store.redis.close()
    raise typer.Exit(code or int(failed))


# -- the script ---------------------------------------------------------------------------------


def _run_child(
    verbosity: int, script: Path, arguments: list[str], path: Path, display: Display
) -> int:
    """Run the script in a child process; return its exit code, 128 + n for signal n.

    With a verbosity of 2 and more, errors of nepiq have a traceback.
    """
    command = [sys.executable, "-m", "nepiq.controller.cli.child", str(verbosity), str(script)]
    environment = {**os.environ, VARIABLE: str(path)}
    # Output of the script is printed above a live table, which redraws the last lines.
    out = subprocess.PIPE if display.live and sys.stdout.isatty() else None
    err = subprocess.PIPE if display.live else None
    if out:
        environment["PYTHONUNBUFFERED"] = "1"
    child = subprocess.Popen([*command, *arguments], env=environment, stdout=out, stderr=err)
    with _forward_signals(child):
        copies = [
            threading.Thread(target=_copy, args=(stream, display.console), daemon=True)
            for stream in (child.stdout, child.stderr)
            if stream is not None
        ]
        for copy in copies:
            threads.start(copy)
        code = _wait(child)
        for copy in copies:
            copy.join()
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process; handle each signal as it comes.

    The kernel may deliver a signal to another thread, such as one of a library, and waitpid(2)
    then goes on. So the main thread waits for a byte, which Python writes at each signal.
    """
    awaited, written = socket.socketpair()
    written.setblocking(False)

    def wait() -> None:
        child.wait()
        written.send(b"\0")

    with awaited, written:
        previous = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            waiter = threading.Thread(target=wait, name="nepiq-child", daemon=True)
            threads.start(waiter)
            while child.returncode is None:
                awaited.recv(64)
            waiter.join()
        finally:
            signal.set_wakeup_fd(previous)
    return int(child.returncode)


def _copy(stream: IO[bytes], console: Console) -> None:
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip("\n")
        console.print(Text.from_ansi(text), soft_wrap=True)


@contextlib.contextmanager
def _forward_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward ctrl-C and SIGTERM to the script, which releases its run and exits."""

    def forward(number: int, _frame: FrameType | None) -> None:
        # The terminal sends ctrl-C to the whole foreground process group, the script included.
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    handlers = {
        number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


class _Services(contextlib.ExitStack):
    """Keeps the local services up until the report is complete, if runs of the script use them."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = False

    def keep(self, settings: Settings) -> None:
        """Keep the services up if a run with these settings uses them."""
        from ..services import embedded
        from ..services.place import Place

        own = Settings.from_environment()
        if not self._kept and settings.state_url == Place.of(own.state_home).state_url:
            self.callback(embedded.join(own.state_home, imports=own.imports).close)
            self._kept = True


class _Pages(contextlib.ExitStack):
    """The servers of live pages, one for each Redis that runs of the script use."""

    def __init__(self) -> None:
        super().__init__()
        self._servers: dict[str, WebServer] = {}

    def link(self, settings: Settings, run_id: str) -> str:
        """Return the link of the page of a run."""
        from ..web.server import WebServer

        if settings.state_url not in self._servers:
            server = WebServer(settings, port=0)
            self._servers[settings.state_url] = self.enter_context(server.beside())
        return self._servers[settings.state_url].link(f"/runs/{run_id}")


@contextlib.contextmanager
def _announcements(display: Display, pages: _Pages | None, services: _Services) -> Iterator[Path]:
    """Show the runs that the script announces; yield the path of the socket it writes to."""
    with tempfile.TemporaryDirectory(prefix="nepiq-run-") as folder:
        path = Path(folder) / "announce.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        arguments = (listener, display, pages, services)
        thread = threading.Thread(target=_receive, args=arguments, daemon=True)
        threads.start(thread)
        try:
            yield path
        finally:
            # An empty message, queued behind pending announcements, ends the receiver.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
            thread.join()
            listener.close()


def _receive(
    listener: socket.socket, display: Display, pages: _Pages | None, services: _Services
) -> None:
    while True:
        channel, _ = listener.accept()
        with channel, channel.makefile("rb") as stream:
            text = stream.read()
        if not text:
            return
        announcement = json.loads(text)
        try:
            settings = replace(
                Settings.from_environment(),
                broker_url=announcement["broker_url"],
                state_url=announcement["state_url"],
            )
            services.keep(settings)
            display.add(Backend(settings).exact_run(announcement["run_id"]))
            if pages is not None:
                link = pages.link(settings, announcement["run_id"])
                display.console.print(link, soft_wrap=True)
        except NepiqError as error:
            run_id = announcement["run_id"]
            display.console.print(f"nepiq: cannot show run {run_id}: {error}")
