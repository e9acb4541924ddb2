"""``nepiq run``: carries out a script or description, shows its runs, and tells how they went."""

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
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..engine import Stack
from ..errors import InvalidValue, NepiqError
from ..experiment.announcement import VARIABLE
from ..settings import Settings
from .child import is_description
from .console import make_console
from .live_table import Display
from .report import report

_verbosity = 0


def set_verbosity(verbosity: int) -> None:
    """How much the script's errors tell: 2 adds tracebacks."""
    global _verbosity  # noqa: PLW0603 - an option of the whole command line
    _verbosity = verbosity


def run(
    script: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A Python script, or a description: .yaml, .json or NEPI's .xml."
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Handed to the script.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Collect all outputs in this folder.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only what the script prints, and errors.")
    ] = False,
) -> None:
    """Carry out a script and show its experiment: live, then timeline, failures, outputs.

    A description is deployed, and released when all but its hosts have ended.

    The exit code is the script's; 1 if the script ended well but its experiment failed. A script
    that asks for input wants --quiet, which leaves it the terminal.
    """
    if not script.is_file():
        raise InvalidValue(f"there is no script {str(script)!r}")
    if is_description(script) and arguments:
        raise InvalidValue(
            f"{str(script)!r} is a description, which takes no arguments",
            hint="options of nepiq run come before it",
        )
    console = make_console(sys.stderr)
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(Display(console, quiet=quiet))
        path = stack.enter_context(_listening(display))
        code = _carry_out(script, arguments or [], path, display)
    failed = False
    for view in display.views:
        failed = report(view.watched, console, results, quiet=quiet) or failed
        view.watched.store.redis.close()
    raise typer.Exit(code or int(failed))


# -- the script ---------------------------------------------------------------------------------


def _carry_out(script: Path, arguments: list[str], path: Path, display: Display) -> int:
    """Run the script as a child and return its exit code, as a shell gives it."""
    command = [sys.executable, "-m", "nepiq.controller.cli.child", str(_verbosity), str(script)]
    environment = {**os.environ, VARIABLE: str(path)}
    # A live table owns the terminal's last lines: what the script prints there goes above it.
    out = subprocess.PIPE if display.live and sys.stdout.isatty() else None
    err = subprocess.PIPE if display.live else None
    if out:
        environment["PYTHONUNBUFFERED"] = "1"
    child = subprocess.Popen([*command, *arguments], env=environment, stdout=out, stderr=err)
    with _passed_on(child):
        copies = [
            threading.Thread(target=_copy, args=(stream, display.console), daemon=True)
            for stream in (child.stdout, child.stderr)
            if stream is not None
        ]
        for copy in copies:
            copy.start()
        code = child.wait()
        for copy in copies:
            copy.join()
    return code if code >= 0 else 128 - code


def _copy(stream: IO[bytes], console: Console) -> None:
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip("\n")
        console.print(Text.from_ansi(text), soft_wrap=True)


@contextlib.contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave ctrl-C and SIGTERM to the script, which releases its run and ends."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # A terminal sends ctrl-C to the script by itself.
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def _listening(display: Display) -> Iterator[Path]:
    """Listen for the runs that the script creates; yields the socket's path."""
    with tempfile.TemporaryDirectory(prefix="nepiq-run-") as folder:
        path = Path(folder) / "announce.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_hear, args=(listener, display), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            # Whoever is in the backlog comes before the empty message that ends it.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            thread.join()
            listener.close()


def _hear(listener: socket.socket, display: Display) -> None:
    while True:
        channel, _ = listener.accept()
        with channel, channel.makefile("rb") as stream:
            text = stream.read()
        if not text:
            return
        told = json.loads(text)
        try:
            settings = replace(
                Settings.from_environment(),
                broker_url=told["broker_url"],
                state_url=told["state_url"],
            )
            display.add(Stack(settings).exact_run(told["run_id"]))
        except NepiqError as error:
            display.console.print(f"nepiq: cannot show run {told['run_id']}: {error}")
