"""linux::Node: a Linux machine."""
# ruff: noqa: N815 - attributes bear the names that NEPI's scripts use

from __future__ import annotations

from typing import Any

from ...errors import FencedError, InvalidValue
from ...model import (
    AbsolutePath,
    Action,
    Attribute,
    Context,
    Duration,
    Environment,
    Flag,
    Login,
    Name,
    Placement,
    ResourceManager,
    SecretReference,
)

_LOCAL = ("localhost", "127.0.0.1", "::1")
_MODES = {"private": 0o700, "group": 0o750, "everyone": 0o755}


class HostName(str):
    """The name or address of a machine, or an alias in the worker machine's ssh_config."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> HostName:
        """Accept a name or address."""
        said = value if isinstance(value, str) else ""
        if not said or said.startswith("-") or any(c.isspace() or c in "@,/\0" for c in said):
            raise InvalidValue("must be a host's name or address", hint="the user is username=")
        return cls(said)


class Gateway(str):
    """Machines to go through, as ``user@host:port``, several with commas between, or ``none``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Gateway:
        """Accept what ProxyJump of ssh_config(5) takes."""
        if not isinstance(value, str):
            raise InvalidValue("must be text, as user@host:port")
        if value not in {"", "none"}:
            Login.chain(value)
        return cls(value)


class Node(ResourceManager, rtype="linux::Node"):
    """A Linux machine that applications run on, reached by SSH.

    ``localhost`` is the worker machine itself and needs no login, unless a port is given. What
    is not given here, the ssh_config(5) of the worker machine says.

    Its deployment makes a directory for the run; its release ends everything that the run left
    there. Between the two it is STARTED and does nothing by itself.
    """

    provides_host = True

    hostname = Attribute(
        HostName, "localhost", help="Name or address of the machine.", flags=Flag.DESIGN
    )
    username = Attribute(str, help="The user who logs in.", flags=Flag.DESIGN)
    port = Attribute(int, help="Port of its SSH server.", range=(1, 65535), flags=Flag.DESIGN)
    identity = Attribute(
        str,
        help="Path of the private key on the worker machine; no other key is offered then.",
        flags=Flag.CREDENTIAL,
    )
    gateway = Attribute(
        Gateway,
        "",
        help="The machine to go through, as user@host:port, several with commas between; "
        "none to go straight, whatever ssh_config says.",
        flags=Flag.DESIGN,
    )
    gatewayUser = Attribute(str, help="The user who logs in to the gateway.", flags=Flag.DESIGN)
    gatewayPort = Attribute(
        int, help="Port of the gateway's SSH server.", range=(1, 65535), flags=Flag.DESIGN
    )
    gatewayIdentity = Attribute(
        str,
        help="Path of the private key for the gateway; that of the node if not given.",
        flags=Flag.CREDENTIAL,
    )
    serverKey = Attribute(
        str,
        help="Its public key, as ssh-ed25519 AAAA...; known_hosts is not looked at then. "
        "Once it is deployed: the key that it proved to have.",
        flags=Flag.DESIGN,
    )
    strictHostKeyChecking = Attribute(
        str,
        "yes",
        allowed=("yes", "accept-new"),
        help="Whether to accept the key of a machine that known_hosts does not name.",
        flags=Flag.DESIGN,
    )
    connectTimeout = Attribute(
        Duration, "10s", help="Time that connecting to it may take.", flags=Flag.DESIGN
    )
    bootTimeout = Attribute(
        Duration, "0s", help="Time to wait for it if it is still booting.", flags=Flag.DESIGN
    )
    site = Attribute(
        Name, "default", help="The site whose workers can reach it.", flags=Flag.DESIGN
    )
    home = Attribute(
        AbsolutePath,
        help="Directory in which .nepiq is made; the login user's home if not given.",
        flags=Flag.DESIGN,
    )
    homeAccess = Attribute(
        str,
        "private",
        allowed=tuple(_MODES),
        help="Who else may look into .nepiq on it: nobody (private), the user's group, everyone.",
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
        int,
        8,
        help="Steps that may act on it at one time; of stops and releases, which go together, "
        "eight times as many.",
        range=(1, 1000),
        flags=Flag.DESIGN,
    )
    cleanExperiment = Attribute(
        bool, False, help="First remove what earlier runs of the experiment left on it."
    )
    cleanProcesses = Attribute(
        bool, False, help="First end what earlier runs of the experiment left running on it."
    )

    cleanHome = Attribute(
        bool, False, help="First remove what earlier runs of any experiment left on it."
    )
    cleanProcessesAfter = Attribute(
        bool,
        True,
        help="Of no effect, for NEPI's scripts: a release ends what its run started, and no more.",
    )
    tearDown = Attribute(
        str, help="A command that is run on it when it is released.", flags=Flag.DESIGN
    )

    os = Attribute(str, help="Its operating system, as reported.", flags=Flag.NO_WRITE)
    system = Attribute(str, help="Its kernel, as reported.", flags=Flag.NO_WRITE)
    cpus = Attribute(int, help="Its processors, as reported.", flags=Flag.NO_WRITE)
    user = Attribute(str, help="The login user, as reported.", flags=Flag.NO_WRITE)
    addresses = Attribute(
        str, help="Its IP addresses without loopback, blanks between.", flags=Flag.NO_WRITE
    )

    def placement(self) -> Placement:
        """Reached from its site; localhost without a port is the worker machine itself."""
        local = self.hostname in _LOCAL and self.port is None
        home = "" if local else str(Login(self.hostname, self.username, self.port))
        return Placement(self.site, local=local, limit=self.maxSteps, home=home)

    def login(self) -> Login:
        """How it is logged in to, as far as its attributes say."""
        return Login(
            hostname=self.hostname,
            username=self.username,
            port=self.port,
            identity=self.identity,
            gateway=self._gateway(),
            direct=self.gateway == "none",
            server_key=self.serverKey,
            accept_new=self.strictHostKeyChecking == "accept-new",
            connect_timeout=self.connectTimeout,
        )

    def _gateway(self) -> Login | None:
        if self.gateway in {"", "none"}:
            return None
        return Login.chain(
            self.gateway,
            Login(
                "",
                username=self.gatewayUser,
                port=self.gatewayPort,
                identity=self.gatewayIdentity or self.identity,
                accept_new=self.strictHostKeyChecking == "accept-new",
                connect_timeout=self.connectTimeout,
            ),
        )

    @property
    def home_mode(self) -> int:
        """Permissions of ``.nepiq`` on it."""
        return _MODES[self.homeAccess]

    def patience(self) -> float:
        """Its deployment waits so long for it to answer."""
        return self.bootTimeout

    def deadline_for(self, action: Action) -> float:
        """A deployment may take ``bootTimeout`` longer than usual."""
        usual = super().deadline_for(action)
        deploying = action in (Action.DEPLOY, Action.DISCOVER, Action.PROVISION)
        return usual + self.bootTimeout if deploying else usual

    def do_deploy(self, context: Context) -> None:
        """Make the run's directory and note what the machine says of itself."""
        host = context.host
        host.prepare(
            clean_experiment=self.cleanExperiment,
            clean_processes=self.cleanProcesses,
            clean_home=self.cleanHome,
            mode=self.home_mode,
        )
        facts = host.facts
        self.serverKey = facts.host_key
        self.os = facts.os
        self.system = facts.system
        self.cpus = facts.cpus
        self.user = facts.user
        self.addresses = " ".join(facts.addresses)

    def do_release(self, context: Context) -> None:
        """Tear down, end what the run left running; with ``hardRelease`` remove its directory."""
        try:
            if self.tearDown:
                context.host.run(self.tearDown)
        except FencedError:
            # An earlier attempt has come to the end; or else dismantle() raises it again.
            context.log.info("the run has ended here already")
        finally:
            context.host.dismantle(remove=self.hardRelease)
