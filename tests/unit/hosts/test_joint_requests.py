"""Requests that share a command: whose answer is whose, and which are made once more."""

from __future__ import annotations

from typing import Any, cast

import pytest

from nepiq.controller.errors import HostError, NepiqError
from nepiq.controller.model.durations import Deadline
from nepiq.workers.hosts.joint_requests import (
    ENDS,
    GONE,
    LAUNCHES,
    STARTS,
    JointRequests,
    Reply,
    Request,
    Verb,
)
from nepiq.workers.hosts.paths import Layout
from nepiq.workers.sessions.session import Completed, Session

KILLED = Completed(137, b"", b"")
REQUESTS = [Request(f"{number}\n".encode(), Deadline.after(60)) for number in (1, 2, 3)]


class Host:
    """A session with a host that has these answers, one a command."""

    def __init__(self, *answers: Completed | NepiqError) -> None:
        self._answers = list(answers)
        self.inputs: list[bytes] = []

    def execute(self, command: str, *, stdin: bytes, **options: Any) -> Completed:
        self.inputs.append(stdin)
        answer = self._answers.pop(0)
        if isinstance(answer, NepiqError):
            raise answer
        return answer


def carried(verb: Verb, host: Host) -> list[Reply | NepiqError]:
    """What three requests are answered."""
    return list(JointRequests(cast(Session, host), Layout("run", 1), verb).carry(REQUESTS))


@pytest.mark.parametrize("verb", [LAUNCHES, ENDS])
def test_what_has_no_answer_is_made_once_more(verb: Verb) -> None:
    host = Host(Completed(137, b"2 ok\n", b""), Completed(0, b"2 later\n1 ok\n", b""))
    assert carried(verb, host) == [Reply(b"ok"), Reply(b"ok"), Reply(b"later")]
    assert host.inputs == [b"1\n2\n3\n", b"1\n3\n"]


def test_only_once() -> None:
    host = Host(Completed(137, b"1 ok\n", b""), Completed(137, b"", b"Killed\n"))
    assert carried(ENDS, host) == [Reply(b"ok"), *[Reply(b"", "Killed")] * 2]
    host = Host(KILLED, HostError("the host went down"))
    assert [str(reply) for reply in carried(ENDS, host)] == ["the host went down"] * 3


def test_starts_are_not_made_twice() -> None:
    """The shell that answers is their supervisor: it may have begun them."""
    host = Host(KILLED)
    assert carried(STARTS, host) == [Reply(b"")] * 3


def test_what_has_an_answer_for_all_is_not_repeated() -> None:
    for answer, reply in (
        (Completed(75, b"", b""), GONE),
        (Completed(1, b"no 69 the disk is full\n", b""), Reply(b"no 69 the disk is full")),
    ):
        host = Host(answer)
        assert carried(ENDS, host) == [reply] * 3
        assert len(host.inputs) == 1
