"""Resource types that stamp when their start hook is entered and left.

Workers import this module by ``NEPIQ_IMPORTS``.
"""

from __future__ import annotations

import time

from nepiq.controller.model import Attribute, Connection, Context, Flag, ResourceManager

from .work import SLEEP_SECONDS


class Probe(ResourceManager, rtype="bench::Probe"):
    """A start without work."""

    does_io = False
    entered = Attribute(float, default=0.0, flags=Flag.NO_WRITE, help="when do_start was entered")
    left = Attribute(float, default=0.0, flags=Flag.NO_WRITE, help="when do_start was left")

    def do_start(self, context: Context) -> None:
        """Stamp."""
        self.entered = time.time()
        self.work(context)
        self.left = time.time()

    def work(self, context: Context) -> None:
        """Do what a start of this type does."""


class SleepProbe(Probe, rtype="bench::SleepProbe"):
    """A start that takes a while, as one that speaks to a host does."""

    does_io = True

    def work(self, context: Context) -> None:
        """Sleep."""
        time.sleep(SLEEP_SECONDS)


class ShellProbe(Probe, rtype="bench::ShellProbe"):
    """A start that runs a shell command on its node."""

    does_io = True
    node = Connection("linux::Node", required=True, help="where the command runs")

    def work(self, context: Context) -> None:
        """Run the command."""
        context.host.run("true")
