"""Namespaces: starting their process 1, entering them, ending all that runs in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
# Debian leaves the sbin directories out of a user's PATH; root through su has such a PATH.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Borne by every process 1 of a bed, so that a later bed finds what a dead one left.
MARK = "NEPIQ_TESTBED"
PROGRAMS = ("unshare", "nsenter", "mount", "ip", "tc", "nft", "sshd", "ssh", "sudo", "ping")

# Namespaces, as options of unshare(1): of the switch, of a container, of a host.
NETWORK = ("--net", "--pid", "--fork", "--kill-child")
CONTAINER = ("--mount", "--uts", "--ipc", *NETWORK)
HOST = (*CONTAINER, "--time")


class TestbedFailed(RuntimeError):
    """A part of the test bed could not be made; says which, and what the program said."""

    __test__ = False  # pytest: not a class of tests


def missing() -> str:
    """What this machine lacks for a test bed; empty if nothing."""
    if os.geteuid() != 0:
        return "root"
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            return f"the program {program}"
    trial = subprocess.run(
        ["unshare", *HOST, "true"],
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"namespaces: {trial.stderr.strip()}" if trial.returncode else ""


class Space:
    """The namespaces of a host, of a container, or of the switch, while they live.

    Args:
        mark: what its process 1 bears as ``NEPIQ_TESTBED``.
        script: what process 1 runs, and its arguments. It first prints its process number.
        kinds: the namespaces that are its own: NETWORK, CONTAINER or HOST, or some of them.
        within: whose network it has, if it has none of its own.
        tied: whether it is killed with the thread that makes it; else process 1 ends by itself
            when its standard input does.
    """

    def __init__(
        self,
        mark: str,
        script: Sequence[str],
        kinds: Sequence[str],
        *,
        within: Space | None = None,
        tied: bool = False,
    ) -> None:
        before = ["setpriv", "--pdeathsig", "KILL"] if tied else []
        if within is not None:
            before += ["nsenter", "-t", str(within.pid), "-n", "--"]
        if "--time" in kinds:
            # The clocks since boot begin at 0, as after a boot (time_namespaces(7)).
            age = int(float(Path("/proc/uptime").read_text().split()[0]))
            kinds = [*kinds, f"--boottime=-{age}", f"--monotonic=-{age}"]
        # In a session of its own: ctrl-C ends the bed in order, not each process by itself.
        self._process = subprocess.Popen(
            [*before, "unshare", *kinds, "sh", *script],
            env={"PATH": PATH, MARK: mark},
            cwd="/",
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = 0

    def settle(self) -> None:
        """Wait until process 1 has told its number.

        Raises:
            TestbedFailed: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TestbedFailed(f"process 1 ended before it was up: {self.complaint()}")
        self.pid = int(line)

    def go(self) -> None:
        """Let process 1 go on: its network is there. If it has ended, the next look tells."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), b"go\n")

    def alive(self) -> bool:
        """Whether process 1 lives."""
        return self._process.poll() is None

    def complaint(self) -> str:
        """What process 1 said when it ended."""
        assert self._process.stderr is not None
        self._process.wait()
        return self._process.stderr.read().strip() or f"exit {self._process.returncode}"

    def kill(self) -> None:
        """Kill process 1, and with it, by the kernel, all that runs in here."""
        if self._process.poll() is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def ended(self, timeout: float | None = None) -> int:
        """Wait until all of it is gone; the exit code of process 1, or minus a signal's number.

        Args:
            timeout: seconds to wait at most.
        """
        code = self._process.wait(timeout)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return code

    def enter(
        self,
        command: Sequence[str],
        *,
        only: Sequence[str] = ("-m", "-u", "-i", "-n", "-p", "-T"),
        how: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        text: str = "",
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in here, by nsenter(1).

        Args:
            command: program and arguments.
            only: the namespaces to enter.
            how: more options of nsenter.
            env: its environment; just PATH if not given.
            text: its standard input.
            timeout: seconds after which it is killed.
        """
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), *only, *how, "--", *command],
            env=env or {"PATH": PATH},
            cwd="/",
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def net(self, command: Sequence[str], text: str = "") -> None:
        """Run a command of the machine in the network of this space.

        Raises:
            TestbedFailed: it failed.
        """
        _check(command, text, self.enter(command, only=("-n",), text=text))


def net_here(command: Sequence[str], text: str = "") -> None:
    """Run a command in the network of this machine.

    Raises:
        TestbedFailed: it failed.
    """
    done = subprocess.run(
        command, env={"PATH": PATH}, input=text, capture_output=True, text=True, check=False
    )
    _check(command, text, done)


def _check(command: Sequence[str], text: str, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise TestbedFailed(f"{' '.join(command)}: {done.stderr.strip()}; its input: {text}")
