"""An installation of nepiq as a user has it: the command, scripts, a state directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import forks
from tests.forks import Forked
from tests.processes import alive
from tests.stand import until

from nepiq.controller.services import embedded
from nepiq.controller.services.place import Place
from nepiq.controller.settings import Settings

HEAD = """
from nepiq.controller import *
from nepiq.controller import ExperimentController, ResourceAction, ResourceState
START, STOP = ResourceAction.START, ResourceAction.STOP
STARTED, FINISHED = ResourceState.STARTED, ResourceState.FINISHED
"""


@dataclass
class Done:
    """How a command ended.

    Attributes:
        code: its exit code.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
        seconds: how long it took.
    """

    code: int
    out: str
    err: str
    seconds: float

    @property
    def complaint(self) -> str:
        """The one line that begins with ``nepiq:``."""
        lines = [line for line in self.err.splitlines() if line.startswith("nepiq: ")]
        assert len(lines) == 1, self.err
        return lines[0]


class Process:
    """A command that was started; what it writes goes into files.

    Args:
        process: the process.
        out: what it writes to stdout.
        err: what it writes to stderr.
    """

    def __init__(self, process: Forked | subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self.out = out
        self.err = err
        self.began = time.monotonic()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wrote(self, text: str, seconds: float = 40.0) -> None:
        """Wait until it has written something to stdout or stderr."""
        until(
            lambda: (
                text in self.out.read_text() + self.err.read_text()
                or self.process.poll() is not None
            ),
            seconds,
            f"{text!r} was not written",
        )
        assert text in self.out.read_text() + self.err.read_text(), self.err.read_text()

    def end(self) -> None:
        """End it, and what it started in its session, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ended(self, timeout: float = 60.0) -> Done:
        """Wait for its end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"did not end within {timeout:g} s:\n{self.out.read_text()}\n{self.err.read_text()}"
            ) from None
        took = time.monotonic() - self.began
        return Done(code, self.out.read_text(), self.err.read_text(), took)


class Installation:
    """A user's machine with nothing set up; whoever makes it closes it, or has a stand do so.

    Args:
        folder: where scripts, the state directory and the home are.
        environment: further variables.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._started: list[Process] = []
        # Unix socket paths are short; pytest's folders are not.
        self.state = Path(tempfile.mkdtemp(prefix="nq"))
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("NEPIQ_")}
        self.environment = {
            **clean,
            "HOME": str(home),
            "XDG_STATE_HOME": str(self.state),
            "NEPIQ_EMBEDDED_IDLE": "60",
            "PYTHONFAULTHANDLER": "1",  # a crash shows where, in what it wrote to stderr
            **environment,
        }

    def script(self, text: str, name: str = "script.py") -> Path:
        """Write a script; common imports are put in front."""
        path = self.folder / name
        path.write_text(HEAD + textwrap.dedent(text))
        return path

    def start(self, *command: str | Path, **environment: str) -> Process:
        """Start a command in a process group of its own."""
        number = len(self._started) + 1
        out, err = (self.folder / f"{number}.{name}" for name in ("out", "err"))
        for path in (out, err):
            path.write_bytes(b"")
        words, env = [*map(str, command)], {**self.environment, **environment}
        process = forks.start(words, env, self.folder, out, err)
        self._started.append(Process(process, out, err))
        return self._started[-1]

    def python(self, script: Path, **environment: str) -> Process:
        """Start a script without the command line."""
        return self.start(sys.executable, "-u", script, **environment)

    def nepiq(self, *arguments: str | Path, timeout: float = 60.0, **environment: str) -> Done:
        """Run the command line to its end."""
        return self.begin(*arguments, **environment).ended(timeout)

    def begin(self, *arguments: str | Path, **environment: str) -> Process:
        """Start the command line."""
        return self.start(sys.executable, "-m", "nepiq.controller.cli", *arguments, **environment)

    def run(self, text: str, *, timeout: float = 60.0, **environment: str) -> Done:
        """``nepiq run`` a script."""
        return self.nepiq("run", "-q", self.script(text), timeout=timeout, **environment)

    def runs(self) -> list[dict[str, Any]]:
        """What ``nepiq ls`` tells."""
        listed: list[dict[str, Any]] = json.loads(self.nepiq("ls", "--json").out)
        return listed

    @property
    def home(self) -> Path:
        """nepiq's state directory."""
        return self.state / "nepiq"

    def status(self) -> dict[str, Any] | None:
        """What runs of the embedded stack."""
        return embedded.status(self.home)

    def settings(self) -> Settings:
        """Settings of a client in this process that uses this installation's stack."""
        place = Place.of(self.home)
        return Settings(
            broker_url=place.broker_url, state_url=place.state_url, cache_home=self.home / "cache"
        )

    def close(self) -> None:
        """Stop everything; nothing may be left."""
        for started in self._started:
            started.end()
        told = self.status()
        embedded.down(self.home)
        if told:
            pids = [told[name] for name in ("keeper", "redis", "worker") if told[name]]
            # The kernel lets go of the lock shortly before the process is gone.
            until(lambda: not any(map(alive, pids)), 20.0, f"one of {pids} did not end")
        shutil.rmtree(self.state, ignore_errors=True)
