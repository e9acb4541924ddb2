"""A host, as one step of one resource manager acts on it, over any session."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from shlex import quote

from ...controller.engine.transfer.regular_files import open_to_read
from ...controller.errors import CommandError, FileMissing, StartTimeout
from ...controller.errors.text import last_lines
from ...controller.model.host import Facts, Launch, LineChannel, Result
from ..sessions.answers import ANSWER, LINE, misunderstood, moment
from ..sessions.session import Channel, Session
from . import byte_streams, directories
from .attempt import MISSING, Asking
from .commands import FACTS, Envelope, Readiness, carried, checked, exports, parse_facts
from .exit_journal import ExitLine
from .joint_requests import ENDS, GONE, LAUNCHES, Reply, Request, Verb, joint_requests
from .paths import is_own

#: Bytes that a file of the worker machine is read in at a time.
BLOCK = 1 << 20
#: Seconds without a word from the host after which a stream of bytes counts as lost.
SILENCE = 60.0
# Hundredths of a second until the answer where nothing shares the command.
_PATIENT = 2000
#: Seconds between TERM and KILL where a resource manager is released.
GRACE = 5.0

# What the supervisor answers where something is left: when KILL comes, and in which groups it is.
_LEFT = re.compile(r"left (\d{1,15}) ([\d,]{1,60000}|-)", re.ASCII)

CHANGED = "it was changed while it was read; fetch it again"

_facts: weakref.WeakKeyDictionary[Session, Facts] = weakref.WeakKeyDictionary()
_facts_lock = threading.Lock()


class ShellHost(Asking):
    """The :class:`~nepiq.controller.model.host.Host` protocol by shell commands in a session.

    What changes something goes through ``supervisor.sh`` on the host, which holds the fence.
    """

    @cached_property
    def run_dir(self) -> str:
        """Absolute directory of this resource manager's present occasion on the host."""
        home = (self.session.home or self.facts.home).rstrip("/")
        return f"{home}/.nepiq/{self.run_id}/{self.node}/{self.guid}/{self.occasion}"

    @property
    def facts(self) -> Facts:
        """What the host said of itself when a node was last deployed there over this session."""
        with _facts_lock:
            known = _facts.get(self.session)
        return known or self._learn(self._look(FACTS, "ask the host what it is"))

    def _learn(self, said: bytes) -> Facts:
        try:
            known = parse_facts(said.decode("utf-8", "replace"), self.session.host_key)
        except ValueError as error:
            raise misunderstood(said, self.where) from error
        with _facts_lock:
            _facts[self.session] = known
        return known

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
        """Run a shell command to its end; see :meth:`Host.run`.

        Raises:
            CommandError: it exited with another code than 0 and ``check`` is true.
        """
        text, data = carried(_script(command, env, cwd), stdin)
        if sudo:
            secret = self._secret.line()
            passed = (self.guid, self.occasion, self.token if mutates else "-")
            asked = self._command("run_root", *passed, text, secret=secret)
            data = secret + secret + b"\n" + data if secret else data
        elif mutates:
            asked = self._command("run", *self._start, text)
        else:
            asked = f"cd {self._quoted_dir} 2>/dev/null || cd; {text}"
        done = self._execute(asked, data, timeout=timeout)
        stdout = self._agreed(done) if mutates or sudo else done.stdout
        if check and done.code:
            said = done.stderr.decode("utf-8", "replace")
            raise CommandError(command, done.code, said, where=self.where)
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
    ) -> Launch:
        """Start a long-lived command, once per occasion; see :meth:`Host.supervise`.

        A process that ends before it serves counts by its exit, also with a code that is fine.

        Raises:
            StartTimeout: it did not begin to serve in time; it has been ended.
        """
        ready = Readiness.parse(started_when)
        envelope = Envelope.of(command, stdin, env)
        for name, data in envelope.ahead.items():
            self.write(name, data, mode=0o600)
        codes = "any" if ok_exit_codes is None else ",".join(str(int(n)) for n in ok_exit_codes)
        if envelope.lines and ready.kind == "none" and not sudo:
            said = self._launch_with_others(codes or "none", envelope)
        else:
            secret = self._secret.line() if sudo else b""
            asked = self._command(
                "launch",
                *self._start,
                codes or "none",
                ready.kind,
                ready.sign,
                round(start_timeout * 100),
                envelope.mark,
                *(("root",) if sudo else ()),
                secret=secret,
            )
            done = self._execute(asked, secret + envelope.data, most=ANSWER)
            said, _ = self._answer(done)
        try:
            return self._launched(said, started_when, start_timeout)
        except ValueError as error:
            raise misunderstood(said, self.where) from error

    def _launch_with_others(self, codes: str, envelope: Envelope) -> str:
        head = " ".join(map(str, (*self._start, codes, envelope.mark)))
        reply = self._ask_with_others(LAUNCHES, head.encode() + b"\n" + envelope.data)
        return self._judge(reply.line, complaint=reply.complaint)

    def _ask_with_others(self, verb: Verb, data: bytes, secret: bytes = b"") -> Reply:
        with self._placed():
            together = joint_requests(self.session, self._layout, verb)
            return together.ask(Request(data, self.deadline, secret), self.cancel)

    def _launched(self, said: str, started_when: str, start_timeout: float) -> Launch:
        """What the supervisor answered to a launch.

        Raises:
            ValueError: it is no such answer.
        """
        verb, adopted, rest = said.split(" ", 2)
        if verb == "running":
            since, ran = map(moment, rest.split(" "))
            return Launch(age=max(0.0, ran - since), adopted=adopted == "1")
        if verb != "ended":
            raise ValueError(verb[:80])
        now, boot_id, line = rest.split(" ", 2)
        ended = ExitLine.parse(line, now=now, boot_id=boot_id)
        if ended.overdue:
            raise self._late(started_when, start_timeout, ended.tail)
        return Launch(age=ended.exit.age, exit=ended.exit, adopted=adopted == "1")

    def end(self, *, grace: float = 10.0) -> None:
        """End the supervised process of this occasion; see :meth:`Host.end`."""
        self._end_with_others(str(self.occasion), grace)

    def clear(self) -> None:
        """End whatever this resource manager left running; see :meth:`Host.clear`."""
        self._end_with_others("-", GRACE)

    def _end_with_others(self, occasion: str, grace: float) -> None:
        """End the processes of an occasion, or of all if it is ``-``."""
        end, groups, broken = str(round(grace * 100)), "new", False
        while True:
            line = f"{self.guid} {occasion} {self.token} {end} {groups}\n"
            reply = self._ask_with_others(ENDS, line.encode(), self._secret.line())
            if reply == GONE:
                reply = self._end_alone(line)
            if not reply.line and not broken:
                # Whoever killed the command need not have meant this resource.
                broken = True
                continue
            said = self._judge(reply.line, complaint=reply.complaint)
            if said == "ok":
                return
            if not (still := _LEFT.fullmatch(said)):
                raise misunderstood(said, self.where)
            end, groups = still.groups()

    def _end_alone(self, line: str) -> Reply:
        """Ask for an end with a supervisor brought along, where its file is gone."""
        done = self._brought("ends", _PATIENT, *line.split(), bearing=False)
        answer, _, _ = done.stdout.partition(b"\n")
        return Reply(answer.removeprefix(b"1 "), done.stderr.decode("utf-8", "replace").strip())

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file; see :meth:`Host.read`.

        Raises:
            FileMissing: there is no such file.
        """
        file = self._file(path)
        body = "exec cat" if offset == 0 else f"tail -c +{int(offset) + 1}"
        body = body if length is None else f"{body.removeprefix('exec ')} | head -c {int(length)}"
        return self._look(
            f"[ -e {file} ] || exit {MISSING}; "
            f"[ ! -p {file} ] || {{ echo 'it is a FIFO' >&2; exit 1; }}; "
            f"exec <{file} || exit; {body}",
            f"read {path}",
        )

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file whole; see :meth:`Host.write`. Directories on its way are made."""
        self._change("write", *self._start, path, f"{mode:o}", len(data), stdin=data)

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of the worker machine to the host, over one channel.

        Raises:
            FileMissing: the worker machine cannot read it.
            HostError: the host cannot keep it, or it changed on the way.
        """
        with self._on_worker(source), open_to_read(Path(source)) as file:
            digest = hashlib.sha256()
            length = os.fstat(file.fileno()).st_size
            with self.receive(path, mode=mode, length=length) as stream:
                while block := file.read(BLOCK):
                    digest.update(block)
                    stream.write(block)
                stream.finish(digest.hexdigest())

    def get(self, path: str, target: str) -> None:
        """Copy a file of the host to the worker machine, over one channel.

        Raises:
            FileMissing: there is no such file, or the worker machine cannot write its copy.
            HostError: it changed while it was read.
        """
        goal = Path(target)
        part = goal.with_name(f".{goal.name}.{secrets.token_hex(4)}.part")
        with self._on_worker(target):
            try:
                with part.open("xb") as file, self.send(path) as stream:
                    digest = hashlib.sha256()
                    for block in stream:
                        digest.update(block)
                        file.write(block)
                if stream.sha256 not in ("", digest.hexdigest()):
                    raise self._error(f"{path} arrived other than it was sent", hint=CHANGED)
                part.replace(goal)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def receive(
        self, path: str, *, length: int, mode: int | None = 0o644, transfer: str = ""
    ) -> byte_streams.Incoming:
        """Open a stream for the bytes of a file, which gets its name when all are there.

        Args:
            path: where to; relative to the run directory, which is made, or absolute.
            length: how many bytes it has.
            mode: its permissions; None for an archive of what the directory ``path`` is to hold.
            transfer: names what may be continued by another call; made up if empty.

        Raises:
            FencedError: a newer attempt has acted, or the run has ended on this host.
            HostError: the host cannot make the file; says why.
        """
        name = transfer or secrets.token_hex(8)
        form = (path, "tree" if mode is None else f"{mode:o}", length, name)
        talk = self._channel(self._command("receive", *self._start, *form))
        return byte_streams.Incoming(talk, lambda: self._finish("forget", name))

    def send(
        self, path: str, *, offset: int = 0, length: int | None = None, since: int | None = None
    ) -> byte_streams.Outgoing:
        """Open a stream of the bytes of a file; this changes nothing on the host.

        Args:
            path: which; relative to the run directory, or absolute.
            offset: first byte.
            length: how many bytes; those that are there at this moment if None.
            since: where the checksum begins that the host makes; at ``offset`` if None.

        Raises:
            FileMissing: there is no such file.
        """
        start = offset if since is None else since
        asked = byte_streams.outgoing(self._file(path), offset, length, start)
        return byte_streams.Outgoing(self._channel(asked), path, length)

    def gather(self, path: str, *, offset: int = 0, listing: bool = False) -> directories.Tree:
        """Open a stream of a directory, or of what matches a pattern; this changes nothing.

        Args:
            path: which; relative to the run directory.
            offset: how many bytes of the archive are known.
            listing: a list of what it holds instead.

        Raises:
            FileMissing: there is nothing of this name.
        """
        asked = (
            directories.listing(self._quoted_dir, path)
            if listing
            else directories.packing(self._quoted_dir, path, offset)
        )
        return directories.Tree(self._channel(asked), path, 0 if listing else offset)

    def follow(self, files: Sequence[tuple[str, int]]) -> Channel:
        """Open a channel that prints what files of run directories have, and what they get.

        Args:
            files: each ``<guid>/<occasion>/<name>`` and how much of it is known. What is printed
                is written at ``follow`` in ``supervisor.sh``.
        """
        words = [word for item in files for word in item]
        return self._channel(self._command("follow", *words, bearing=False)).channel

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Names in a directory; see :meth:`Host.listdir`.

        What the supervisor keeps in the run directory is left out.

        Raises:
            FileMissing: there is no such directory.
        """
        body = (
            f"cd {self._file(path)} 2>/dev/null || exit {MISSING}; for name in .* *; do "
            '[ ! -e "$name" ] && [ ! -L "$name" ] || printf "%s\\0" "$name"; done'
        )
        found = self._look(body, f"list {path}").decode("utf-8", "surrogateescape")
        names = set(found.split("\0")) - {"", ".", ".."}
        return sorted(name for name in names if not is_own(name))

    def open(self, command: str) -> LineChannel:
        """Start a program and talk with it line by line; see :meth:`Host.open`."""
        asked = self._command("run", *self._start, _script(command, None, None))
        with self._placed():
            channel = self.session.open(asked, deadline=self.deadline, cancel=self.cancel)
            try:
                said = self._judge(next(channel.lines(LINE), b""), complaint=channel.complaint)
                if said != "ok":
                    raise misunderstood(said, self.where)
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
    ) -> None:
        """Make this run's directory on the host; see :meth:`Host.prepare`.

        Raises:
            FencedError: the run has been released meanwhile.
        """
        # 2: of every experiment.
        cleaned = (2 if clean_home else int(clean_experiment), int(clean_processes))
        how = (self.token, self.exp_id, *cleaned, f"{mode:o}")
        self._learn(self._bring("prepare", *how, bearing=True, then=FACTS))

    def restore(self, *, mode: int = 0o700) -> None:
        """Make anew what somebody has removed from the node's directory, while the run goes on.

        Args:
            mode: permissions of ``.nepiq``, if that has to be made.

        Raises:
            FencedError: the run has ended on this host.
        """
        # It bears no mark: while it holds the lock of .nepiq, a release waits for it.
        self._bring("restore", self.token, self.exp_id, f"{mode:o}", bearing=False)

    def dismantle(self, *, remove: bool = False) -> None:
        """End everything of the run on this host and forbid more; see :meth:`Host.dismantle`."""
        self._bring("dismantle", self.token, round(GRACE * 100), int(remove), bearing=False)

    def tidy(self, marks: Sequence[str] = ()) -> None:
        """End what a dead run left on this host and remove its directory, which forbids more.

        Args:
            marks: the NEPIQ_ID of processes that belong to it, also to none of its directories.

        Raises:
            HostError: something of it cannot be ended or removed.
        """
        self._bring("tidy", self.token, *marks, bearing=False)

    @property
    def _start(self) -> tuple[int, int, int]:
        return self.guid, self.occasion, self.token

    @property
    def _quoted_dir(self) -> str:
        return self._layout.run_dir(self.guid, self.occasion)

    def _file(self, path: str) -> str:
        return quote(path) if path.startswith("/") else f"{self._quoted_dir}/{quote(path)}"

    def _channel(self, command: str) -> byte_streams.Judged:
        with self._placed():
            channel = self.session.open(
                command, deadline=self.deadline, cancel=self.cancel, silence=SILENCE
            )
        return byte_streams.Judged(channel, self._judge, self._placed, self.where)

    @contextlib.contextmanager
    def _on_worker(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileMissing(
                f"{path} on the worker machine: {error.strerror}", where=self.where
            ) from error

    def _late(self, started_when: str, start_timeout: float, tail: str) -> StartTimeout:
        said = f": {last_lines(tail)}" if tail else ""
        return StartTimeout(
            f"not {started_when!r} within {start_timeout:g} s{said}",
            where=self.where,
            hint="raise startTimeout, or see its stdout and stderr",
        )


def _script(command: str, env: Mapping[str, str] | None, cwd: str | None) -> str:
    place = "" if cwd is None else f"cd -- {quote(cwd)} || exit\n"
    return f"{exports(env)}{place}{checked(command)}"
