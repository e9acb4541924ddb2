"""linux::Node: a Linux machine."""
# ruff: noqa: N815 - attributes have the names that NEPI's scripts use

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...errors import FencedError, HostUnreachable, InvalidValue, NotAllowed
from ...model import (
    Action,
    Attribute,
    Connection,
    Context,
    Duration,
    Environment,
    Facts,
    Flag,
    Login,
    Placement,
    State,
)
from .leased_host import LeasedHost
from .login_attributes import LOCAL, LOGIN, LoginAttributes
from .where import Where

_MODES = {"private": 0o700, "group": 0o750, "everyone": 0o755}


class HostName(str):
    """The name or address of a machine, or an alias in the worker machine's ssh_config."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> HostName:
        """Return a name or address."""
        name = value if isinstance(value, str) else ""
        if not name or name.startswith("-") or any(c.isspace() or c in "@,/\0" for c in name):
            raise InvalidValue("must be a host's name or address", hint="set the user by username=")
        return cls(name)


class PoolName(str):
    """A pool of hosts: the guid or label of a linux::Pool, or the name of one that is kept."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> PoolName:
        """Return the name or the guid as text."""
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not value:
            raise InvalidValue("must be a pool: its guid, label or name")
        return cls(value)


class Interfaces(dict[str, Mapping[str, Any]]):
    """The network interfaces of a machine by name.

    Each is a mapping of ``state``, ``mac``, ``mtu`` and ``addresses``, as
    :class:`~nepiq.controller.model.Interface` has them.
    """

    @classmethod
    def parse(cls, value: Any) -> Interfaces:
        """Return a mapping of interfaces."""
        if not isinstance(value, Mapping):
            raise InvalidValue("must be a mapping of interfaces by name")
        return cls(value)


def _words(kinds: Sequence[str] | None) -> str:
    return "unknown" if kinds is None else " ".join(kinds)


class Node(LoginAttributes, rtype="linux::Node"):
    """A Linux machine that applications run on, reached by SSH.

    ``localhost`` without a port is the worker machine itself and needs no login. The
    ssh_config(5) of the worker machine applies to attributes that are not set.

    With ``pool`` its deployment leases a host that no other run has; ``hostname`` is reported then.

    Its deployment creates a directory for the run; its release ends all processes of the run.
    Its start and stop do nothing.
    """

    provides_host = True
    ends_all = {"do_release": ("tearDown",)}

    hostname = Attribute(
        HostName, "localhost", help="Name or address of the machine.", flags=Flag.DESIGN
    )
    serverKey = Attribute(
        str,
        help="Its public key, as ssh-ed25519 AAAA...; known_hosts is not read then. "
        "After the deployment: its verified key.",
        flags=Flag.DESIGN,
    )
    bootTimeout = Attribute(
        Duration, "0s", help="Time to wait for it while it boots.", flags=Flag.DESIGN
    )
    homeAccess = Attribute(
        str,
        "private",
        allowed=tuple(_MODES),
        help="Read access to .nepiq on it: only the user (private), the user's group, everyone.",
        flags=Flag.DESIGN,
    )
    env = Attribute(
        Environment, "", help="Variables for all applications on it, as A=1 B=2.", flags=Flag.DESIGN
    )
    maxSteps = Attribute(
        int,
        8,
        help="Number of steps that may act on it at the same time; 64 times as many starts, stops, "
        "releases and configurations, which share requests.",
        range=(1, 1000),
        flags=Flag.DESIGN,
    )
    cleanExperiment = Attribute(
        bool, False, help="First remove the files of earlier runs of the experiment."
    )
    cleanProcesses = Attribute(
        bool, False, help="First end the processes of earlier runs of the experiment."
    )

    cleanHome = Attribute(
        bool, False, help="First remove the files of earlier runs of all experiments."
    )
    cleanProcessesAfter = Attribute(
        bool,
        True,
        help="No effect, for NEPI's scripts: a release ends exactly the processes of its run.",
    )
    tearDown = Attribute(
        str,
        help="A command that is run at its release, unless its deployment failed.",
        flags=Flag.DESIGN,
    )
    tearDownAlways = Attribute(
        bool,
        False,
        help="Run tearDown also if the deployment failed, if the host can be reached; "
        "NEPIQ_STARTED is empty then, else 1.",
        flags=Flag.DESIGN,
    )

    pool = Attribute(
        PoolName,
        help="The pool that its host is leased from: a linux::Pool, or the name of a pool that "
        "is kept in the installation.",
        flags=Flag.DESIGN,
    )
    where = Attribute(
        Where,
        help="Which hosts of the pool it can use: an expression over labels and facts, or a "
        "mapping of labels to values.",
        flags=Flag.DESIGN,
    )
    poolTimeout = Attribute(
        Duration, help="Time to wait for hosts of the pool; no limit by default.", flags=Flag.DESIGN
    )

    lease = Attribute(
        LeasedHost,
        help="The leased host, and the number of the lease.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )
    os = Attribute(str, help="Its operating system, as reported.", flags=Flag.FACT)
    system = Attribute(str, help="Its kernel, name and release, as reported.", flags=Flag.FACT)
    kernel = Attribute(str, help="The release of its kernel, as reported.", flags=Flag.FACT)
    arch = Attribute(str, help="Its architecture, as reported, such as x86_64.", flags=Flag.FACT)
    memory = Attribute(int, help="Its memory in bytes, as reported.", flags=Flag.FACT)
    cpus = Attribute(int, help="Its processors, as reported.", flags=Flag.FACT)
    processor = Attribute(
        str, help="The model of its first processor, as reported; or empty.", flags=Flag.FACT
    )
    governor = Attribute(
        str, help="The frequency governor of its first processor, if it has one.", flags=Flag.FACT
    )
    bootId = Attribute(str, help="A number that changes at every boot.", flags=Flag.FACT)
    user = Attribute(str, help="The login user, as reported.", flags=Flag.NO_WRITE)
    addresses = Attribute(
        str, help="Its IP addresses without loopback, space-separated.", flags=Flag.FACT
    )
    interfaces = Attribute(
        Interfaces,
        help="Its network interfaces by name, each with state, mac, mtu and addresses.",
        flags=Flag.NO_WRITE,
    )
    qdiscs = Attribute(
        str,
        help="The queueing disciplines that its kernel has, space-separated, or unknown.",
        flags=Flag.NO_WRITE,
    )
    linkKinds = Attribute(
        str,
        help="The kinds of links that its kernel can make, space-separated, or unknown.",
        flags=Flag.NO_WRITE,
    )
    clockOffset = Attribute(
        float,
        help="Seconds by which its clock is ahead of that of Redis, at its deployment; "
        "none if unknown.",
        flags=Flag.FACT,
    )
    clockError = Attribute(float, help="Greatest error of clockOffset in seconds.", flags=Flag.FACT)

    inventory = Connection("linux::Pool", named_by="pool", help="The pool, if it is a resource.")
    reservation = Connection(
        "linux::Reservation",
        waits=True,
        together=("pool", "inventory"),
        help="The request for the hosts of all nodes that are deployed together.",
    )

    def stored(self, name: str) -> Any:
        """Return the stored value of an attribute, or that of the leased host."""
        value = super().stored(name)
        if value is None and name in LOGIN and self.is_pooled:
            leased = self.leased()
            return None if leased is None else leased.login.get(name)
        return value

    @property
    def is_pooled(self) -> bool:
        """True if its host is leased from a pool."""
        return bool(super().stored("pool"))

    def leased(self) -> LeasedHost | None:
        """Return its host in a pool; None without a pool, or while none is leased."""
        value = super().stored("lease")
        if value is None and self.is_pooled and self.reservation is not None:
            value = self.reservation.leases.get(str(self.guid))
        return None if value is None else LeasedHost.parse(value)

    @classmethod
    def reported(cls, stored: Mapping[str, Any]) -> Collection[str]:
        """Return what it has reported: of a leased host also its name and key."""
        leased = ("hostname", "serverKey") if "lease" in stored else ()
        return [*super().reported(stored), *leased]

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that its host is given in one way."""
        del conditional
        pooled = self.is_pooled or self.inventory is not None
        if pooled and super().stored("hostname") is not None:
            raise InvalidValue("set either hostname or pool", where=self.label)
        if not pooled and (self.where is not None or self.poolTimeout is not None):
            raise InvalidValue("where and poolTimeout need a pool", where=self.label)

    def assigned(self) -> bool:
        """Return False while its host is not leased."""
        return not self.is_pooled or self.leased() is not None

    def placement(self) -> Placement:
        """Return its placement; localhost without a port is the worker machine itself."""
        if self.is_pooled:
            site = self.site
            if super().stored("site") is None and self.inventory is not None:
                site = self.inventory.site
            affinity = f"leased.{self.label}"  # its machine is not known before the deployment
            return Placement(site, local=False, limit=self.maxSteps, affinity=affinity)
        local = self.hostname in LOCAL and self.port is None
        affinity = "" if local else str(Login(self.hostname, self.username, self.port))
        return Placement(self.site, local=local, limit=self.maxSteps, affinity=affinity)

    def login(self) -> Login:
        """Return the SSH login that its attributes describe.

        Raises:
            NotAllowed: its host is not leased yet.
        """
        if not self.assigned():
            raise NotAllowed(
                f"no host of pool {self.pool} is leased for it yet",
                where=self.label,
                hint="deploy it; nepiq why tells what it waits for",
            )
        return Login(
            hostname=self.hostname,
            username=self.username,
            port=self.port,
            identity=self.identity,
            password=self.password or "",
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
                password=self.gatewayPassword or "",
                accept_new=self.strictHostKeyChecking == "accept-new",
                connect_timeout=self.connectTimeout,
            ),
        )

    @property
    def home_mode(self) -> int:
        """Permissions of its directory ``.nepiq``."""
        return _MODES[self.homeAccess]

    def patience(self) -> float:
        """Return ``bootTimeout``."""
        return self.bootTimeout

    def deadline_for(self, action: Action) -> float:
        """Return the time limit of a step, for a deployment longer by ``bootTimeout``."""
        limit = super().deadline_for(action)
        deploying = action in (Action.DEPLOY, Action.DISCOVER, Action.PROVISION)
        return limit + self.bootTimeout if deploying else limit

    def do_deploy(self, context: Context) -> None:
        """Create the run's directory and store the facts that the machine reports."""
        host, leased = context.host, self.leased()
        try:
            host.prepare(
                clean_experiment=self.cleanExperiment,
                clean_processes=self.cleanProcesses,
                clean_home=self.cleanHome,
                mode=self.home_mode,
                lease=None if leased is None else leased.number,
                remove=self.hardRelease,
            )
        except HostUnreachable:
            if leased is not None:
                leased.suspect(context.pools)
            raise
        if leased is not None:
            self.lease, self.hostname = leased, HostName(leased.login["hostname"])
            leased.confirm(context.pools, host.facts, self.where)
        self._report(host.facts)

    def _report(self, facts: Facts) -> None:
        self.serverKey = facts.host_key
        self.os = facts.os
        self.system = facts.system
        self.kernel = facts.kernel
        self.arch = facts.arch
        self.memory = facts.memory
        self.cpus = facts.cpus
        self.processor = facts.processor
        self.governor = facts.governor
        self.bootId = facts.boot_id
        self.user = facts.user
        self.addresses = " ".join(facts.addresses)
        self.interfaces = Interfaces({name: asdict(it) for name, it in facts.interfaces.items()})
        self.qdiscs = _words(facts.qdiscs)
        self.linkKinds = _words(facts.link_kinds)
        self.clockOffset = facts.clock_offset
        self.clockError = facts.clock_error

    def do_release(self, context: Context) -> None:
        """Run ``tearDown``, end all processes of the run; with ``hardRelease`` remove its files.

        A leased host is then given back.
        """
        try:
            if self.tearDown:
                deployed = context.reached(State.READY)
                if deployed or self.tearDownAlways:
                    env = {"NEPIQ_STARTED": "1" if deployed else ""}
                    context.host.run(self.tearDown, env=env)
        except FencedError:
            # An earlier attempt has finished the release, or else dismantle() raises it again.
            context.log.info("an earlier attempt has released the run on this host")
        finally:
            context.host.dismantle(remove=self.hardRelease)
        leased = self.leased()
        if leased is not None:
            context.pools.give_back(leased.request, self.guid)
