"""Plans: changes of a host's configuration for several resources, as one script."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from ...controller.errors import HostError
from ...controller.errors.hints import exit_hint
from ...controller.model.configuration import Change, run_mark
from ..sessions.answers import misunderstood
from .attempt import Attempt
from .joint_requests import GONE, Verb

#: Processes of a host that make changes at the same time. Most of the time goes into the start of
#: ip(8), once for each network namespace.
LANES = 4


class Configuration:
    """The configuration that one resource has on its host.

    Args:
        attempt: the attempt of a step that acts for it.
        netns: the network namespace in which the resource acts; empty for that of the host.
    """

    def __init__(self, attempt: Attempt, netns: str) -> None:
        self._attempt, self._netns = attempt, netns

    def make(self, changes: Sequence[Change], *, anew: bool, report: str) -> str:
        """Make changes together with those of other resources; see :meth:`Host.configure`."""
        rows = [_row(change, self._where(change)) for change in changes]
        return self._ask({"anew": anew, "changes": rows, "report": [self._netns or "-", report]})

    def undo(self) -> None:
        """Undo all that is on record; see :meth:`Host.unconfigure`."""
        self._ask({})

    def _where(self, change: Change) -> str:
        return (self._netns if change.netns is None else change.netns) or "-"

    def _ask(self, wanted: dict[str, Any]) -> str:
        attempt = self._attempt
        head = {"guid": attempt.guid, "token": attempt.token, "mark": run_mark(attempt.run_id)}
        data = json.dumps({**head, **wanted}).encode() + b"\n"
        reply = attempt.exchange.ask(attempt, CONFIGURE, data, attempt.secret.line())
        if reply == GONE and not wanted:
            return ""  # the release of the host undoes what is left
        try:
            answer = attempt.judge(reply.line, complaint=reply.complaint)
        except HostError as error:
            error.hint = error.hint or exit_hint(None, error.message)
            raise
        word, _, report = answer.partition(" ")
        if word != "ok":
            raise misunderstood(answer, attempt.where)
        return report


def _row(change: Change, netns: str) -> tuple[str, str, str, str]:
    """Return a change as it is sent: tool, network namespace, text and undo."""
    if change.line:
        return "feed", netns, f"{change.command}\t{change.line}", change.undo
    return change.tool, netns, change.command, change.undo


@dataclass
class _Group:
    """Changes by one tool in one namespace, which need no other in between.

    Attributes:
        owners: for each line, the number of its request and of the undo lines before it.
        lines: the changes.
    """

    owners: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def call(self, tool: str, netns: str) -> str:
        """Return the call that makes them."""
        owners = " ".join(self.owners)
        return f"group {tool} {quote(netns)} '{owners}' {quote(chr(10).join(self.lines))}"


def compose(items: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the words and the input of ``configure`` for several requests.

    Changes by one tool in one namespace share its process. The changes of one request keep their
    order, but for those in different namespaces (:func:`_levels`). Those of several requests are
    independent, since steps that depend on each other are not due at the same time. Of several
    attempts on one resource the newest acts, as if the others had come later and been refused.
    """
    requests = [json.loads(item) for item in items]
    newest = {item["guid"]: number for number, item in sorted(enumerate(requests), key=_age)}
    for number, request in enumerate(requests):
        if newest[request["guid"]] != number:
            requests[number] = {key: request[key] for key in ("guid", "token", "mark")}
            requests[number]["superseded"] = True
    mark = f"#{secrets.token_hex(8)}"
    known = f"known_as {requests[0]['mark']}"
    lines = [known, *_heads(requests), *_groups(requests), *_reports(requests), mark]
    return quote(mark), "\n".join(lines).encode("utf-8", "surrogateescape")


def _age(item: tuple[int, dict[str, Any]]) -> tuple[int, int]:
    number, request = item
    return int(request["token"]), number


def _heads(requests: Sequence[dict[str, Any]]) -> Iterator[str]:
    for number, request in enumerate(requests, 1):
        who = f"{number} {request['guid']} {request['token']}"
        if "superseded" in request:
            yield f"supersede_request {who}"
            continue
        if "changes" not in request:
            yield f"retract {who}"
            continue
        undo = [
            f"{'sh' if tool == 'feed' else tool} {netns} {undo}"
            for tool, netns, _, undo in request["changes"]
            if undo
        ]
        yield f"request {who} {int(request['anew'])} {quote(chr(10).join(undo))}"
    yield "requested"
    # What sets values side by side shares the lock.
    if any(row[0] == "sysctl" for request in requests for row in request.get("changes", ())):
        yield "lock_keys || :"


def _levels(changes: Sequence[Sequence[str]]) -> Iterator[int]:
    """Yield for each change of a request the number of groups that come before its own.

    What ip and tc change in two network namespaces other than the host's is independent. What has
    an undo keeps its place: if it is refused, the undo lines before it are those that are needed.
    """
    top, barrier, previous = -1, -1, ("", "")
    last: dict[str, tuple[int, str]] = {}
    for tool, netns, command, undo in changes:
        free = tool in ("ip", "tc") and netns != "-" and not undo and " netns " not in command
        if free:
            level, former = last.get(netns, (barrier, ""))
            level += former != tool
            last[netns] = level, tool
        else:
            level = barrier if (tool, netns) == previous and barrier == top else top + 1
            barrier = level
            last.clear()
            last[netns] = level, tool
        previous = tool, netns
        top = max(top, level)
        yield level


def _groups(requests: Sequence[dict[str, Any]]) -> Iterator[str]:
    levels: list[dict[tuple[str, str], _Group]] = []
    for number, request in enumerate(requests, 1):
        undone, rows = 0, request.get("changes", ())
        numbers = _levels([row for row in rows if row[2]])
        for tool, netns, command, undo in rows:
            if command:
                level = next(numbers)
                levels += [{} for _ in range(level + 1 - len(levels))]
                group = levels[level].setdefault((tool, netns), _Group())
                group.owners.append(f"{number}.{undone}")
                group.lines.append(command)
            undone += bool(undo)
    for groups in levels:
        calls = [group.call(tool, netns) for (tool, netns), group in groups.items()]
        if len(calls) <= LANES:
            yield from calls
            continue
        for lane in range(LANES):
            yield f"lane_{lane}() {{"
            yield from calls[lane::LANES]
            yield "}"
        yield f"abreast {LANES}"


def _reports(requests: Sequence[dict[str, Any]]) -> Iterator[str]:
    for number, request in enumerate(requests, 1):
        netns, report = request.get("report", ("-", ""))
        if report:
            yield f"show {number} {quote(netns)} {quote(report)}"


#: Changes and their undoing of resources that are requested at the same time.
CONFIGURE = Verb("configure", 256, compose)
