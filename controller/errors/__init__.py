"""Every error of nepiq, in one tree.

::

    NepiqError
    ├── DescriptionError            the description is wrong; nothing was done
    │   ├── UnknownType             (KeyError)   no such rtype
    │   ├── UnknownAttribute        (KeyError)   the rtype has no such attribute
    │   ├── UnknownResource         (KeyError)   no such guid or label in this experiment
    │   ├── TraceNotFound           (KeyError)   no such trace or file
    │   ├── InvalidValue            (ValueError) a value that the attribute or call refuses
    │   ├── ClassNotImportable      a worker or client cannot import a class or module
    │   ├── NotAllowed              a flag or the present state forbids it
    │   │   └── IllegalMove         an action in a state where it cannot begin
    │   ├── TooLate                 a condition on a step that has begun
    │   ├── ConditionCycle          conditions that wait for each other
    │   └── DocumentError           a file that describes an experiment; all that is wrong in it
    ├── CampaignError               (RuntimeError) many runs of one experiment cannot go on
    ├── ExperimentFailed            a critical resource failed, or the run is over
    ├── ExperimentReleased          another client released what was waited for
    ├── WaitTimeout                 (TimeoutError) a wait_* with a timeout
    ├── StepFailed                  a synchronous call whose step failed
    ├── InfrastructureError         Redis or the workers
    │   ├── RedisUnreachable
    │   ├── NoWorker                nobody serves the queue of a site
    │   ├── ProtocolMismatch        a worker or client of another, incompatible version
    │   ├── ClockError              a worker machine's clock is too far from that of Redis
    │   ├── UnknownRun              no such run in this Redis
    │   │   └── RunLost             Redis has lost the data of a run that goes on
    │   └── EmbeddedError           the private Redis or local worker did not start
    └── HostError                   a machine that resources act on
        ├── HostUnreachable         it does not answer, or the connection was lost; tried again
        ├── AnswerError             what it answers is not understood, or has no end
        ├── HostKeyError            it is not known, or not the one that was known
        ├── LoginRefused            it does not let the user in
        ├── CommandError            a command ended with a code that was not expected
        ├── FileMissing
        ├── IsDirectory             a directory where a file is meant
        ├── StartTimeout            started_when was not met in time
        ├── DeadlineError           the step's deadline passed
        ├── Cancelled               the step was asked to stop (its run is being released)
        ├── FencedError             a newer attempt has acted, or the run has ended
        ├── TransferSilent          the other side of a transfer has gone
        ├── UploadFailed            some of several hosts did not get a file
        └── NoHostError             the resource is connected to no host

Each says what happened, where, and what to do: ``str(error)`` is one line,
``where: what (hint)``; that of a DocumentError one such line for each thing that is wrong.
What a message quotes, of a host or a file, is harmless in it, and cut if it is long: see
:mod:`~nepiq.controller.errors.text`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .text import LONGEST_MESSAGE, LONGEST_VALUE, last_lines, one_line, quoted

Hint = str | Callable[[], str]


class NepiqError(Exception):
    """Something went wrong in nepiq.

    Attributes:
        message: what happened, one sentence without a full stop.
        where: the resource, host, step and attempt it happened at; may be empty.
        hint: what to do about it; may be empty. It may be given as what finds it, which is called
            when somebody wants to know.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, where: str = "", hint: Hint = "") -> None:
        told = message or (self.__doc__ or "").strip().splitlines()[0].rstrip(".")
        self.message = one_line(told, LONGEST_MESSAGE)
        self.where = one_line(where, LONGEST_MESSAGE)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive a pickle: a Pool waits for ever for an error that cannot be read again."""
        return _made_again, (type(self), self.args), dict(self.__dict__)

    @property
    def hint(self) -> str:  # noqa: D102 - an attribute of the class
        if not isinstance(self._hint, str):
            self.hint = self._hint()
        return str(self._hint)

    @hint.setter
    def hint(self, hint: Hint) -> None:
        self._hint = one_line(hint, LONGEST_MESSAGE) if isinstance(hint, str) else hint

    def at(self, where: str) -> NepiqError:
        """Say where it happened, unless that is known already, and return the error."""
        self.where = self.where or one_line(where, LONGEST_MESSAGE)
        return self


def _made_again(kind: type[NepiqError], args: tuple[Any, ...]) -> NepiqError:
    """An error without its class's own __init__, which would word it anew."""
    return kind.__new__(kind, *args)


class DescriptionError(NepiqError):
    """The description of the experiment is wrong."""

    exit_code = 2


# Of more names only those are compared that are as long and begin alike.
_MANY = 2000


def near_misses(name: object, known: Iterable[object]) -> str:
    """A hint that suggests known names for one that is not known; empty if there are none."""
    names = sorted(str(item) for item in known)
    wanted = name if isinstance(name, str) else quoted(name)
    near = []
    # Comparing takes the product of the lengths; what is that long is no slip of the pen.
    if len(wanted) <= LONGEST_VALUE:
        short = [item for item in names if len(item) <= LONGEST_VALUE]
        if len(short) > _MANY:
            alike = (item for item in short if item[:1] == wanted[:1])
            short = [item for item in alike if abs(len(item) - len(wanted)) <= 2][:_MANY]
        near = difflib.get_close_matches(wanted, short, n=3, cutoff=0.5)
    if near:
        # What is alike only because both begin with linux:: would lead astray.
        likeness = [difflib.SequenceMatcher(None, item, wanted).ratio() for item in near]
        near = [item for item, it in zip(near, likeness, strict=True) if it > likeness[0] - 0.2]
        return "did you mean " + " or ".join(quoted(item) for item in near) + "?"
    if not names:
        return ""
    first = (one_line(item, LONGEST_VALUE) for item in names[:12])
    shown = ", ".join(first) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}"


class _Unknown(DescriptionError, KeyError):
    """Something that does not exist was named; near misses are in the hint."""

    noun = "name"

    def __init__(
        self, name: object, known: Iterable[object] = (), *, where: str = "", hint: Hint = ""
    ) -> None:
        self.name = name
        super().__init__(
            f"unknown {self.noun} {quoted(name)}",
            where=where,
            hint=hint or partial(near_misses, name, known),
        )

    __str__ = NepiqError.__str__


class UnknownType(_Unknown):
    """No resource type has this name."""

    noun = "resource type"


class UnknownAttribute(_Unknown):
    """The resource type has no attribute of this name."""

    noun = "attribute"


class UnknownResource(_Unknown):
    """The experiment has no resource with this guid or label."""

    noun = "resource"


class TraceNotFound(_Unknown):
    """The resource has no trace or file of this name."""

    noun = "trace"


class InvalidValue(DescriptionError, ValueError):
    """A value that the attribute or the call refuses."""

    __str__ = NepiqError.__str__


class NotAllowed(DescriptionError):
    """A flag of the attribute, or the present state, forbids this."""


class IllegalMove(NotAllowed):
    """An action cannot begin in the present state."""


class ClassNotImportable(DescriptionError):
    """A resource class, or the module that should define it, cannot be imported here."""


class TooLate(DescriptionError):
    """A condition came after the step that it governs had begun."""


class ConditionCycle(DescriptionError):
    """Conditions wait for each other, so that none of them can ever be met."""


class DocumentError(DescriptionError):
    """A file that describes an experiment is wrong.

    Args:
        errors: what is wrong, at least one.
        more: how many errors were found beyond these.

    Attributes:
        errors: what is wrong, in the order of the file; ``where`` of each is
            ``file:line:column``.
        more: how many errors were found beyond these.
    """

    def __init__(self, errors: Iterable[NepiqError], more: int = 0) -> None:
        self.errors = tuple(errors)
        self.more = more
        first, others = self.errors[0], len(self.errors) - 1 + more
        message = f"{first.message}; and {others} more" if others else first.message
        super().__init__(message, where=first.where, hint=first.hint)

    def __str__(self) -> str:
        lines = [str(error) for error in self.errors]
        return "\n".join([*lines, f"and {self.more} more"] if self.more else lines)


class CampaignError(NepiqError, RuntimeError):
    """Many runs of one experiment cannot be carried out as they were asked for."""

    exit_code = 2
    __str__ = NepiqError.__str__


class ExperimentFailed(NepiqError):
    """A critical resource failed, or the run is being released."""


class ExperimentReleased(NepiqError):
    """Another client released what was waited for, before it came to that."""

    exit_code = 6


class WaitTimeout(NepiqError, TimeoutError):
    """What was waited for did not happen in the time given."""

    exit_code = 5
    __str__ = NepiqError.__str__


class StepFailed(NepiqError):
    """A step that the caller waited for has failed."""


class InfrastructureError(NepiqError):
    """Redis or the workers are not there."""

    exit_code = 3


class RedisUnreachable(InfrastructureError):
    """Redis does not answer."""


class NoWorker(InfrastructureError):
    """No worker serves a queue that the experiment needs."""


class ProtocolMismatch(InfrastructureError):
    """Others who share this Redis speak another version of the engine's protocol."""


class ClockError(InfrastructureError):
    """The clock of this machine is too far from that of Redis."""


class UnknownRun(InfrastructureError):
    """This Redis holds no such run."""

    exit_code = 2


class RunLost(UnknownRun):
    """Redis has lost the data of a run: it was emptied, or came back without its file."""

    exit_code = 3


class EmbeddedError(InfrastructureError):
    """The private Redis or the local worker did not start."""


class HostError(NepiqError):
    """A machine that resources act on did not do what was asked."""

    exit_code = 4


class HostUnreachable(HostError):
    """A machine does not answer, or the connection with it was lost.

    A step that meets this is put back and tried again until its time is over.

    Attributes:
        tried: None, or the `time.monotonic` at which an attempt of somebody else began that found
            this out a moment ago.
    """

    tried: float | None = None


class HostSilent(HostUnreachable):
    """Whether a machine can be reached is not known yet.

    Somebody else is connecting to it, or waits for its answer. A step that meets this comes back
    later, and occupies no thread meanwhile.
    """


class AnswerError(HostError):
    """What a machine answers is not understood, or has no end."""


class HostKeyError(HostError):
    """The key of a machine is not known, or not the one that was known."""


class LoginRefused(HostError):
    """A machine does not let the user in, or there is no key to try."""


_TAIL = 2000


class CommandError(HostError):
    """A command ended with an exit code that was not expected.

    Attributes:
        code: the exit code.
        stderr: the end of what it wrote to standard error.
    """

    def __init__(
        self, command: str, code: int, stderr: str = "", *, where: str = "", hint: str = ""
    ) -> None:
        self.command = command
        self.code = code
        self.stderr = stderr
        shown = command if len(command) <= 60 else command[:57] + "..."
        tail = last_lines(stderr[-_TAIL:])
        super().__init__(
            f"command {shown!r} exited with {code}" + (f": {tail}" if tail else ""),
            where=where,
            hint=hint or exit_hint(code),
        )


def exit_hint(code: int | None) -> str:
    """What an exit code of a POSIX shell suggests (sh(1), "Exit Status"); empty if nothing."""
    if code == 126:
        return "found, but not executable"
    if code == 127:
        return "command not found on that host: install it there or give its full path"
    if code is not None and 128 < code < 160:
        return f"ended by signal {code - 128}"
    return ""


class FileMissing(HostError):
    """There is no such file on the host."""


class IsDirectory(HostError):
    """It is a directory, where a file is meant."""


class StartTimeout(HostError):
    """The process did not begin to serve in the time allowed."""


class DeadlineError(HostError):
    """The deadline of the step passed."""


class Cancelled(HostError):
    """The step was asked to stop, because its run or resource is being released."""


class FencedError(HostError):
    """A newer attempt has acted on this host, or the run has ended there."""


class TransferSilent(HostError):
    """The other side of a transfer has gone."""


class UploadFailed(HostError):
    """Some of several hosts did not get a file.

    Attributes:
        done: labels of the resources that have it.
        failed: what went wrong, by label.
    """

    def __init__(self, path: str, done: Iterable[str], failed: Mapping[str, NepiqError]) -> None:
        self.done = tuple(done)
        self.failed = dict(failed)
        told = "; ".join(f"{label}: {error.message}" for label, error in self.failed.items())
        total = len(self.done) + len(self.failed)
        super().__init__(f"{path} did not get to {len(self.failed)} of {total}: {told}")


class NoHostError(HostError):
    """The resource is connected to no host, so it cannot act on one."""


def details(error: BaseException) -> dict[str, Any]:
    """An error as plain data that survives JSON: type, message, where, hint."""
    if isinstance(error, NepiqError):
        return {
            "type": type(error).__name__,
            "message": error.message,
            "where": error.where,
            "hint": error.hint,
        }
    return {
        "type": type(error).__name__,
        "message": one_line(str(error) or type(error).__name__, LONGEST_MESSAGE),
        "where": "",
        "hint": "",
    }
