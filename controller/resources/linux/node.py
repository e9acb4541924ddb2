"""linux::Node: a Linux machine."""
# ruff: noqa: N815 - attributes bear the names that NEPI's scripts use

from __future__ import annotations

from typing import Any

from ...errors import InvalidValue
from ...model import (
    AbsolutePath,
    Attribute,
    Context,
    Environment,
    Flag,
    Name,
    Placement,
    ResourceManager,
    SecretReference,
)

_LOCAL = ("localhost", "127.0.0.1", "::1")


class HostName(str):
    """The name or address of a machine that this version can act on."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> HostName:
        """Accept the worker machine itself."""
        if value not in _LOCAL:
            raise InvalidValue(
                "must be one of " + ", ".join(_LOCAL),
                hint="this version acts on the worker machine only; remote hosts come later",
            )
        return cls(value)


class Node(ResourceManager, rtype="linux::Node"):
    """A Linux machine that applications run on.

    Its deployment makes a directory for the run; its release ends everything that the run left
    there. Between the two it is STARTED and does nothing by itself.
    """

    provides_host = True

    hostname = Attribute(
        HostName, "localhost", help="Name or address of the machine.", flags=Flag.DESIGN
    )
    site = Attribute(
        Name, "default", help="The site whose workers can reach it.", flags=Flag.DESIGN
    )
    home = Attribute(
        AbsolutePath,
        help="Directory in which .nepiq is made; the login user's home if not given.",
        flags=Flag.DESIGN,
    )
    env = Attribute(
        Environment, "", help="Variables for all that runs on it, as A=1 B=2.", flags=Flag.DESIGN
    )
    sudoPassword = Attribute(
        SecretReference,
        help="Where the worker machine finds the password for sudo: env:NAME or file:PATH.",
        flags=Flag.CREDENTIAL,
    )
    maxSteps = Attribute(
        int, 8, help="Steps that may act on it at one time.", range=(1, 1000), flags=Flag.DESIGN
    )
    cleanExperiment = Attribute(
        bool, False, help="First remove what earlier runs of the experiment left on it."
    )
    cleanProcesses = Attribute(
        bool, False, help="First end what earlier runs of the experiment left running on it."
    )

    system = Attribute(str, help="Its kernel, as reported.", flags=Flag.NO_WRITE)
    cpus = Attribute(int, help="Its processors, as reported.", flags=Flag.NO_WRITE)
    user = Attribute(str, help="The login user, as reported.", flags=Flag.NO_WRITE)
    addresses = Attribute(
        str, help="Its IP addresses without loopback, blanks between.", flags=Flag.NO_WRITE
    )

    def placement(self) -> Placement:
        """Reached from its site; always the worker machine itself in this version."""
        return Placement(self.site, local=True, limit=self.maxSteps)

    def do_deploy(self, context: Context) -> None:
        """Make the run's directory and note what the machine says of itself."""
        host = context.host
        host.prepare(clean_experiment=self.cleanExperiment, clean_processes=self.cleanProcesses)
        facts = host.facts
        self.system = facts.system
        self.cpus = facts.cpus
        self.user = facts.user
        self.addresses = " ".join(facts.addresses)

    def do_release(self, context: Context) -> None:
        """End what the run left running and, with ``hardRelease``, remove its directory."""
        context.host.dismantle(remove=self.hardRelease)
