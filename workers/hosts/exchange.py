"""Exchanges: how the requests of one attempt reach its host, alone or with those of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...controller.errors import NepiqError
from .joint_requests import Reply, Request, Verb, joint_requests

if TYPE_CHECKING:
    from .attempt import Attempt

#: A reply, or the error instead of one.
Answer = Reply | NepiqError


class Exchange:
    """The way of an attempt to its host: each request goes at once."""

    def before_blocking(self) -> None:
        """Take note of a request that cannot be shared, before it is made."""

    def ask(self, attempt: Attempt, verb: Verb, data: bytes, secret: bytes = b"") -> Reply:
        """Make a request that can share a command with those of other attempts on the node."""
        with attempt.placed():
            shared = joint_requests(attempt.session, attempt.layout, verb)
            return shared.ask(Request(data, attempt.deadline, secret), attempt.cancel)


#: That of a step which is carried out alone.
ALONE = Exchange()


@dataclass(eq=False)
class Pending(BaseException):
    """A request that waits for those of other steps; it passes through what handles errors.

    Attributes:
        attempt: the attempt that makes it.
        verb: what for.
        request: its data.
    """

    attempt: Attempt
    verb: Verb
    request: Request


class NotShared(BaseException):
    """A step needs a request that cannot be shared; nothing of it has been made."""


class Recorded(Exchange):
    """The exchange of a step whose hook is called again after each of its shared requests.

    Args:
        answers: to the requests so far; a request behind them raises :class:`Pending`.
        alone: True to make further requests at once, of every kind.
    """

    def __init__(self, answers: Sequence[Answer], *, alone: bool = False) -> None:
        self._answers = list(answers)
        self._alone = alone

    def before_blocking(self) -> None:
        """Refuse it, unless the step goes on alone."""
        if not self._alone:
            raise NotShared

    def ask(self, attempt: Attempt, verb: Verb, data: bytes, secret: bytes = b"") -> Reply:
        """Return the next answer, or pass the request on."""
        if self._answers:
            answer = self._answers.pop(0)
            if isinstance(answer, NepiqError):
                raise answer.at(attempt.where)
            return answer
        if self._alone:
            return super().ask(attempt, verb, data, secret)
        raise Pending(attempt, verb, Request(data, attempt.deadline, secret))


def ask_together(pending: Sequence[Pending]) -> list[Answer]:
    """Make requests of several attempts on one node by as few commands as possible.

    Args:
        pending: the requests, all for one verb.
    """
    first = pending[0]
    shared = joint_requests(first.attempt.session, first.attempt.layout, first.verb)
    answers: list[Answer] = []
    for at in range(0, len(pending), first.verb.most):
        part = pending[at : at + first.verb.most]
        for reply in shared.carry([item.request for item in part]):
            if isinstance(reply, NepiqError):
                # One of its own for each step, which adds its place to it.
                answers.append(type(reply)(reply.message, hint=reply.hint))
            else:
                answers.append(reply)
    return answers
