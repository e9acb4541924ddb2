"""What a resource manager may ask of the machine it acts on.

A hook never opens a connection itself: it is handed a :class:`Context`, whose ``host`` obeys
the :class:`Host` protocol. The same hook therefore runs on a worker against a real machine and
in a unit test against :class:`nepiq.controller.testing.FakeHost`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from ..errors import NoHostError, NotAllowed

if TYPE_CHECKING:
    from .durations import Deadline
    from .resource import ResourceManager


@dataclass(frozen=True)
class Result:
    """What a command that was waited for left behind.

    Attributes:
        code: its exit code, as a POSIX shell reports it (128 + n for signal n).
        stdout: everything it wrote to standard output.
        stderr: everything it wrote to standard error.
    """

    code: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def text(self) -> str:
        """Standard output decoded as UTF-8 (undecodable bytes replaced), outer blanks removed."""
        return self.stdout.decode("utf-8", "replace").strip()


@dataclass(frozen=True)
class Exit:
    """How a supervised process ended.

    Attributes:
        code: exit code (128 + n for signal n), or None if nobody saw it end.
        outcome: ``FINISHED``, ``STOPPED`` or ``FAILED``, as the engine records it.
        age: seconds since it ended, by the host's own monotonic clock.
        reason: why it counts as FAILED, empty otherwise.
        outputs: the small outputs that travelled with the exit, by trace name. An output that
            is missing here was too large and stays on the host.
    """

    code: int | None
    outcome: str
    age: float = 0.0
    reason: str = ""
    outputs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """The answer of :meth:`Host.supervise`.

    Attributes:
        age: seconds since the process was started (0 for one started just now; more when the
            process of an earlier attempt was found and adopted), by the host's monotonic clock.
            With ``started_when``: seconds since it began to serve.
        exit: how it ended, if it has ended already; else None.
        adopted: True if an earlier attempt had launched it.
    """

    age: float = 0.0
    exit: Exit | None = None
    adopted: bool = False


@dataclass(frozen=True)
class Facts:
    """What a host says of itself.

    Attributes:
        hostname: its own name for itself.
        system: kernel name and release, e.g. ``Linux 6.1.0``.
        cpus: processors online.
        boot_id: changes at every boot (``/proc/sys/kernel/random/boot_id``, random(4)).
        home: absolute path of the login user's home directory.
        user: the login user.
        addresses: its IP addresses, loopback left out.
        os: the name of its operating system (os-release(5), PRETTY_NAME); empty if unknown.
        host_key: the SSH host key that it proved to have, as ``ssh-ed25519 AAAA...``; empty for
            the worker machine itself.
    """

    hostname: str
    system: str
    cpus: int
    boot_id: str
    home: str
    user: str
    addresses: Sequence[str] = ()
    os: str = ""
    host_key: str = ""


@runtime_checkable
class LineChannel(Protocol):
    """A duplex channel to a program that keeps running on the host, line by line."""

    def send(self, line: bytes) -> None:
        """Write one line; the newline is added."""

    def lines(self) -> Iterator[bytes]:
        """Yield its output lines without their newline, until it ends or is closed.

        A line of more than 1 MB is an :class:`~nepiq.controller.errors.AnswerError`.
        """

    def close(self) -> None:
        """End the program and free the channel. May be called from another thread."""


class Host(Protocol):
    """A machine, as seen by one step of one resource manager.

    Every call ends by the step's deadline with :class:`~nepiq.controller.errors.DeadlineError`,
    and raises :class:`~nepiq.controller.errors.HostError` if the machine cannot be reached.
    Calls that change something pass the host's fence first: on a machine where a newer attempt
    of this resource manager has acted, or where the run has ended, they raise
    :class:`~nepiq.controller.errors.FencedError` and change nothing.
    """

    @property
    def run_dir(self) -> str:
        """Absolute directory of this resource manager's present occasion on the host."""

    @property
    def facts(self) -> Facts:
        """What the host says of itself."""

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        check: bool = True,
        mutates: bool = True,
        sudo: bool = False,
    ) -> Result:
        """Run a shell command to its end and return what it left behind.

        Args:
            command: text for ``sh -c``.
            stdin: bytes for its standard input.
            env: variables added to its environment.
            cwd: working directory; the run directory by default, if it exists, else the home.
            timeout: seconds; the step's deadline if shorter or None.
            check: raise CommandError if it does not exit with 0.
            mutates: False for a command that only looks; it then skips the fence.
            sudo: run it as root, by sudo(8) unless the login user is root. ``HOME``, ``PATH`` and
                the rest of its environment are then what the host's sudoers(5) says, and the home
                is that of root. One that is given up at the deadline runs on until the release.

        Raises:
            HostError: it cannot be run as root; the error says why and what to do.
            CommandError: it exited with another code than 0 and ``check`` is true.
            AnswerError: it wrote more than 32 MB to both outputs together.
        """

    def supervise(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok_exit_codes: Sequence[int] | None = (0,),
        started_when: str = "",
        start_timeout: float = 30.0,
        sudo: bool = False,
    ) -> Launch:
        """Start a long-lived command, once per occasion, and leave it running.

        The process belongs to a supervisor on the host, which survives the worker and its
        connection, keeps ``stdout`` and ``stderr`` in the run directory and records the end.
        A second call for the same occasion adopts the first launch.

        Args:
            command: text for ``sh -c``, run in the run directory in a process group of its own.
            stdin: content of its standard input; ``/dev/null`` if None.
            env: variables added to its environment.
            ok_exit_codes: codes that count as FINISHED; None means any.
            started_when: when it counts as STARTED: empty (as soon as it runs), ``port:N``
                (something listens on TCP port N), ``output:REGEX`` (a line of stdout or stderr
                matches the POSIX extended regular expression) or ``file:PATH`` (PATH exists,
                relative to the run directory).
            start_timeout: seconds allowed for ``started_when``.
            sudo: run it as root, as :meth:`run` does.

        Raises:
            HostError: it cannot be run as root; nothing was started.
            StartTimeout: it did not begin to serve in time; it has been ended.
        """

    def end(self, *, grace: float = 10.0) -> None:
        """End the supervised process of this occasion and return when its group is gone.

        TERM to the process group, then KILL after ``grace`` seconds. Doing it to a process that
        has ended changes nothing.
        """

    def clear(self) -> None:
        """End whatever this resource manager left running on the host; part of release."""

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file (relative paths: from the run directory).

        Raises:
            FileMissing: there is no such file.
        """

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file whole, by a temporary name and a rename."""

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of the worker machine to the host."""

    def get(self, path: str, target: str) -> None:
        """Copy a file of the host to the worker machine."""

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Names in a directory (relative paths: from the run directory), sorted."""

    def open(self, command: str) -> LineChannel:
        """Start a program and talk with it line by line, for as long as the step runs."""

    def prepare(
        self,
        *,
        clean_experiment: bool = False,
        clean_processes: bool = False,
        clean_home: bool = False,
        mode: int = 0o700,
    ) -> None:
        """Make this run's directory on the host; only the deploy of a node does this.

        Args:
            clean_experiment: remove what earlier runs of the same experiment left there.
            clean_processes: end processes that earlier runs of the same experiment left there.
            clean_home: remove what earlier runs of any experiment left there, and what they
                shared. What still runs keeps its directory.
            mode: permissions of the directory of nepiq there, and of those made in it.

        Raises:
            FencedError: the run has been released meanwhile.
        """

    def dismantle(self, *, remove: bool = False) -> None:
        """End everything of the run on this host and forbid more; only a node's release does.

        Args:
            remove: delete the run's directory too; otherwise outputs stay readable.
        """


def _no_calls(call: str) -> str:
    raise NotAllowed("functions are called on workers only")


@dataclass
class Context:
    """What a hook is handed.

    Attributes:
        host: the machine that the resource acts on. Resources without one (no connection that
            leads to a host) get a host whose every method raises NoHostError.
        peers: connected resource managers by connection name, always as a list.
        attempt: 1 for the first try of this step, then counting up.
        deadline: when the step must have ended, over all its rounds.
        log: a logger that knows run, resource, step and attempt.
        call: calls the function that a :meth:`~nepiq.controller.ExperimentController.schedule`
            named, described as JSON, and returns what it returned as JSON.
    """

    host: Host
    peers: Mapping[str, Sequence[ResourceManager]]
    attempt: int
    deadline: Deadline
    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    call: Callable[[str], str] = _no_calls

    @property
    def run_dir(self) -> str:
        """Absolute directory of this resource manager's present occasion on its host."""
        return self.host.run_dir


class _NoHost:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoHostError(
            f"the resource is connected to no host, so host.{name} cannot be used",
            hint="connect it to a node, and declare that connection in its class",
        )


#: The host of a resource that is connected to none: every use of it raises NoHostError.
NO_HOST = cast(Host, _NoHost())
