"""Requests to the supervisor of one node that share a command."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...controller.errors import HostError, NepiqError
from ...controller.model.durations import Deadline
from ..sessions.answers import ANSWER, misunderstood
from ..sessions.channel import Patience
from ..sessions.session import Session
from .batching import Batcher
from .paths import Layout

_NUMBER = re.compile(rb"[1-9][0-9]{0,3}")
# Seconds for the whole command; each step that waits for a part has its own deadline.
_LIMIT = 60.0


class Verb(NamedTuple):
    """A verb of the supervisor that takes several requests.

    Attributes:
        words: the verb and its arguments; it reads requests from its input, and answers each by
            a line that begins with its number.
        most: requests in one command.
        compose: returns further words and the input for the data of several requests.
        outlives: True if the shell that answers goes on as supervisor of what it has started; it
            then has a session of its own.
        repeatable: True if a request may be made twice. One without an answer is then made once
            more: its command was killed, as by a host short of memory, or with another resource
            in mind.
    """

    words: str
    most: int
    compose: Callable[[Sequence[bytes]], tuple[str, bytes]] = lambda items: ("", b"".join(items))
    outlives: bool = False
    repeatable: bool = True


#: Plain commands, which share the shell that supervises them, in about 2 ms each.
STARTS = Verb("starts", 64, outlives=True, repeatable=False)
#: Launches with limits, and such as may have been made before, one after the other in 5 ms each.
LAUNCHES = Verb("launches", 16)
#: What has not ended after half a second asks again, together with all that came meanwhile.
ENDS = Verb("ends 50", 512)


@dataclass(frozen=True)
class Request:
    """The request of one step.

    Attributes:
        data: lines, as the verb reads them.
        deadline: when the step must have ended.
        secret: the password of the login user, a line; empty if none is needed.
    """

    data: bytes
    deadline: Deadline
    secret: bytes = b""


class Reply(NamedTuple):
    """The supervisor's answer to one request.

    Attributes:
        line: its answer; empty if it broke off before. It may have been done all the same.
        complaint: what the host wrote to standard error.
    """

    line: bytes
    complaint: str = ""


GONE = Reply(b"no 75 the directory of the run is gone")


class JointRequests:
    """A batcher of requests of one kind to one node.

    A request goes at once; what is asked for while it is under way goes in the next command.

    Args:
        session: a session with the host.
        layout: where the node's directory is.
        verb: what for.
    """

    def __init__(self, session: Session, layout: Layout, verb: Verb) -> None:
        self._session = weakref.ref(session)
        self._layout, self._verb = layout, verb
        self._batcher: Batcher[Request, Reply | NepiqError] = Batcher(self._carry, verb.most)

    def serves(self, session: Session) -> bool:
        """True if it is for this session."""
        return self._session() is session

    def ask(self, request: Request, cancel: threading.Event | None) -> Reply:
        """Send a request to the supervisor, together with others that wait, and return the reply.

        Raises:
            HostError: the host cannot be reached.
            HostSilent: it does not answer now; it may have been done all the same.
            DeadlineError, Cancelled: it took too long, or nobody wants it any more; it may have
                been done all the same.
        """
        patience = Patience(request.deadline, cancel)

        def spent() -> float | None:
            # One waits for a host that falls silent, the others come back later.
            if (session := self._session()) is not None:
                session.check()
            return patience.spent()

        reply = self._batcher.send(request, spent)
        if isinstance(reply, NepiqError):
            raise type(reply)(reply.message, hint=reply.hint)
        return reply

    def carry(self, requests: Sequence[Request]) -> Sequence[Reply | NepiqError]:
        """Send requests in one command, at once; return the reply or the error of each."""
        return self._carry(requests)

    def _carry(self, requests: Sequence[Request]) -> Sequence[Reply | NepiqError]:
        replies = self._execute(requests)
        missing = [
            number
            for number, reply in enumerate(replies)
            if self._verb.repeatable and isinstance(reply, Reply) and not reply.line
        ]
        if missing:
            again = self._execute([requests[number] for number in missing])
            for number, reply in zip(missing, again, strict=True):
                replies[number] = reply
        return replies

    def _execute(self, requests: Sequence[Request]) -> list[Reply | NepiqError]:
        """Make requests by one command; return the reply or the error of each."""
        session = self._session()
        if session is None:
            return [HostError("the session is closed")] * len(requests)
        secret = requests[0].secret
        words, data = self._verb.compose([request.data for request in requests])
        supervisor = f'sh "$PWD/supervisor.sh" {self._verb.words} {words}'
        if self._verb.outlives:
            mark = f"{self._layout.run}.{self._layout.node}.supervisor"
            # This shell, and with it the input and the connection, is there until the other one
            # closes the pipe 9, when all has been answered.
            act = (
                f"exec 8>&1; : $(export NEPIQ_ID={mark} NEPIQ_NODE={mark}; "
                f"exec setsid -f {supervisor} 9>&1 >&8 8>&-)"
            )
        else:
            act = f"exec {supervisor}"
        command = (
            f"{self._layout.entry} || exit 75; {'export NEPIQ_SECRET=1; ' if secret else ''}{act}"
        )
        stdin = secret + data
        left = max(request.deadline.remaining for request in requests)
        try:
            done = session.execute(
                command, stdin=stdin, deadline=Deadline.after(min(_LIMIT, left)), most=ANSWER
            )
        except NepiqError as error:
            return [error] * len(requests)
        if done.code == 75 and not done.stdout:
            return [GONE] * len(requests)
        complaint = " | ".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:])
        answers: dict[int, Reply] = {}
        missing: Reply | NepiqError = Reply(b"", complaint)
        for line in done.stdout.removesuffix(b"\n").split(b"\n") if done.stdout else ():
            number, _, answer = line.partition(b" ")
            if _NUMBER.fullmatch(number) and int(number) <= len(requests):
                answers.setdefault(int(number), Reply(answer, complaint))  # a refusal comes first
            elif number == b"no":  # to all that has no answer yet
                missing = Reply(line, complaint)
            else:
                missing = misunderstood(done.stdout.removesuffix(b"\n"))
        return [answers.get(number, missing) for number in range(1, len(requests) + 1)]


_joint: weakref.WeakValueDictionary[tuple[int, str, Verb], JointRequests] = (
    weakref.WeakValueDictionary()
)
_lock = threading.Lock()


def joint_requests(session: Session, layout: Layout, verb: Verb) -> JointRequests:
    """Return the batcher of a node for one kind of request, shared by all threads."""
    with _lock:
        key = (id(session), layout.root, verb)
        batcher = _joint.get(key)
        # The number of a session that is gone may be that of another one.
        if batcher is None or not batcher.serves(session):
            batcher = _joint[key] = JointRequests(session, layout, verb)
        return batcher
