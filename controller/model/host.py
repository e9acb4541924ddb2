"""The interface between a hook and the machine that it acts on.

A hook never opens a connection itself: it receives a :class:`Context`, whose ``host`` implements
the :class:`Host` protocol. The same hook therefore runs on a worker with a real machine and in a
unit test with :class:`nepiq.controller.testing.FakeHost`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from ..errors import NoHostError, NotAllowed
from .pools import NO_POOLS, HostLease, Pools

if TYPE_CHECKING:
    from .configuration import Change
    from .contents import Content
    from .durations import Deadline
    from .facts import Facts
    from .lifecycle import State
    from .resource import ResourceManager

#: Directories of programs that ``PATH`` of a login lacks where they are for the superuser.
SUPERUSER_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Result:
    """The result of a command that has ended.

    Attributes:
        code: its exit code, as reported by a POSIX shell (128 + n for signal n).
        stdout: its standard output.
        stderr: its standard error.
    """

    code: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def text(self) -> str:
        """Standard output, decoded as UTF-8 (invalid bytes replaced) and stripped."""
        return self.stdout.decode("utf-8", "replace").strip()


@dataclass(frozen=True)
class Exit:
    """The exit of a supervised process.

    Attributes:
        code: exit code (128 + n for signal n), or None if it is unknown.
        outcome: ``FINISHED``, ``STOPPED`` or ``FAILED``, as the engine records it.
        age: seconds since the exit, by the host's monotonic clock.
        reason: why it counts as FAILED, empty otherwise.
        hint: what to do about that; may be empty.
        outputs: small outputs recorded with the exit, by trace name. A missing output was too
            large and stays on the host.
    """

    code: int | None
    outcome: str
    age: float = 0.0
    reason: str = ""
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True)
class Life:
    """The end and the restarts of a supervised process, which its host sees to by itself.

    Attributes:
        timeout: seconds after which it is ended and FAILED, restarts included; 0 for no limit.
        stop_signal: the signal that requests its end, such as ``TERM`` or ``INT``.
        grace: seconds from that signal to KILL, after ``timeout`` and before a restart; that of a
            stop or a release is given there.
        restart: when it is started again: ``no``, ``on-failure`` or ``always``.
        restarts: how often at most; 0 for any number.
        pause: seconds before the first restart; doubled each time up to a minute, and as at first
            after a run of ten seconds.
    """

    timeout: float = 0.0
    stop_signal: str = "TERM"
    grace: float = 10.0
    restart: str = "no"
    restarts: int = 0
    pause: float = 1.0

    @property
    def is_usual(self) -> bool:
        """True if nothing but a stop ends it, by TERM, and nothing restarts it."""
        return not self.timeout and self.stop_signal == "TERM" and self.restart == "no"


@dataclass(frozen=True)
class Launch:
    """The result of a start: of :meth:`Host.supervise`, or made by a type without a process.

    Attributes:
        age: seconds since the process was started, by the host's monotonic clock; more than 0 if
            the process of an earlier attempt was adopted. With ``started_when``: seconds since it
            was ready.
        exit: its exit, or None if it still runs.
        adopted: True if an earlier attempt launched it.
        lasts: seconds from the start after which the resource is FINISHED by itself, without a
            process; 0 for no such end. It needs neither a worker nor a hook meanwhile.
    """

    age: float = 0.0
    exit: Exit | None = None
    adopted: bool = False
    lasts: float = 0.0


#: The life of a process for which nothing else is given.
USUAL_LIFE = Life()


@runtime_checkable
class LineChannel(Protocol):
    """A duplex channel of lines to a program that keeps running on the host."""

    def send(self, line: bytes) -> None:
        """Write one line; the newline is added."""

    def lines(self) -> Iterator[bytes]:
        """Yield output lines without their newline, until the program ends or is closed.

        Raises:
            AnswerError: a line has more than 1 MB.
        """

    def close(self) -> None:
        """End the program and close the channel. May be called from another thread."""


class Host(Protocol):
    """A machine, as one step of one resource uses it.

    A call raises :class:`~nepiq.controller.errors.DeadlineError` at the step's deadline and
    :class:`~nepiq.controller.errors.HostError` if the machine cannot be reached. Calls that
    change something check the host's fence first: if a newer attempt of this resource has acted
    on the machine, or the run has ended, they raise
    :class:`~nepiq.controller.errors.FencedError` and change nothing.
    """

    @property
    def run_dir(self) -> str:
        """Absolute path of the directory on the host for this start of the resource."""

    @property
    def facts(self) -> Facts:
        """The facts that the host reports of itself."""

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
        started_only: bool = False,
    ) -> Result:
        """Run a shell command until it ends and return its result.

        If it changes something, its variable ``NEPIQ_STARTED`` is 1 if a start of the resource
        has succeeded on this host, else empty: a process that was ready, still runs, or ended in
        another way than by an exit code of failure.

        Args:
            command: text for ``sh -c``.
            stdin: bytes for its standard input.
            env: variables added to its environment.
            cwd: working directory; the run directory by default, if it exists, else the home.
            timeout: seconds; the step's deadline if that is earlier or this is None.
            check: raise CommandError if the exit code is not 0.
            mutates: False for a command that only reads; it then skips the fence.
            sudo: run it as root, by sudo(8) unless the login user is root. The host's sudoers(5)
                then decides ``HOME``, ``PATH`` and the rest of its environment, and the home is
                that of root. If the deadline passes, the command runs on until the release.
            started_only: do nothing and succeed if ``NEPIQ_STARTED`` is empty, as for a command
                that undoes a start; ``mutates`` must be true.

        Raises:
            HostError: it cannot be run as root; the error says why and what to do.
            CommandError: its exit code is not 0 and ``check`` is true.
            AnswerError: its two outputs together have more than 32 MB.
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
        life: Life = USUAL_LIFE,
    ) -> Launch:
        """Start a long-lived command, once per start of the resource, and leave it running.

        The process is the child of a supervisor on the host, which outlives the worker and its
        connection, writes ``stdout`` and ``stderr`` to the run directory and records the exit.
        A second call for the same start of the resource adopts the first launch.

        Args:
            command: text for ``sh -c``, run in the run directory in a process group of its own.
            stdin: content of its standard input; ``/dev/null`` if None.
            env: variables added to its environment.
            ok_exit_codes: codes that count as FINISHED; None means any.
            started_when: the readiness probe: empty (ready as soon as it runs), ``port:N``
                (a process listens on TCP port N), ``output:REGEX`` (a line of stdout or stderr
                matches the POSIX extended regular expression) or ``file:PATH`` (PATH exists,
                relative to the run directory).
            start_timeout: seconds allowed for ``started_when``.
            sudo: run it as root, as :meth:`run` does.
            life: its time limit, the signal of its end, and its restarts. The host sees to them
                without a worker.

        Raises:
            HostError: it cannot be run as root; nothing was started.
            StartTimeout: it was not ready in time; it has been ended.
        """

    def configure(self, changes: Sequence[Change], *, anew: bool = True, report: str = "") -> str:
        """Change the configuration of the host as root, all of it or nothing.

        Changes of several resources that are requested at the same time share a request. What
        undoes them is recorded on the host first: :meth:`unconfigure`, the release of the host and
        ``nepiq clean`` undo what is left.

        Args:
            changes: made in this order.
            anew: undo first what an earlier attempt of the step has recorded for the resource, so
                that the changes need not be repeatable. False for further changes, as of a live
                attribute, which must be.
            report: a command of sh(1) that is run where the resource acts when they are made.

        Returns:
            What ``report`` has printed, its white space collapsed.

        Raises:
            HostError: a change was refused; the others of the resource have been undone.
        """

    def unconfigure(self) -> None:
        """Undo all configuration of this resource on the host, in reverse; part of its release.

        Processes in a network namespace that it has made are ended before.

        Raises:
            HostError: something is left.
        """

    def end(self, *, grace: float = 10.0) -> None:
        """End the supervised process of this start and return when its process group is gone.

        The stop signal (see :class:`Life`) to the process group, then KILL after ``grace``
        seconds. No effect if the process has ended.
        """

    def clear(self, *, grace: float = 5.0) -> None:
        """End all processes of this resource on the host, as :meth:`end`; part of its release."""

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the content of a file (relative paths: from the run directory).

        Args:
            path: the file.
            offset: first byte; if negative, that many bytes before the end, or the whole file.
            length: number of bytes; up to the end of the file if None.

        Raises:
            FileMissing: there is no such file.
        """

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file atomically, by a temporary name and a rename."""

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of the worker machine to the host."""

    def get(self, path: str, target: str) -> None:
        """Copy a file of the host to the worker machine."""

    def keep(self, content: Content) -> str | None:
        """Have the host keep a content in its cache, which all runs of the login user share.

        It travels from Redis to the host, if the host lacks it, and is compared by SHA-256 there.
        It must not be changed on the host: copy it, or unpack it.

        Returns:
            The absolute path of the file, for a directory of its archive; None while another step
            brings it, or while Redis does not answer, so that a hook returns Later.

        Raises:
            HostError: Redis has it no more, or the host cannot store it.
        """

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Return the sorted names in a directory (relative paths: from the run directory)."""

    def lacks(self, program: str) -> bool:
        """Return whether the host has no program of that name in ``PATH`` or for the superuser.

        The directories of :data:`SUPERUSER_PATH` are searched too. A program that was found once is
        not looked for again while the session with the host lasts.
        """

    def version(self, program: str, option: str) -> str | None:
        """Return the first line that a program prints with an option for its version.

        As for :meth:`lacks`, but also the version is kept while the session with the host lasts.

        Returns:
            The line; empty if the program prints nothing; None if the host lacks it.
        """

    def open(self, command: str) -> LineChannel:
        """Start a program and return a channel to it, which lasts as long as the step."""

    def prepare(
        self,
        *,
        clean_experiment: bool = False,
        clean_processes: bool = False,
        clean_home: bool = False,
        mode: int = 0o700,
        lease: HostLease | None = None,
        remove: bool = False,
    ) -> None:
        """Create this run's directory on the host; only the deploy of a node calls this.

        Args:
            clean_experiment: remove the files of earlier runs of the same experiment.
            clean_processes: end the processes of earlier runs of the same experiment.
            clean_home: remove the files of earlier runs of all experiments, and shared files.
                A run whose processes still run keeps its directory.
            mode: permissions of nepiq's directory on the host, and of the directories in it.
            lease: the lease under which the host is used, if it is one of a pool. The processes of
                runs that have leased it before are ended, and these runs are refused.
            remove: whether a run that leases the host later also deletes the run's directory, which
                is there if the host could not be reached at the release.

        Raises:
            FencedError: the run has been released, or the host was leased to another run since.
        """

    def dismantle(self, *, remove: bool = False) -> None:
        """End all processes of the run on this host and fence it; only a node's release does.

        Args:
            remove: also delete the run's directory; otherwise outputs stay readable.
        """


def _no_calls(call: str) -> str:
    raise NotAllowed("functions are called on workers only")


def _assumed(state: State) -> bool:
    return True


def _undisturbed() -> None:
    """Let the step wait as long as it has asked for."""


@dataclass
class Context:
    """The argument of a hook: access to the host, the peers and the step.

    Attributes:
        host: the machine that the resource acts on. For a resource that is not connected to a
            host, each of its methods raises NoHostError.
        peers: connected resource managers by connection name, always as a list.
        attempt: number of this attempt of the step, counted from 1.
        deadline: deadline of the step, over all its rounds.
        log: a logger that adds run, resource, step and attempt.
        call: calls the function passed to
            :meth:`~nepiq.controller.ExperimentController.schedule`; the argument is the call as
            JSON, the result is JSON.
        pools: the pools of hosts that runs share.
        reached: returns whether the resource has reached a state itself; a failure that counts
            as that state does not.
        wake: has a step that returns Later, or has returned it, called again at once; any thread
            of this process may call it. It may be without effect while Redis is away.
    """

    host: Host
    peers: Mapping[str, Sequence[ResourceManager]]
    attempt: int
    deadline: Deadline
    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    call: Callable[[str], str] = _no_calls
    pools: Pools = NO_POOLS
    reached: Callable[[State], bool] = _assumed
    wake: Callable[[], None] = _undisturbed

    @property
    def run_dir(self) -> str:
        """Absolute path of the directory on the host for this start of the resource."""
        return self.host.run_dir


class _NoHost:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoHostError(
            f"host.{name} cannot be used, because the resource is not connected to a host",
            hint="connect it to a node, and declare that connection in its class",
        )


#: The host of a resource that is not connected to one: every use raises NoHostError.
NO_HOST = cast(Host, _NoHost())
