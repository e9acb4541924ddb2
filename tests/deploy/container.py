"""Containers: what a service starts, in namespaces, on a root and with the rights that it says."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import claim
from tests.testbed.spaces import CONTAINER, NETWORK, Space
from tests.testbed.spaces import HERE as TESTBED
from tests.testbed.switch import SITE, Leg, Switch

from .tree import Tree

HERE = Path(__file__).parent
_ALONE = ("--mount", "--pid", "--fork", "--kill-child")
# What Docker lets a container keep of root's rights, unless its service drops some.
DOCKER = "-all," + ",".join(
    f"+{name}"
    for name in (
        *("audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod"),
        *("net_bind_service", "net_raw", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot"),
    )
)


@dataclass
class Program:
    """What is started, and as whom.

    Attributes:
        command: program and arguments.
        environment: all of it.
        user: number of the user and of its group.
        folder: where it is started.
        capabilities: the bounding set, as setpriv(1) takes it.
        new_privileges: whether programs may give some, as set-user-ID ones do.
        init: whether a process 1 stands before it, as with Docker's ``init: true``.
    """

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    user: int = 0
    folder: str = "/"
    capabilities: str = "+all"
    new_privileges: bool = True
    init: bool = False

    def words(self, command: Sequence[str]) -> list[str]:
        """A command, after all that makes the rest of this hold for it."""
        rights = ["--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"]
        rights += ["--inh-caps=-all", f"--bounding-set={self.capabilities}"]
        if not self.new_privileges:
            rights.append("--no-new-privs")
        variables = [f"{name}={text}" for name, text in self.environment.items()]
        # What Space set for the case that we die is lost with the change of user, unless kept.
        words = ["setpriv", *rights, "--pdeathsig", "keep", "--"]
        return [*words, "env", "-i", "-C", self.folder, *variables, *command]


class Container:
    """A program on a root of its own.

    Args:
        name: its hostname; empty: it shares the hostname, and the network, of others.
        tree: its root.
        program: what it runs.
        log: where it writes; files that make it are written beside.
        read_only: whether nothing of the root can be written to but what is mounted so.
        address: in its network; empty: none.

    Attributes:
        program: what it runs.
        address: in its network.
    """

    def __init__(
        self,
        name: str,
        tree: Tree,
        program: Program,
        log: Path,
        *,
        read_only: bool = False,
        address: str = "",
    ) -> None:
        self.program = program
        self.address = address
        self._tree = tree
        self._name = name
        self._read_only = read_only
        self._log = log
        self._space: Space | None = None

    def begin(self, mark: str, within: Space | None = None) -> Space:
        """The first part of its start: it has its root.

        Args:
            mark: see Space.
            within: whose network it shares.

        Raises:
            TestbedFailed: it could not be made.
        """
        fstab, network = (self._log.with_suffix(f".{end}") for end in ("fstab", "net"))
        fstab.write_text(self._tree.fstab())
        lines = []
        if within is None:
            lines.append("link set lo up")
        if self.address:
            lines += [
                "link set eth0 addrgenmode none up",
                f"address add {self.address}/24 dev eth0",
            ]
        network.write_text("".join(f"{line}\n" for line in lines))
        before = []
        if self.program.init:
            self._tree.file("docker-init", (HERE / "init.sh").read_text(), mode=0o755)
            before = ["/docker-init"]
        script = [str(HERE / "container.sh"), str(self._tree.path), str(fstab)]
        script += ["ro" if self._read_only else "rw", self._name, str(network), str(self._log)]
        script += self.program.words([*before, *self.program.command])
        kinds = CONTAINER if within is None else _ALONE
        self._space = Space(mark, script, kinds, within=within, tied=True)
        self._space.settle()
        return self._space

    @property
    def space(self) -> Space:
        """Its namespaces, once it has begun."""
        assert self._space is not None
        return self._space

    def text(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def run(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it with its rights and environment, as docker exec does."""
        words = self.program.words(command)
        return self.space.enter(words, only=("-m", "-u", "-i", "-n", "-p"), timeout=timeout)

    def ended(self, timeout: float = 60.0) -> int:
        """Wait until it has ended by itself; its exit code."""
        return self.space.ended(timeout)

    def stop(self, timeout: float = 60.0) -> int:
        """Have it end with SIGTERM; its exit code."""
        os.kill(self.space.pid, signal.SIGTERM)
        return self.ended(timeout)

    def kill(self) -> None:
        """Kill what is left of it, and wait until it is gone."""
        if self._space is not None:
            self._space.kill()
            self._space.ended()


class Network:
    """A bridge that containers are plugged into, and this machine too."""

    def __init__(self) -> None:
        self._close = ExitStack()
        self._started: list[Container] = []
        self._given = 1  # this machine is the first

    def __enter__(self) -> Network:
        with ExitStack() as stack:
            self._claim = claim.take(None)
            stack.callback(self._claim.release)
            self._switch = Switch(self._claim)
            stack.callback(self._switch.ended)
            stack.callback(self._switch.kill)
            self._switch.start(str(self._claim.site[254]))
            self._close = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for container in self._started:
            container.kill()
        self._close.close()

    def address(self) -> str:
        """A new one."""
        self._given += 1
        return str(self._claim.site[self._given])

    def start(self, container: Container) -> None:
        """Start a container in this network."""
        self._started.append(container)
        number = len(self._started)
        # By the address, so that others find whoever comes back under it.
        mac = "02:42:" + ":".join(f"{int(part):02x}" for part in container.address.split("."))
        leg = Leg("eth0", f"container{number}", SITE, container.address, mac)
        space = container.begin(self._claim.mark)
        self._switch.plug([(leg, space)])
        space.go()


class Machine:
    """A network that only what is on it reaches: programs that share its loopback."""

    def __init__(self) -> None:
        self._started: list[Container] = []

    def __enter__(self) -> Machine:
        self._space = Space("", [str(TESTBED / "switch.sh")], NETWORK, tied=True)
        self._space.settle()
        self._space.net(["ip", "link", "set", "lo", "up"])
        return self

    def __exit__(self, *_: object) -> None:
        for container in self._started:
            container.kill()
        self._space.kill()
        self._space.ended()

    def start(self, container: Container) -> None:
        """Start a program on this machine."""
        self._started.append(container)
        container.begin("", self._space).go()
