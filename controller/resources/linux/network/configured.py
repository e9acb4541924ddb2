"""The base of resources that are configuration of a host."""

from __future__ import annotations

from collections.abc import Sequence

from ....model import Change, Context, ResourceManager


class Configured(ResourceManager):
    """Configuration of a host: made at the deployment, undone at the release.

    A subclass returns its changes; those of all resources that are due on a host at the same time
    share a request. The actions need root on the host.
    """

    joint = {"do_deploy": (), "do_release": (), "do_set": ()}
    covered = True
    endless = True

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return what is made at the deployment, in this order.

        Raises:
            HostError: the host lacks what they need.
        """
        raise NotImplementedError

    def report(self) -> str:
        """Return a shell command that shows what was made; empty for none."""
        return ""

    def made(self, report: str) -> None:
        """Take over what the command of :meth:`report` has printed."""

    def do_deploy(self, context: Context) -> None:
        """Make the changes."""
        self.made(context.host.configure(self.configuration(context), report=self.report()))

    def do_release(self, context: Context) -> None:
        """Undo them."""
        context.host.unconfigure()
