"""Launches on one host that are asked for at the same time, in one command."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from ...controller.errors import HostError, NepiqError
from ...controller.model.timing import Deadline
from ..convoy import Convoy
from .channel import Patience
from .layout import Layout
from .session import Session

#: Launches in one command. They are made one after the other, in about 5 ms each.
MOST = 16
# Seconds for all of them; whoever waits for one of them has a deadline of his own.
_LIMIT = 60.0


@dataclass(frozen=True)
class Order:
    """One launch, as the supervisor reads it.

    Attributes:
        head: guid, occasion, token, codes that are fine and the mark.
        body: three lines: input, environment, and the command with the mark.
    """

    head: str
    body: bytes


class Launcher:
    """Launches commands on the host of one node of one run.

    Args:
        session: a session with the host.
        layout: where the node's directory is.
    """

    def __init__(self, session: Session, layout: Layout) -> None:
        self._session = weakref.ref(session)
        self._layout = layout
        self._convoy: Convoy[Order, bytes | NepiqError] = Convoy(self._carry, MOST)

    def launch(self, order: Order, deadline: Deadline, cancel: threading.Event | None) -> bytes:
        """Launch a command, together with others that wait; what the supervisor answers.

        Raises:
            HostError: the host cannot be reached, or broke off.
            HostSilent: it does not answer now; it may have been launched all the same.
            DeadlineError, Cancelled: it took too long, or nobody wants it any more; it may have
                been launched all the same.
        """
        patience = Patience(deadline, cancel)

        def spent() -> float | None:
            # One waits for a host that falls silent, the others come back later.
            if (session := self._session()) is not None:
                session.check()
            return patience.spent()

        answer = self._convoy.send(order, spent)
        if isinstance(answer, NepiqError):
            raise type(answer)(answer.message, hint=answer.hint)
        return answer

    def _carry(self, orders: Sequence[Order]) -> Sequence[bytes | NepiqError]:
        session = self._session()
        if session is None:
            return [HostError("the session is closed")] * len(orders)
        command = f'{self._layout.entry} || exit 75; exec sh "$PWD/supervisor.sh" launches'
        stdin = b"".join(order.head.encode() + b"\n" + order.body for order in orders)
        try:
            done = session.execute(command, stdin=stdin, deadline=Deadline.after(_LIMIT))
        except HostError as error:
            return [error] * len(orders)
        if done.code == 75 and not done.stdout:
            return [b"no 75 the directory of the run is gone"] * len(orders)
        answers: list[bytes | NepiqError] = list(done.stdout.splitlines())
        said = done.stderr.decode("utf-8", "replace").strip()
        broken = HostError(said or "the host broke off without an answer")
        return answers + [broken] * (len(orders) - len(answers))


_launchers: weakref.WeakValueDictionary[tuple[int, str], Launcher] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def launcher(session: Session, layout: Layout) -> Launcher:
    """The launcher of a node, shared by all who launch there now."""
    with _lock:
        key = (id(session), layout.root)
        made = _launchers.get(key)
        if made is None:
            made = _launchers[key] = Launcher(session, layout)
        return made
