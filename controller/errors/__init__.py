"""The errors of nepiq, in one tree.

::

    NepiqError
    ├── DescriptionError            the description is invalid; nothing was done
    │   ├── UnknownType             (KeyError)   no such rtype
    │   ├── UnknownAttribute        (KeyError)   the rtype has no such attribute
    │   ├── UnknownResource         (KeyError)   no such guid or label in this experiment
    │   ├── UnknownCampaign         (KeyError)   no such campaign
    │   ├── TraceNotFound           (KeyError)   no such trace or file
    │   ├── InvalidValue            (ValueError) the value is invalid for the attribute or call
    │   ├── ClassNotImportable      a worker or client cannot import a class or module
    │   ├── NotAllowed              a flag or the present state forbids it
    │   │   └── IllegalMove         an action cannot begin in the present state
    │   ├── TooLate                 a condition was added after its step had begun
    │   ├── ConditionCycle          conditions depend on each other in a cycle
    │   └── DocumentError           a description file is invalid; lists all problems in it
    ├── CampaignError               (RuntimeError) a campaign cannot start or continue
    ├── ExperimentFailed            a critical resource failed, or the run has ended
    ├── ExperimentReleased          another client released resources during a wait
    ├── WaitTimeout                 (TimeoutError) the timeout of a wait_* passed
    ├── StepFailed                  the step of a synchronous call failed
    ├── InfrastructureError         Redis or the workers
    │   ├── RedisUnreachable
    │   ├── NoWorker                no worker serves the queue of a site
    │   ├── ProtocolMismatch        a worker or client of another, incompatible version
    │   ├── ClockError              the clock of a worker machine differs too much from Redis
    │   ├── UnknownRun              no such run in this Redis
    │   │   └── RunLost             Redis has lost the data of a run that has not ended
    │   └── EmbeddedError           the private Redis or local worker did not start
    └── HostError                   a machine that resources act on
        ├── WorkerGone              the worker machine that a resource lives on has gone
        ├── HostUnreachable         no response, or the connection was lost; retried
        │   └── HostSilent          not known yet; another step is connecting to it
        ├── AnswerError             a response is invalid or too large
        ├── HostKeyError            its host key is unknown or has changed
        ├── LoginRefused            the login was refused
        ├── CommandError            unexpected exit code of a command
        ├── FileMissing             no such file
        ├── IsDirectory             a directory instead of a file
        ├── StartTimeout            started_when was not met in time
        ├── DeadlineError           the step's deadline passed
        ├── Cancelled               the step was cancelled (its run is being released)
        ├── FencedError             a newer attempt has acted, or the run has ended
        ├── TransferSilent          the other side of a transfer stopped responding
        ├── UploadFailed            an upload to some of several hosts failed
        └── NoHostError             the resource is not connected to a host

``str(error)`` is one line, ``where: message (hint)``; that of a DocumentError is one such line
for each problem. Text from hosts and files is escaped and truncated in messages: see
:mod:`~nepiq.controller.errors.text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .hints import exit_hint as exit_hint
from .suggestions import near_misses as near_misses
from .text import LONGEST_MESSAGE, last_lines, one_line, quoted

Hint = str | Callable[[], str]


class NepiqError(Exception):
    """An error of nepiq.

    Attributes:
        message: the problem, one sentence without a full stop.
        where: the resource, host, step and attempt concerned; may be empty.
        hint: the remedy; may be empty. A function may be passed instead, which is called when
            the hint is first read.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, where: str = "", hint: Hint = "") -> None:
        text = message or (self.__doc__ or "").strip().splitlines()[0].rstrip(".")
        self.message = one_line(text, LONGEST_MESSAGE)
        self.where = one_line(where, LONGEST_MESSAGE)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling: a Pool hangs if it receives an error that it cannot unpickle."""
        return _unpickled, (type(self), self.args), dict(self.__dict__)

    @property
    def hint(self) -> str:  # noqa: D102 - an attribute of the class
        if not isinstance(self._hint, str):
            self.hint = self._hint()
        return str(self._hint)

    @hint.setter
    def hint(self, hint: Hint) -> None:
        self._hint = one_line(hint, LONGEST_MESSAGE) if isinstance(hint, str) else hint

    def at(self, where: str) -> NepiqError:
        """Set ``where`` unless it is set, and return the error."""
        self.where = self.where or one_line(where, LONGEST_MESSAGE)
        return self


def _unpickled(kind: type[NepiqError], args: tuple[Any, ...]) -> NepiqError:
    """Return an error without calling its __init__, which would rebuild the message."""
    return kind.__new__(kind, *args)


class DescriptionError(NepiqError):
    """The description of the experiment is invalid."""

    exit_code = 2


class _Unknown(DescriptionError, KeyError):
    """A name that does not exist; the hint has similar names."""

    noun = "name"

    def __init__(
        self,
        name: object,
        known: Iterable[object] = (),
        *,
        reason: str = "",
        where: str = "",
        hint: Hint = "",
    ) -> None:
        self.name = name
        super().__init__(
            f"unknown {self.noun} {quoted(name)}" + (f": {reason}" if reason else ""),
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


class UnknownPool(_Unknown):
    """No pool of this name is kept in the installation."""

    noun = "pool"


class UnknownCampaign(_Unknown):
    """There is no campaign of this name."""

    noun = "campaign"


class TraceNotFound(_Unknown):
    """The resource has no trace or file of this name."""

    noun = "trace"


class InvalidValue(DescriptionError, ValueError):
    """A value is invalid for the attribute or the call."""

    __str__ = NepiqError.__str__


class NotAllowed(DescriptionError):
    """A flag of the attribute, or the present state, forbids this."""


class IllegalMove(NotAllowed):
    """An action cannot begin in the present state."""


class ClassNotImportable(DescriptionError):
    """A resource class, or the module that should define it, cannot be imported here."""


class TooLate(DescriptionError):
    """A condition was added after the step that it governs had begun."""


class ConditionCycle(DescriptionError):
    """Conditions depend on each other in a cycle, so that none of them can ever be met."""


class DocumentError(DescriptionError):
    """A description file is invalid.

    Args:
        errors: the errors in it, at least one.
        more: number of further errors.

    Attributes:
        errors: the errors in the order of the file; ``where`` of each is ``file:line:column``.
        more: number of further errors.
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
    """The runs of a campaign cannot be carried out as requested."""

    exit_code = 2
    __str__ = NepiqError.__str__


class ExperimentFailed(NepiqError):
    """A critical resource failed, or the run is being released."""


class ExperimentReleased(NepiqError):
    """Another client released resources before they reached the state that was waited for."""

    exit_code = 6


class WaitTimeout(NepiqError, TimeoutError):
    """The timeout of a wait passed."""

    exit_code = 5
    __str__ = NepiqError.__str__


class StepFailed(NepiqError):
    """A step that the caller waited for has failed."""


class InfrastructureError(NepiqError):
    """Redis or the workers are not available."""

    exit_code = 3


class RedisUnreachable(InfrastructureError):
    """Redis does not answer."""


class NoWorker(InfrastructureError):
    """No worker serves a queue that the experiment needs."""


class ProtocolMismatch(InfrastructureError):
    """Other clients or workers of this Redis use another version of the engine's protocol."""


class ClockError(InfrastructureError):
    """The clock of this machine differs too much from that of Redis."""


class UnknownRun(InfrastructureError):
    """This Redis has no such run."""

    exit_code = 2


class RunLost(UnknownRun):
    """Redis has lost the data of a run: it was flushed, or restarted without its data file."""

    exit_code = 3


class EmbeddedError(InfrastructureError):
    """The private Redis or the local worker did not start."""


class HostError(NepiqError):
    """A machine that resources act on failed to do what was requested."""

    exit_code = 4


class WorkerGone(HostError):
    """The worker machine that is the host of a resource has gone."""


class HostUnreachable(HostError):
    """A machine does not respond, or the connection to it was lost.

    A step with this error is requeued and retried until its deadline.

    Attributes:
        tried: None, or the `time.monotonic` at which the attempt of another step to connect
            began, if that has just failed so.
    """

    tried: float | None = None


class HostSilent(HostUnreachable):
    """It is not known yet whether a machine can be reached.

    Another step is connecting to it, or waits for its response. A step with this error is
    requeued and does not occupy a thread meanwhile.
    """


class AnswerError(HostError):
    """The response of a machine is invalid or too large."""


class HostKeyError(HostError):
    """The host key of a machine is unknown or has changed."""


class LoginRefused(HostError):
    """A machine refused the login, or there is no key to try."""


_TAIL = 2000


class CommandError(HostError):
    """A command ended with an unexpected exit code.

    Attributes:
        command: the command.
        code: the exit code.
        stderr: the end of its standard error.
    """

    def __init__(
        self, command: str, code: int, stderr: str = "", *, where: str = "", hint: str = ""
    ) -> None:
        self.command = command
        self.code = code
        self.stderr = stderr
        short = command if len(command) <= 60 else command[:57] + "..."
        tail = last_lines(stderr[-_TAIL:])
        super().__init__(
            f"command {short!r} exited with {code}" + (f": {tail}" if tail else ""),
            where=where,
            hint=hint or exit_hint(code, stderr),
        )


class FileMissing(HostError):
    """There is no such file on the host."""


class IsDirectory(HostError):
    """The path is a directory, not a file."""


class StartTimeout(HostError):
    """The process was not ready in time."""


class DeadlineError(HostError):
    """The deadline of the step passed."""


class Cancelled(HostError):
    """The step was cancelled, because its run or resource is being released."""


class FencedError(HostError):
    """A newer attempt has acted on this host, or the run has ended there."""


class TransferSilent(HostError):
    """The other side of a transfer stopped responding."""


class UploadFailed(HostError):
    """The upload of a file to some of several hosts failed.

    Attributes:
        done: labels of the resources whose hosts have the file.
        failed: the errors by label.
    """

    def __init__(self, path: str, done: Iterable[str], failed: Mapping[str, NepiqError]) -> None:
        self.done = tuple(done)
        self.failed = dict(failed)
        problems = "; ".join(f"{label}: {error.message}" for label, error in self.failed.items())
        total = len(self.done) + len(self.failed)
        super().__init__(f"upload of {path} failed for {len(self.failed)} of {total}: {problems}")


class NoHostError(HostError):
    """The resource is not connected to a host."""


def details(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON data: type, message, where, hint."""
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
