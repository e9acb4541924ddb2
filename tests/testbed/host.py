"""A host of the test bed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests import processes

from . import files
from .spaces import HERE, HOST, PATH, Space, TestbedFailed
from .switch import Leg, Switch

BOOT_SECONDS = 30.0


class Process(NamedTuple):
    """A process as the host sees it."""

    pid: int
    user: str
    args: str


class Host:
    """A machine with its own network, processes, users, home, /tmp, /run, boots and sshd.

    Attributes:
        name: its hostname.
        address: where its sshd listens, for whoever can reach it.
        port: the port of its sshd.
        key: the private key that logs in as each of its users.
        root: its /home, as seen on this machine.
        known_hosts_line: its host key, for a known_hosts file.
    """

    port = 22

    def __init__(
        self,
        name: str,
        folder: Path,
        legs: Sequence[Leg],
        switch: Switch,
        key: Path,
        options: Mapping[str, str],
    ) -> None:
        self.name = name
        self.address = legs[0].address
        self.key = key
        self.root = folder / "home"
        self.legs = tuple(legs)
        self._folder = folder
        self._switch = switch
        self._options = dict(options)
        self._space: Space | None = None
        # Whether somebody acted on it since it booted with empty homes, but for logins by SSH.
        self._touched = False
        self._log_at_boot = 0
        self._server_key = files.Key.make()
        self.known_hosts_line = f"{self.address} {self._server_key.public}"

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    def furnish(self, client: files.Key, names: str) -> None:
        """Write its files, once: see :func:`files.furnish`."""
        files.furnish(self._folder, self.name, self._server_key, client, names)
        self._write_config(self._options)
        (self._folder / "fstab").write_text(files.fstab(self._folder))
        lines = ["link set lo up"]
        for leg in self.legs:
            lines.append(f"link set {leg.interface} addrgenmode none up")
            lines.append(f"address add {leg.address}/24 dev {leg.interface}")
        (self._folder / "network").write_text("\n".join(lines) + "\n")

    # -- looking ----------------------------------------------------------------------------

    @property
    def space(self) -> Space:
        """Its namespaces.

        Raises:
            TestbedFailed: it is down.
        """
        if self._space is None or not self._space.alive():
            raise TestbedFailed(f"{self.name} is down; boot() starts it")
        return self._space

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._space is not None and self._space.alive()

    def inside(self, path: str) -> Path:
        """A file of the running host, as seen on this machine; links in the path mislead."""
        return Path(f"/proc/{self.space.pid}/root{path}")

    def run(
        self,
        command: str,
        user: str = "lab",
        *,
        text: str = "",
        timeout: float = 30.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside, in the user's home, without SSH.

        Args:
            command: for ``sh -c``.
            user: lab, student, guest or root.
            text: its standard input.
            timeout: seconds.
            check: whether an exit code that is not 0 is an error.

        Raises:
            subprocess.CalledProcessError: the command failed; its outputs are in the message.
        """
        self._touched = True
        number, home = files.USERS.get(user, 0), f"/home/{user}" if user != "root" else "/root"
        env = {"PATH": PATH, "HOME": home, "USER": user, "LOGNAME": user, "SHELL": "/bin/bash"}
        done = self.space.enter(
            ["sh", "-c", 'cd && exec sh -c "$1"', "sh", command],
            how=("-S", str(number), "-G", str(number)),
            env=env,
            text=text,
            timeout=timeout,
        )
        if check and done.returncode:
            raise subprocess.CalledProcessError(
                done.returncode, f"{self.name}: {command}", done.stdout, done.stderr
            )
        return done

    def processes(self) -> list[Process]:
        """What runs inside, with the numbers that it has there."""
        users = {number: user for user, number in files.USERS.items()}
        found = []
        for entry in self.inside("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                user = entry.stat().st_uid
                args = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
                name = users.get(user, "root" if user == 0 else str(user))
                found.append(Process(int(entry.name), name, args.decode(errors="replace")))
        return sorted(found)

    def bearers(self, mark: str) -> list[int]:
        """Processes inside whose NEPIQ_ID begins so, by the numbers that they have there."""
        return sorted(processes.identities(mark, root=str(self.inside("/proc"))))

    def log(self) -> str:
        """What its sshd logged in this boot."""
        return self.inside("/var/log/sshd.log").read_text(errors="replace")

    # -- the link ---------------------------------------------------------------------------

    def cut(self) -> None:
        """Lose every packet to and from it; nobody is told, as when a cable far away breaks."""
        self._link(cut=True)

    def lose(self, share: float) -> None:
        """Lose packets by chance, in each direction: of pings ``1 - (1 - share)**2`` are lost.

        Args:
            share: from 0 to 1.
        """
        self._link(loss=share)

    def slow(self, rate: str) -> None:
        """Limit each direction to a rate.

        Args:
            rate: as in tc(8), ``20mbit``.
        """
        self._touched = True
        for leg in self.legs:
            leg.rate = rate
            if self.up:  # else the next boot does it
                self._switch.shape(leg, self.space)

    def mend(self) -> None:
        """Undo :meth:`cut`, :meth:`lose` and :meth:`slow`."""
        if any(leg.cut or leg.loss for leg in self.legs):
            self._link(cut=False, loss=0.0)
        if any(leg.rate for leg in self.legs):
            self.slow("")

    def _link(self, *, cut: bool | None = None, loss: float | None = None) -> None:
        self._touched = True
        for leg in self.legs:
            leg.cut = leg.cut if cut is None else cut
            leg.loss = leg.loss if loss is None else loss
        self._switch.filter()

    # -- sshd -------------------------------------------------------------------------------

    def silence(self) -> None:
        """Stop sshd's listener: connections are accepted by the kernel, and nobody answers."""
        self._signal_sshd(signal.SIGSTOP)

    def unsilence(self) -> None:
        """Let sshd's listener go on."""
        self._signal_sshd(signal.SIGCONT)

    def configure(self, **options: str) -> None:
        """Restart sshd's listener with other options; connections that are there stay.

        Args:
            options: as in sshd_config(5), beside those that the bed was made with. None: back to
                those.

        Raises:
            TestbedFailed: sshd did not come back; the message has its log.
        """
        self._write_config({**self._options, **options})
        before = self.inside("/run/sshd.pid").stat().st_mtime_ns
        self._signal_sshd(signal.SIGHUP)  # sshd removes the file and writes it when it listens
        self._until(lambda: self._listens_since() > before, "sshd to listen again")

    def _signal_sshd(self, number: int) -> None:
        pid = self.inside("/run/sshd.pid").read_text().strip()
        self.run(f"kill -{number} {pid}", user="root")

    def _write_config(self, options: Mapping[str, str]) -> None:
        (self._folder / "etc/ssh/sshd_config").write_text(files.sshd_config(options))

    def _listens_since(self) -> int:
        try:
            told = self.inside("/run/sshd.pid").stat()
        except (OSError, TestbedFailed):  # not yet, or no longer
            return 0
        return told.st_mtime_ns if told.st_size else 0

    def _until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + BOOT_SECONDS
        while not true():
            if not self.up:
                assert self._space is not None
                raise TestbedFailed(f"{self.name} ended: {self._space.complaint()}")
            if time.monotonic() > end:
                raise TestbedFailed(f"{self.name}: waited in vain for {what}: {self.log()}")
            time.sleep(0.002)

    # -- boots ------------------------------------------------------------------------------

    def crash(self) -> None:
        """Kill all of it at once, and wait until it is gone. Its /home stays."""
        self._touched = True
        self.kill()
        self.ended()
        self._switch.unplug(self.legs)

    def boot(self) -> None:
        """Start it again: the same files, host key and address; a new boot id, /tmp and /run."""
        boot([self], self._switch)

    def reboot(self) -> None:
        """:meth:`crash` and :meth:`boot`."""
        self.crash()
        self.boot()

    def begin(self) -> None:
        """The first part of a boot: its process 1 starts, and makes its file systems."""
        (self._folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        sshd = shutil.which("sshd", path=PATH) or "sshd"
        script = [str(HERE / "boot.sh"), self.name, str(self._folder / "fstab")]
        script += [str(self._folder / "network"), sshd]
        self._space = Space(self._switch.claim.mark, script, HOST)

    def wait_until_up(self) -> None:
        """The last part of a boot: its sshd listens."""
        self._until(self._listens_since, "sshd to listen")
        self._log_at_boot = len(self.log())

    def kill(self) -> None:
        """Kill its process 1, and so all of it; :meth:`ended` waits for that."""
        if self._space is not None:
            self._space.kill()

    def ended(self) -> None:
        """Wait until all that ran inside is gone."""
        if self._space is not None:
            self._space.ended()

    def used(self) -> bool:
        """Whether anybody acted on it, or connected to its sshd, since it was fresh."""
        return self._touched or not self.up or len(self.log()) != self._log_at_boot

    def clear(self) -> None:
        """Crash it, mend its link, and forget what was done to its homes and its sshd."""
        self.mend()
        self.crash()
        for user, number in files.USERS.items():
            shutil.rmtree(self.root / user, ignore_errors=True)
            files.make_home(self.root / user, number)
        self._write_config(self._options)
        self._touched = False


def boot(hosts: Sequence[Host], switch: Switch) -> None:
    """Start hosts side by side.

    Raises:
        TestbedFailed: one did not come up.
    """
    for host in hosts:
        host.begin()
    for host in hosts:
        host.space.settle()
    switch.plug([(leg, host.space) for host in hosts for leg in host.legs])
    for host in hosts:
        host.space.go()
    for host in hosts:
        host.wait_until_up()
