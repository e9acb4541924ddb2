"""Resource types that misbehave on purpose; workers import this module."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nepiq.controller import Attribute, Context, Later, ResourceManager, Retry
from nepiq.controller.model import Action, Figure, Flag, Outputs, State
from nepiq.controller.resources.linux.application import Application


class Quick(ResourceManager, rtype="test::Quick"):
    """Does no I/O that it tells of, and may hang, exit or raise in its start."""

    does_io = False
    mood = Attribute(str, "", help="'exit', 'raise', a file that it waits for, or nothing.")

    def do_start(self, context: Context) -> None:
        """Do what the mood says."""
        if self.mood == "exit":
            raise SystemExit(3)
        if self.mood == "raise":
            raise ValueError("bad mood")
        while self.mood and not Path(self.mood).exists():
            time.sleep(0.02)


class Flaky(ResourceManager, rtype="test::Flaky"):
    """Is not ready at first, and then fails twice before it starts."""

    retries = {"do_start": Retry(2, "50ms")}
    polls = Attribute(int, 0, help="How often its deploy has looked.")
    attempt = Attribute(int, 0, help="The attempt that succeeded.")

    def do_deploy(self, context: Context) -> Later | None:
        """Come back twice."""
        self.polls += 1
        return Later("50ms") if self.polls < 3 else None

    def do_start(self, context: Context) -> None:
        """Fail on the first two attempts."""
        if context.attempt < 3:
            raise RuntimeError("not yet")
        self.attempt = context.attempt


class Sleeper(ResourceManager, rtype="test::Sleeper"):
    """Is ready once its file is there, and is told by a thread of its own."""

    file = Attribute(str, "", help="The file.")

    def do_deploy(self, context: Context) -> Later | None:
        """Wait for longer than any test takes, unless woken."""
        if Path(self.file).exists():
            return None

        def watch() -> None:
            while not Path(self.file).exists():
                time.sleep(0.02)
            context.wake()

        threading.Thread(target=watch, daemon=True).start()
        return Later("300s")


class Poison(ResourceManager, rtype="test::Poison"):
    """Kills the worker that touches it."""

    def do_deploy(self, context: Context) -> None:
        """End this process without a word."""
        os._exit(9)


class Dial(ResourceManager, rtype="test::Dial"):
    """Can be set while it runs."""

    level = Attribute(int, 0, range=(0, 10), help="What it is set to.")
    applied = Attribute(str, "", help="What its do_set has seen.")

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Note it, and refuse 7."""
        if value == 7:
            raise ValueError("seven is not for dials")
        self.applied = f"{self.applied}{name}={value};"


class Deaf(ResourceManager, rtype="test::Deaf"):
    """Hears of no end for longer than any test takes."""

    def do_deploy(self, context: Context) -> None:
        context.log.warning("deaf to all")
        time.sleep(300)


class Vague(ResourceManager, rtype="test::Vague"):
    """Cannot say how long its steps may take."""

    def deadline_for(self, action: Action) -> float:
        """Raise."""
        raise ValueError(f"no idea of {action}")


class VagueBatch(Vague, rtype="test::VagueBatch"):
    """The same, with steps that share a message with others."""

    does_io = False

    def do_deploy(self, context: Context) -> None:
        """Nothing, but it is a hook."""


class VagueAndDeaf(Deaf, rtype="test::VagueAndDeaf"):
    """Says to its worker alone how long its steps may take."""

    def deadline_for(self, action: Action) -> float:
        """Raise where no worker asks."""
        if "NEPIQ_IMPORTS" in os.environ:
            return super().deadline_for(action)
        raise ValueError(f"no idea of {action}")


class Counter(Application, rtype="test::Counter"):
    """A command whose last line of output is a figure."""

    mood = Attribute(str, "", help="What goes wrong when the figures are read.", flags=Flag.DESIGN)
    last = Figure(int, unit="B", help="The last line.")
    other = Figure(str, help="Never there.")

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return the last line."""
        if self.mood == "raise":
            raise ValueError("bad mood")
        if self.mood == "unknown":
            return {"first": 1}
        lines = outputs.text(last=100).split()
        return {"last": lines[-1] if self.mood == "text" else int(lines[-1])} if lines else {}


class Reacher(ResourceManager, rtype="test::Reacher"):
    """Writes at its release what it has reached; its deployment may fail."""

    fails = Attribute(bool, False, help="Whether its deployment fails.")
    file = Attribute(str, "", help="The file that it writes to.")

    def do_deploy(self, context: Context) -> None:
        """Fail, if it shall."""
        if self.fails:
            raise RuntimeError("no")

    def do_release(self, context: Context) -> None:
        """Write it."""
        reached = [context.reached(state) for state in (State.READY, State.STARTED)]
        Path(self.file).write_text(f"{reached}")
