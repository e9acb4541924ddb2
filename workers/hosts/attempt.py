"""An attempt of a step: its commands to a host, and the meaning of the answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from shlex import quote
from typing import Protocol

from ...controller.errors import FencedError, FileMissing, HostError, InvalidValue, NepiqError
from ...controller.errors.text import last_lines
from ...controller.model.durations import Deadline
from ...controller.model.values import SecretReference
from ..sessions.answers import ANSWER, OUTPUT, SAID, misunderstood
from ..sessions.secret import Secret
from ..sessions.session import Completed, Session
from . import supervisor
from .exchange import ALONE, Exchange
from .paths import Layout

#: Exit code of a look at a file that is not there (EX_NOINPUT of sysexits.h).
MISSING = 66

#: That of a look at a file that is a directory (EISDIR of errno(3)).
DIRECTORY = 21

# Errors of a shell that cannot make a directory in the home.
_NO_HOME = ("Read-only", "Permission denied", "cannot create directory")

_GONE = "the directory of the run is gone"

# Codes in answers of the supervisor.
_USAGE = "64"
_REFUSED = "75"
_PASSWORD = "77"  # noqa: S105 - a code


class EmulatedHost(Protocol):
    """A resource manager that stands for a host, as far as commands are concerned."""

    def network_namespace(self) -> str:
        """Return the name of its network namespace on the host."""
        ...

    def enter(self, command: str, user: str = "") -> str:
        """Return a command for root that runs a shell command in it."""
        ...


@dataclass(eq=False)
class Attempt:
    """An attempt of a step, which sends commands to a host.

    Attributes:
        session: a session with the host.
        run_id: the run.
        exp_id: the user's name of the experiment; earlier runs of it may be cleaned.
        node: guid of the node that the resource acts on.
        guid: the resource manager.
        occasion: which start of it this is, from 1.
        token: number of the attempt, at most 16 digits; the host refuses older ones.
        deadline: when the step must have ended.
        cancel: set when the step shall give up.
        where: resource, host, step and attempt, for errors.
        ahead: seconds by which this machine's clock is ahead of that of Redis.
        inside: returns the emulated host on the node in which it acts; None for the node itself.
        exchange: how its requests reach the host.
        sudo_password: where this machine finds the password that sudo asks for on the host.
        layout: the directories of the node.
        secret: reads the password.
    """

    session: Session
    _: KW_ONLY
    run_id: str
    exp_id: str
    node: int
    guid: int
    occasion: int
    token: int
    deadline: Deadline
    cancel: threading.Event | None = None
    where: str = ""
    ahead: float = 0.0
    inside: Callable[[], EmulatedHost] | None = None
    exchange: Exchange = ALONE
    sudo_password: SecretReference | None = None
    layout: Layout = field(init=False)
    secret: Secret = field(init=False)

    def __post_init__(self) -> None:
        """Refuse names that cannot be used on a host.

        Raises:
            InvalidValue: the run's id is one.
        """
        self.layout = Layout(self.run_id, self.node, self.session.home)
        self.secret = Secret(self.sudo_password)

    @property
    def start(self) -> tuple[int, int, int]:
        """The resource, its start and the token, as most verbs of the supervisor take them."""
        return self.guid, self.occasion, self.token

    @property
    def directory(self) -> str:
        """The run directory, quoted for a shell."""
        return self.layout.run_dir(self.guid, self.occasion)

    def file(self, path: str) -> str:
        """Return an absolute path, or one in the run directory, quoted for a shell."""
        return quote(path) if path.startswith("/") else f"{self.directory}/{quote(path)}"

    def error(self, message: str, *, hint: str = "") -> HostError:
        """Return a HostError with the place of this attempt."""
        return HostError(message, where=self.where, hint=hint)

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """Add the place of this attempt to errors of the session."""
        try:
            yield
        except NepiqError as error:
            error.at(self.where)
            raise

    def execute(
        self,
        command: str,
        stdin: bytes = b"",
        *,
        timeout: float | None = None,
        most: int = OUTPUT,
    ) -> Completed:
        """Run a command until the step's deadline, or ``timeout`` seconds if that is sooner.

        Raises:
            AnswerError: it wrote more than ``most`` bytes.
            DeadlineError: it had not ended by then.
            Cancelled: the step shall give up.
            HostError: the host cannot be reached.
        """
        self.exchange.before_blocking()
        with self.placed():
            deadline = self.deadline.sooner(timeout)
            return self.session.execute(
                command, stdin=stdin, deadline=deadline, cancel=self.cancel, most=most
            )

    def look(self, body: str, what: str) -> bytes:
        """Return the output of a command that changes nothing.

        Raises:
            FileMissing: it ended with :data:`MISSING`.
            HostError: it failed.
        """
        done = self.execute(body)
        if done.code == MISSING:
            raise FileMissing(f"cannot {what}: there is no such file", where=self.where)
        if done.code:
            raise self.error(f"cannot {what}: {_said(done.stderr) or f'code {done.code}'}")
        return done.stdout

    def command(
        self, verb: str, *arguments: object, bearing: bool = True, secret: bytes = b""
    ) -> str:
        """Return a command for the supervisor of this node.

        Args:
            verb: what to do.
            arguments: its arguments, quoted here.
            bearing: whether what runs bears our NEPIQ_ID, by which it is found and ended on
                release. What ends others does not, or two releases would end each other.
            secret: the password of the login user, a line that its input then has to begin with.
        """
        return (
            f"{self.layout.entry} || "
            f'{{ echo "no {_REFUSED} {_GONE}"; exit; }}; '
            f"{self._mark(bearing)}{_announced(secret)}"
            f'exec sh "$PWD/supervisor.sh" {verb} {_quoted(arguments)}'
        )

    def change(self, verb: str, *arguments: object, stdin: bytes) -> None:
        """Run a verb of the supervisor that answers "ok".

        Raises:
            FencedError: a newer attempt has acted, or the run has ended on this host.
            HostError: it failed.
        """
        self.agreed(self.execute(self.command(verb, *arguments), stdin, most=ANSWER))

    def finish(self, verb: str, *arguments: object) -> None:
        """Run a verb that ends processes, of which some may be root's."""
        secret = self.secret.line()
        asked = self.command(verb, *arguments, bearing=False, secret=secret)
        self.agreed(self.execute(asked, secret, most=ANSWER))

    def upload(self, verb: str, *arguments: object, bearing: bool) -> None:
        """Upload the supervisor and run a verb that needs no file of the run.

        The supervisor is held in memory there, so that it can end a run also on a full disk.

        Args:
            verb: what to do.
            arguments: its arguments after the run and the node, quoted here.
            bearing: as for :meth:`command`.
        """
        self.agreed(self.upload_unchecked(verb, *arguments, bearing=bearing))

    def upload_unchecked(
        self, verb: str, *arguments: object, bearing: bool, first: str = "", then: str = ":"
    ) -> Completed:
        """Do the same as :meth:`upload`, and return also what is not "ok".

        Args:
            verb: what to do.
            arguments: its arguments after the run and the node, quoted here.
            bearing: as for :meth:`command`.
            first: what the shell does before all else.
            then: what it does when the verb has succeeded.
        """
        script = supervisor.script()
        words = _quoted((self.run_id, self.node, *arguments))
        secret = self.secret.line()
        # The password comes before the script, which a shell is too slow to read itself.
        taken = "unset secret; IFS= read -r secret && " if secret else ""
        piped = """printf '%s\\n' "$secret" | """ if secret else ""
        done = self.execute(
            f"{first}{taken}NEPIQ_SCRIPT=$(cat) && "
            # One that did not arrive whole does nothing.
            f'[ "${{#NEPIQ_SCRIPT}}" -eq {len(script)} ] && export NEPIQ_SCRIPT && '
            f"{{ {self._mark(bearing)}{_announced(secret)}{piped}"
            f"""sh -c 'eval "$NEPIQ_SCRIPT"' {self.layout.base} {verb} {words}; }} || exit; """
            f"unset NEPIQ_SCRIPT; {then}",
            secret + script,
            most=ANSWER if then == ":" else OUTPUT,
        )
        if not done.stdout and any(word in _said(done.stderr) for word in _NO_HOME):
            raise self.error(
                _said(done.stderr),
                hint="give the node home=, a directory on that host that its user can write to",
            )
        return done

    def agreed(self, done: Completed) -> bytes:
        """Return the output after the answer "ok".

        Raises:
            AnswerError: the supervisor answers something else.
            HostError: as for :meth:`answer`.
        """
        answer, rest = self.answer(done)
        if answer != "ok":
            raise misunderstood(answer, self.where)
        return rest

    def answer(self, done: Completed) -> tuple[str, bytes]:
        """Return the supervisor's answer, and the output after it.

        Raises:
            FencedError: it refused.
            InvalidValue: it was asked something wrong.
            HostError: it failed, or was killed.
        """
        line, _, rest = done.stdout.partition(b"\n")
        return self.judge(line, complaint=_said(done.stderr)), rest

    def judge(self, line: bytes, *, complaint: str = "") -> str:
        """Return a line of the supervisor, or raise the error that it stands for."""
        answer = line[:ANSWER].decode("utf-8", "replace")
        if not answer:
            what = complaint or "the host broke off without an answer"
            raise self.error(what, hint=_advice(complaint))
        if not answer.startswith("no "):
            return answer
        _, code, reason = (*answer[:SAID].split(" ", 2), "")[:3]
        if not code.isdecimal() or not reason:
            raise misunderstood(line, self.where)
        if code == _REFUSED:
            raise FencedError(reason, where=self.where)
        if code == _USAGE:
            raise InvalidValue(reason, where=self.where)
        hint = self.secret.advice() if code == _PASSWORD else _advice(reason)
        raise self.error(reason, hint=hint)

    def _mark(self, bearing: bool) -> str:
        if not bearing:
            return ""
        return f"export NEPIQ_ID={self.run_id}.{self.guid} NEPIQ_NODE={self.run_id}.{self.node}; "


def _announced(secret: bytes) -> str:
    return "export NEPIQ_SECRET=1; " if secret else ""


def _quoted(words: tuple[object, ...]) -> str:
    return " ".join(quote(str(word)) for word in words)


def _advice(complaint: str) -> str:
    """Return a hint about a home that cannot be written to."""
    if "No space left" in complaint or "quota exceeded" in complaint:
        return "make room on that host, or give the node a home= on another file system there"
    if "Read-only file system" in complaint or "Permission denied" in complaint:
        return "give the node home=, a directory that the login user may write to"
    return ""


def _said(stderr: bytes) -> str:
    return last_lines(stderr[-2 * SAID :].decode("utf-8", "replace"))
