"""The supervised processes of one resource: their launches and their ends."""

from __future__ import annotations

import re

from ...controller.errors import StartTimeout
from ...controller.errors.text import last_lines
from ...controller.model.host import Launch
from ..sessions.answers import ANSWER, misunderstood, moment
from .attempt import Attempt
from .commands import Envelope, Readiness, is_plain
from .exit_journal import ExitLine
from .joint_requests import ENDS, GONE, LAUNCHES, STARTS, Reply, Verb

# Hundredths of a second until the answer where nothing shares the command.
_PATIENT = 2000

# Bytes in the name of a process, by which the host knows what it supervises (proc(5)).
_NAME = 15

# The answer where something is left: when KILL comes, and the groups it is in.
_LEFT = re.compile(r"left (\d{1,15}) ([\d,]{1,60000}|-)", re.ASCII)

# That of a host on which a command was started before.
_AGAIN = Reply(b"again")


class Processes:
    """The supervised processes of the resource that an attempt acts for.

    Launches and ends of several resources of one node that are asked for at the same time share a
    command.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def launch(
        self,
        envelope: Envelope,
        codes: str,
        ready: Readiness,
        *,
        start_timeout: float,
        sudo: bool,
        life: str,
    ) -> Launch:
        """Start a command, or adopt an earlier launch of the same start.

        Args:
            envelope: the command; its files have been written.
            codes: exit codes that count as FINISHED, with commas between; ``any`` or ``none``.
            ready: the condition for STARTED.
            start_timeout: seconds until it has to be met.
            sudo: whether the command runs as root.
            life: its life, as :func:`life_word` writes it.

        Raises:
            StartTimeout: it did not begin to serve in time; it has been ended.
        """
        attempt = self._attempt
        if envelope.lines and ready.kind == "none" and not sudo:
            head = " ".join(map(str, (*attempt.start, codes, envelope.mark, life))).rstrip()
            data = head.encode() + b"\n" + envelope.data
            plain = is_plain(life) and len(f"{attempt.guid}.{attempt.occasion}") <= _NAME
            reply = self._request(STARTS, data) if plain else _AGAIN
            if reply.line == _AGAIN.line:
                reply = self._request(LAUNCHES, data)
            answer = attempt.judge(reply.line, complaint=reply.complaint)
        else:
            secret = attempt.secret.line() if sudo else b""
            command = attempt.command(
                "launch",
                *attempt.start,
                codes,
                ready.kind,
                ready.sign,
                round(start_timeout * 100),
                envelope.mark,
                "root" if sudo else "",
                life,
                secret=secret,
            )
            done = attempt.execute(command, secret + envelope.data, most=ANSWER)
            answer, _ = attempt.answer(done)
        try:
            return self._launched(answer, ready, start_timeout)
        except ValueError as error:
            raise misunderstood(answer, attempt.where) from error

    def _launched(self, answer: str, ready: Readiness, start_timeout: float) -> Launch:
        """Read the supervisor's answer to a launch.

        Raises:
            ValueError: it is no such answer.
        """
        verb, adopted, rest = answer.split(" ", 2)
        if verb == "running":
            since, now = map(moment, rest.split(" "))
            return Launch(age=max(0.0, now - since), adopted=adopted == "1")
        if verb != "ended":
            raise ValueError(verb[:80])
        ended_at, boot_id, line = rest.split(" ", 2)
        ended = ExitLine.parse(line, now=ended_at, boot_id=boot_id)
        if ended.overdue:
            tail = f": {last_lines(ended.tail)}" if ended.tail else ""
            raise StartTimeout(
                f"not {ready.text!r} within {start_timeout:g} s{tail}",
                where=self._attempt.where,
                hint="raise startTimeout, or see its stdout and stderr",
            )
        return Launch(age=ended.exit.age, exit=ended.exit, adopted=adopted == "1")

    def end(self, occasion: str, grace: float) -> None:
        """End the processes of one start, or of all if it is ``-``.

        Args:
            occasion: number of the start.
            grace: seconds between TERM and KILL.
        """
        attempt = self._attempt
        end, groups = str(round(grace * 100)), "new"
        while True:
            line = f"{attempt.guid} {occasion} {attempt.token} {end} {groups}\n"
            reply = self._request(ENDS, line.encode(), attempt.secret.line())
            if reply == GONE:
                reply = self._end_alone(line)
            answer = attempt.judge(reply.line, complaint=reply.complaint)
            if answer == "ok":
                return
            if not (left := _LEFT.fullmatch(answer)):
                raise misunderstood(answer, attempt.where)
            end, groups = left.groups()

    def _end_alone(self, line: str) -> Reply:
        """Request an end from an uploaded supervisor, where its file is gone."""
        done = self._attempt.upload_unchecked("ends", _PATIENT, *line.split(), bearing=False)
        answer, _, _ = done.stdout.partition(b"\n")
        return Reply(answer.removeprefix(b"1 "), done.stderr.decode("utf-8", "replace").strip())

    def _request(self, verb: Verb, data: bytes, secret: bytes = b"") -> Reply:
        return self._attempt.exchange.ask(self._attempt, verb, data, secret)
