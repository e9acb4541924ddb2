"""Causes of failed runs: what failed, in words that are the same for all runs that it failed in.

A cause is the class of the error, the label of the resource and the message, in which all that
differs from run to run is replaced by a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from ..errors.text import one_line
from .row import LONGEST_TEXT

if TYPE_CHECKING:
    from ..reports.failures import Failure

#: A number of runs, and more about them.
_Counted = TypeVar("_Counted", bound=tuple[Any, ...])


class Again(Enum):
    """Whether a run that failed is repeated."""

    #: Yes, on another host or worker; the failure does not count as one of the point.
    FREE = "free"
    #: As the campaign says.
    POLICY = "policy"
    #: No: the same would happen again.
    NEVER = "never"


class Blame(Enum):
    """The part that a failure is attributed to."""

    #: A host: unreachable, a refused login, a changed key, rebooted, its disk full.
    HOST = "host"
    #: A worker, or Redis.
    WORKER = "worker"
    #: A time limit.
    TIMEOUT = "timeout"
    #: The experiment itself: the exit code of a command, an invalid value.
    EXPERIMENT = "experiment"

    @property
    def again(self) -> Again:
        """Whether a run that failed so is repeated."""
        if self in (Blame.HOST, Blame.WORKER):
            return Again.FREE
        return Again.POLICY if self is Blame.TIMEOUT else Again.NEVER


@dataclass(frozen=True)
class Cause:
    """The cause of a failed run.

    Attributes:
        kind: class name of the error.
        label: label of the resource; empty for an error of the run as a whole. With a blame of
            host or worker, its last number is ``*``: it does not matter which of the resources
            was on that host.
        message: the message with placeholders, at most 200 characters in all with the others.
        blame: the part that it is attributed to.
        guid: the resource that failed; None for an error of the run as a whole.
        example: the message as it was in this run.
    """

    kind: str
    label: str
    message: str
    blame: Blame
    guid: int | None = field(default=None, compare=False)
    example: str = field(default="", compare=False)

    @property
    def again(self) -> Again:
        """Whether a run that failed so is repeated."""
        return self.blame.again

    def __str__(self) -> str:
        return _text(self.kind, self.label, self.message)


def cause_of(
    failures: Sequence[Failure] | BaseException, hosts: Iterable[str] = ()
) -> Cause | None:
    """Return the cause of a failed run, or None if nothing failed.

    Of several failures it is one of a worker or a host, if there is one: its consequences may have
    been noticed earlier. Else it is the first critical one.

    Args:
        failures: those of the run, critical ones first and in order of time, as in
            ``ec.failures``; or an error of the run as a whole, such as WaitTimeout.
        hosts: names and addresses of the hosts of the run, to be replaced in the message.
    """
    if isinstance(failures, BaseException):
        info = errors.details(failures)
        blame = _blame(info["type"], info["message"])
        return _cause(info["type"], "", info["message"], blame, None, hosts)
    critical = [failure for failure in failures if failure.critical] or list(failures)
    blamed = [(_blame_of(failure), failure) for failure in critical]
    foreign = [item for item in blamed if item[0] in (Blame.WORKER, Blame.HOST)]
    for blame, failure in (*foreign, *blamed):
        kind = failure.kind or "failed"
        return _cause(kind, failure.label, failure.message, blame, failure.guid, hosts)
    return None


# -- blame ----------------------------------------------------------------------------------------

_HOST = (
    errors.HostUnreachable,
    errors.HostKeyError,
    errors.LoginRefused,
    errors.AnswerError,
    errors.FencedError,
    errors.TransferSilent,
)
_WORKER = (errors.InfrastructureError, errors.WorkerGone)
_TIMEOUT = (errors.DeadlineError, errors.StartTimeout, errors.WaitTimeout)

# Errors of other classes with these texts are those of a host or of a time limit as well.
_HOST_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded"
    r"|the host was rebooted|the host went down|its supervisor was killed"
    r"|neither its supervisor nor a record of its end"
)
_TIMEOUT_TEXT = re.compile(
    r"its timeout has passed|did not begin to serve in time|ended because it ran for "
)


def _blame_of(failure: Failure) -> Blame:
    stderr = failure.info.get("stderr")
    return _blame(failure.kind, f"{failure.message} {stderr or ''}")


def _blame(kind: str, text: str) -> Blame:
    error = getattr(errors, kind, None)
    if isinstance(error, type):
        for classes, blame in (
            (_WORKER, Blame.WORKER),
            (_HOST, Blame.HOST),
            (_TIMEOUT, Blame.TIMEOUT),
        ):
            if issubclass(error, classes):
                return blame
    if _HOST_TEXT.search(text):
        return Blame.HOST
    return Blame.TIMEOUT if _TIMEOUT_TEXT.search(text) else Blame.EXPERIMENT


# -- text -----------------------------------------------------------------------------------------

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE = rf"(?:{_MONTH} +\d+|\d+ {_MONTH}(?: \d+)?)"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?"

# In this order: what a later one would cut into pieces comes first.
_PLACEHOLDERS = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (rf"\d{{4}}-\d\d-\d\d[T ]{_CLOCK}(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?", "<time>"),
        (rf"{_DAY},? +{_DATE} +{_CLOCK}(?: [A-Z]+)?(?: \d{{4}})?", "<time>"),
        # The folder of a run has its id, 20 digits; numbers of resources and starts follow.
        (r"[^\s'\"():,=]*/\d{20}(?:/\d+)*(?=/|\b)", "<run>"),
        (r"\b\d{20}\b", "<run>"),
        (r"/(?:var/)?tmp/[^\s'\"():,]+", "<file>"),
        (r"\b[\w.+-]+@[\w.-]+(?::\d+)?", "<host>"),
        (r"(?<=worker machine )[\w.-]*\w", "<worker>"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b(?:SHA256|MD5):[\w+/:=]+", "<id>"),
        (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<host>"),
        (
            r"\[?(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])\]?(?::\d+)?",
            "<host>",
        ),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?\b", "<host>"),
        (r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"\b0x[0-9a-fA-F]+\b", "<id>"),
        (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b", "<id>"),
        # A number; one digit after a letter is part of a name, as in eth0 and iperf3.
        (r"(?<![A-Za-z\d.<])[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", "<n>"),
        (r"(?<=[A-Za-z])\d{2,}", "<n>"),
    )
)
# What an exit code means differs from code to code.
_CODE = re.compile(r"\b(?:exited with|exit code|signal|status) \d+")
_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


def normalised(message: str, hosts: Iterable[str] = ()) -> str:
    """Return a message with placeholders for what differs from run to run.

    They replace times, ids, numbers, names and addresses of hosts, names of workers, and paths of
    runs and temporary files. Exit codes and signals stay.
    """
    parts = []
    end = 0
    # Longer names first: fit1 is part of fit10.
    names = sorted(filter(None, hosts), key=len, reverse=True)
    pattern = "|".join(re.escape(name) for name in names)
    known = re.compile(rf"(?<![\w-])(?:[\w.+-]+@)?(?:{pattern})(?![\w-])(?::\d+)?")
    for code in _CODE.finditer(message):
        parts += [_replaced(message[end : code.start()], known if names else None), code.group()]
        end = code.end()
    parts.append(_replaced(message[end:], known if names else None))
    return "".join(parts)


def counted(failures: Iterable[tuple[str, str]]) -> dict[str, tuple[int, str]]:
    """Return how often each cause occurs, and its first run; the most frequent cause first.

    Args:
        failures: the text of the cause and the id of each run.
    """
    found: dict[str, tuple[int, str]] = {}
    for cause, run_id in failures:
        number, example = found.get(cause, (0, run_id))
        found[cause] = (number + 1, example)
    return most_frequent_first(found)


def most_frequent_first(causes: Mapping[str, _Counted]) -> dict[str, _Counted]:
    """Return causes in order, each with the number of its runs and more about them."""
    return dict(sorted(causes.items(), key=lambda item: -item[1][0]))


def _replaced(text: str, known: re.Pattern[str] | None) -> str:
    if known is not None:
        text = known.sub("<host>", text)
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text


def _cause(
    kind: str, label: str, message: str, blame: Blame, guid: int | None, hosts: Iterable[str]
) -> Cause:
    if blame in (Blame.HOST, Blame.WORKER):
        label = _LAST_NUMBER.sub("*", label)
    text = one_line(normalised(message, hosts))
    room = LONGEST_TEXT - len(_text(kind, label, ""))
    return Cause(kind, label, text[:room].rstrip(), blame, guid, message)


def _text(kind: str, label: str, message: str) -> str:
    return f"{kind} {label}: {message}" if label else f"{kind}: {message}"
