"""A host on which one step of one resource manager acts, over any session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from shlex import quote

from ...controller.errors import CommandError
from ...controller.model.configuration import Change
from ...controller.model.contents import Content
from ...controller.model.facts import Facts
from ...controller.model.host import (
    USUAL_LIFE,
    Launch,
    Life,
    LineChannel,
    Result,
)
from ...controller.model.pools import HostLease
from ..sessions.answers import LINE, misunderstood
from . import content_cache
from . import facts as facts_of_host
from .attempt import Attempt
from .commands import Envelope, Readiness, carried, checked, exports, life_word
from .configuration import Configuration
from .host_files import HostFiles
from .host_knowledge import HostKnowledge
from .processes import Processes

#: Seconds between TERM and KILL where a resource manager is released.
GRACE = 5.0

# Before a command that undoes a start.
_STARTED_ONLY = '[ -n "${NEPIQ_STARTED-}" ] || exit 0\n'


class ShellHost:
    """The :class:`~nepiq.controller.model.host.Host` protocol by shell commands in a session.

    Every change goes through ``supervisor.sh`` on the host, which holds the fence.

    Args:
        attempt: the attempt of a step that acts on it.
        pieces: the bytes of contents; None if none are needed.

    Attributes:
        attempt: as given.
        files: the files of the host, also as streams.
    """

    def __init__(self, attempt: Attempt, pieces: content_cache.Pieces | None = None) -> None:
        self.attempt = attempt
        self.files = HostFiles(attempt)
        self._pieces = pieces
        self._processes = Processes(attempt)
        self._known = HostKnowledge(attempt)

    @cached_property
    def run_dir(self) -> str:
        """Absolute run directory of this start of the resource on the host."""
        attempt = self.attempt
        home = (attempt.session.home or self.facts.home).rstrip("/")
        path = (attempt.run_id, attempt.node, attempt.guid, attempt.occasion)
        return "/".join([home, ".nepiq", *map(str, path)])

    @property
    def facts(self) -> Facts:
        """The facts of the host, as of the last deployment of a node over this session."""
        return self._known.facts

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
        """Run a shell command to its end; see :meth:`Host.run`.

        Raises:
            CommandError: it exited with another code than 0 and ``check`` is true.
        """
        script, sudo = self._entered(_script(command, env, cwd), sudo)
        text, data = carried(f"{_STARTED_ONLY}{script}" if started_only else script, stdin)
        if sudo:
            secret = self.attempt.secret.line()
            passed = (
                self.attempt.guid,
                self.attempt.occasion,
                self.attempt.token if mutates else "-",
            )
            asked = self.attempt.command("run_root", *passed, text, secret=secret)
            data = secret + secret + b"\n" + data if secret else data
        elif mutates:
            asked = self.attempt.command("run", *self.attempt.start, text)
        else:
            asked = f"cd {self.attempt.directory} 2>/dev/null || cd; {text}"
        done = self.attempt.execute(asked, data, timeout=timeout)
        stdout = self.attempt.agreed(done) if mutates or sudo else done.stdout
        if check and done.code:
            complaint = done.stderr.decode("utf-8", "replace")
            raise CommandError(command, done.code, complaint, where=self.attempt.where)
        return Result(done.code, stdout, done.stderr)

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
        """Start a long-lived command, once per occasion; see :meth:`Host.supervise`.

        A process that ends before it serves counts by its exit, also with a code that is fine.

        Raises:
            StartTimeout: it did not begin to serve in time; it has been ended.
        """
        ready = Readiness.parse(started_when)
        command, sudo = self._entered(command, sudo)
        envelope = Envelope.of(command, stdin, env)
        for name, data in envelope.ahead.items():
            self.files.write(name, data, mode=0o600)
        codes = "any" if ok_exit_codes is None else ",".join(str(int(n)) for n in ok_exit_codes)
        return self._processes.launch(
            envelope,
            codes or "none",
            ready,
            start_timeout=start_timeout,
            sudo=sudo,
            life=life_word(life),
        )

    def configure(self, changes: Sequence[Change], *, anew: bool = True, report: str = "") -> str:
        """Change the configuration of the host; see :meth:`Host.configure`."""
        return self._configuration.make(changes, anew=anew, report=report)

    def unconfigure(self) -> None:
        """Undo all configuration of this resource; see :meth:`Host.unconfigure`."""
        self._configuration.undo()

    @property
    def _configuration(self) -> Configuration:
        inside = self.attempt.inside
        return Configuration(self.attempt, "" if inside is None else inside().network_namespace())

    def _entered(self, command: str, sudo: bool) -> tuple[str, bool]:
        """Return a command as it runs where the resource acts, and whether root has to run it."""
        if self.attempt.inside is None:
            return command, sudo and not self._known.is_roots
        user = self.facts.user
        lowered = "" if sudo or user == "root" else user
        return self.attempt.inside().enter(command, lowered), user != "root"

    def end(self, *, grace: float = 10.0) -> None:
        """End the supervised process of this occasion; see :meth:`Host.end`."""
        self._processes.end(str(self.attempt.occasion), grace)

    def clear(self, *, grace: float = GRACE) -> None:
        """End whatever this resource manager left running; see :meth:`Host.clear`."""
        self._processes.end("-", grace)

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file; see :meth:`Host.read`."""
        return self.files.read(path, offset=offset, length=length)

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file whole; see :meth:`Host.write`."""
        self.files.write(path, data, mode=mode)

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of the worker machine to the host; see :meth:`Host.put`."""
        self.files.put(source, path, mode=mode)

    def get(self, path: str, target: str) -> None:
        """Copy a file of the host to the worker machine; see :meth:`Host.get`."""
        self.files.get(path, target)

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Return the names in a directory; see :meth:`Host.listdir`."""
        return self.files.listdir(path)

    def keep(self, content: Content) -> str | None:
        """Have the host keep a content in its cache; see :meth:`Host.keep`."""
        done = self.files.keep(content, self._pieces)
        return f"{self.run_dir.rsplit('/', 4)[0]}/.usr/content/{content.sha256}" if done else None

    def lacks(self, program: str) -> bool:
        """Return whether the host has no such program; see :meth:`Host.lacks`."""
        return self._known.lacks(program)

    def version(self, program: str, option: str) -> str | None:
        """Return the line with the version of a program; see :meth:`Host.version`."""
        return self._known.version(program, option)

    def open(self, command: str) -> LineChannel:
        """Start a program and talk with it line by line; see :meth:`Host.open`."""
        script, sudo = self._entered(_script(command, None, None), False)
        if sudo:
            raise self.attempt.error(
                "an interactive program cannot be opened in an emulated host as another user",
                hint="log in to the host as root",
            )
        asked = self.attempt.command("run", *self.attempt.start, script)
        self.attempt.exchange.before_blocking()
        with self.attempt.placed():
            channel = self.attempt.session.open(
                asked, deadline=self.attempt.deadline, cancel=self.attempt.cancel
            )
            try:
                answer = self.attempt.judge(
                    next(channel.lines(LINE), b""), complaint=channel.complaint
                )
                if answer != "ok":
                    raise misunderstood(answer, self.attempt.where)
            except BaseException:
                channel.close()
                raise
        return channel

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
        """Make this run's directory on the host; see :meth:`Host.prepare`.

        Raises:
            FencedError: the run has been released meanwhile, or the host was leased to another.
        """
        # 2: of every experiment.
        cleaned = (2 if clean_home else int(clean_experiment), int(clean_processes))
        how = (self.attempt.token, self.attempt.exp_id, *cleaned, f"{mode:o}")
        leased = (0, "") if lease is None else (lease.token, lease.host)
        done = self.attempt.upload_unchecked(
            "prepare",
            *how,
            *leased,
            int(remove),
            bearing=True,
            first=facts_of_host.CLOCK,
            then=self._known.script,
        )
        self._known.learn(done, self.attempt.agreed(done))

    def restore(self, *, mode: int = 0o700) -> None:
        """Repair the node's directory, of which files are missing while the run goes on.

        Args:
            mode: permissions of ``.nepiq``, if that has to be made.

        Raises:
            FencedError: the run has ended on this host.
        """
        # It bears no mark: while it holds the lock of .nepiq, a release waits for it.
        self.attempt.upload(
            "restore", self.attempt.token, self.attempt.exp_id, f"{mode:o}", bearing=False
        )

    def dismantle(self, *, remove: bool = False) -> None:
        """End everything of the run on this host and forbid more; see :meth:`Host.dismantle`."""
        self.attempt.upload(
            "dismantle", self.attempt.token, round(GRACE * 100), int(remove), bearing=False
        )

    def tidy(self, marks: Sequence[str] = ()) -> None:
        """End the processes of a dead run, remove its directory, and refuse later attempts.

        Args:
            marks: the NEPIQ_ID of processes that belong to it, also to none of its directories.

        Raises:
            HostError: something of it cannot be ended or removed.
        """
        self.attempt.upload("tidy", self.attempt.token, *marks, bearing=False)

    def sweep(self, marks: Sequence[str], *, routes: bool = False) -> None:
        """Remove what a dead run has left in the kernel, after its nodes were tidied.

        Args:
            marks: those in the names of what it has made.
            routes: whether routes and rules of nepiq go, too, if no record is of one.

        Raises:
            HostError: something of it cannot be removed.
        """
        words = (",".join(marks) or "-", int(routes))
        self.attempt.upload("sweep", self.attempt.token, *words, bearing=False)


def _script(command: str, env: Mapping[str, str] | None, cwd: str | None) -> str:
    place = "" if cwd is None else f"cd -- {quote(cwd)} || exit\n"
    return f"{exports(env)}{place}{checked(command)}"
