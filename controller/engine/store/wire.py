"""How values travel to the scripts and back (docs/engine.md, "The wire")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...model.spec import Gate, ResourceSpec
from .calls import Claim, DueStep, ExitReport, NotDue, Outcome, Reply
from .forms import dumps, loads, seconds
from .scripts import Argument


def ranges(guids: Iterable[int]) -> str:
    """Guids in short, in their order: ``1-3,7`` for 1, 2, 3, 7."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in _spans(guids)
    )


def _spans(guids: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for guid in guids:
        if first is None or last is None:
            first = last = guid
        elif guid == last + 1:
            last = guid
        else:
            yield first, last
            first = last = guid
    if first is not None and last is not None:
        yield first, last


def spec_arguments(nonce: str, spec: ResourceSpec, *, goal: bool = False) -> list[Argument]:
    """A resource manager for ``upload``: guid, its record, then three lists led by their length.

    Args:
        nonce: of the upload.
        spec: the resource manager.
        goal: its end is one of those that end the run.
    """
    record: dict[str, Any] = {
        "state": "NEW",
        "occ": 1,
        "rtype": spec.rtype,
        "label": spec.label,
        "queue": spec.queue,
        "critical": int(spec.critical),
        "batch": int(spec.batch),
        "by": nonce,
    }
    record |= _acting(spec)
    if goal:
        record["goal"] = 1
    if spec.peers:
        record["peers"] = dumps({name: list(guids) for name, guids in spec.peers.items()})
    if spec.is_host:
        record |= {"is_host": 1, "local": int(spec.local), "site": spec.site}
        if spec.limit is not None:
            record["limit"] = spec.limit
        if spec.affinity:
            record["home"] = spec.affinity
    arguments: list[Argument] = [spec.guid, dumps(record)]
    if not (spec.attributes or spec.gates or spec.after):
        return [*arguments, 0, 0, 0]
    attributes = pairs(spec.attributes)
    arguments += [len(attributes), *attributes, len(spec.gates)]
    arguments += [encode_gate(gate) for gate in spec.gates]
    return [*arguments, len(spec.after), *spec.after]


def _acting(spec: ResourceSpec) -> dict[str, Any]:
    """Where the steps of a resource act, and which of them do so in what way."""
    record: dict[str, Any] = {}
    if spec.idle and not spec.batch:
        record["idle"] = " ".join(spec.idle)
    if spec.joint:
        record["joint"] = " ".join(spec.joint)
    if spec.covered or spec.left_to_host:
        record["covered"] = 1 if spec.covered else 2
    if spec.host is not None:
        record["host"] = str(spec.host)
    if spec.inside is not None:
        record["inside"] = str(spec.inside)
    return record


def gate_fields(gate: Gate) -> list[Argument]:
    """What a step waits for, as scripts receive it: action, target, milestone, offset, kind."""
    kind = "n" if gate.need else "c"
    return [gate.action, gate.target, gate.milestone, seconds(gate.offset), kind]


def encode_gate(gate: Gate) -> str:
    """The form in which a gate is stored: ``start|3|READY|0.5|c``."""
    return "|".join(map(str, gate_fields(gate)))


def decode_gate(text: str) -> Gate:
    """The opposite of :func:`encode_gate`."""
    action, target, milestone, offset, kind = text.split("|")
    return Gate(action, int(target), milestone, float(offset), kind == "n")


def pairs(attributes: Mapping[str, Any]) -> list[Argument]:
    """Attributes as name, JSON, name, JSON..."""
    return [item for name, value in attributes.items() for item in (name, dumps(value))]


def outcome_arguments(outcome: Outcome) -> list[Argument]:
    """An item of ``commit``."""
    head: list[Argument] = [outcome.step, outcome.token, outcome.kind, outcome.age, outcome.end_age]
    return head + _details(outcome.info, outcome.attrs, outcome.outputs)


def exit_arguments(report: ExitReport) -> list[Argument]:
    """The arguments of ``exited`` behind the watch."""
    return [*report[:4], *_details(report.info, report.attrs or {}, report.outputs or {})]


def _details(
    info: Mapping[str, Any] | None, attrs: Mapping[str, Any], outputs: Mapping[str, bytes]
) -> list[Argument]:
    """What comes with an end: info as JSON or empty, two lengths, attributes, outputs."""
    if not (info or attrs or outputs):
        return ["", 0, 0]
    kept = pairs(attrs)
    sent: list[Argument] = [item for output in outputs.items() for item in output]
    return [dumps(info) if info else "", len(kept), len(sent), *kept, *sent]


def parse(answer: bytes) -> list[Any]:
    """The answer of a script: one JSON array."""
    value: list[Any] = json.loads(answer)
    return value


def reply_of(answer: Sequence[Any]) -> Reply:
    """The reply that leads the answer of a script that can make steps due."""
    status, _, detail = answer[0].partition(":")
    if len(answer) == 1:
        return Reply(status, detail)
    flat = answer[3]
    due = [
        DueStep(step, delay, queue, batch == 1, label, attempt, batch == 2)
        for step, delay, queue, batch, label, attempt in zip(*[iter(flat)] * 6, strict=True)
    ]
    ended = answer[2]
    campaign = ended if isinstance(ended, str) else ""
    return Reply(status, detail, answer[1] == 1, ended == 1, due, campaign)


def claim_of(step: str, answer: Any) -> Claim | NotDue | None:
    """What ``claim`` says about one step."""
    if answer == "none":
        return None
    if answer[0] == "early":
        return NotDue(step, answer[1])
    _, token, tries, retried, began, due, rtype, label, occ, state, *more = answer
    host, inside, covered, args, peers, *kept = more
    return Claim(
        step,
        int(token),
        int(tries),
        int(retried),
        float(began),
        float(due),
        rtype,
        label,
        int(occ),
        state,
        int(host) if host else None,
        int(inside) if inside else None,
        covered == 1,
        loads(args) or [],
        loads(peers) or {},
        {name: json.loads(value) for name, value in zip(kept[::2], kept[1::2], strict=True)},
    )


def claimed(
    steps: Sequence[str], answer: Sequence[Any]
) -> tuple[Reply, list[Claim | NotDue | None]]:
    """The reply of ``claim``, and its answer for each step."""
    answers = answer[4] if len(answer) > 4 else ["none"] * len(steps)
    claims = [claim_of(step, found) for step, found in zip(steps, answers, strict=True)]
    return reply_of(answer), claims


def committed(outcomes: Sequence[Outcome], answer: Sequence[Any]) -> tuple[Reply, list[str]]:
    """The reply of ``commit``, and the status of each outcome."""
    statuses = answer[4] if len(answer) > 4 else [answer[0]] * len(outcomes)
    return reply_of(answer), statuses
