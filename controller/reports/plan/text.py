"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from ...testing.fakes import Call
from ..words import duration, plural, size
from .planner import PlannedDeployment, PlannedStep

_LONGEST = 3
"""Lines of a command that only looks; what matters is in those that act."""


def told(call: Call) -> tuple[list[str], list[str]]:
    """What a hook asks of a host: the lines of a command, and what there is to say of it."""
    if call.verb == "supervise":
        return call.command.splitlines(), [*_conditions(call), *_circumstances(call)]
    if call.verb == "run":
        lines = call.command.splitlines()
        if call.options["mutates"]:
            return lines, [*_circumstances(call)]
        if len(lines) > _LONGEST:
            lines = [*lines[:1], f"... {len(lines) - 1} more lines, which --json has"]
        return lines, ["only looks; the rest depends on the answer", *_circumstances(call)]
    if call.verb == "open":
        return call.command.splitlines(), ["is talked with"]
    return [], [_deed(call)]


def _conditions(call: Call) -> Iterator[str]:
    """When a supervised command counts as STARTED and as FINISHED."""
    options = call.options
    if options["started_when"]:
        limit = duration(options["start_timeout"])
        yield f"STARTED once {options['started_when']}, within {limit}"
    codes = options["ok_exit_codes"]
    if codes is None:
        yield "any exit code is fine"
    elif list(codes) != [0]:
        yield f"fine with exit code {', '.join(map(str, codes))}"


def _circumstances(call: Call) -> Iterator[str]:
    if call.options["sudo"]:
        yield "as root"
    if call.options.get("cwd"):
        yield f"in {call.options['cwd']}"
    if call.env:
        yield "with " + " ".join(f"{name}={value}" for name, value in call.env.items())
    if call.stdin:
        yield f"reads {size(len(call.stdin))}"


def _deed(call: Call) -> str:
    options = call.options
    if call.verb == "prepare":
        first = [
            what
            for name, what in (
                ("clean_home", "remove what earlier runs left"),
                ("clean_experiment", "remove what earlier runs of the experiment left"),
                ("clean_processes", "end what earlier runs of the experiment left running"),
            )
            if options[name]
        ]
        return ", ".join([*first, "make the directory of the run"])
    if call.verb == "end":
        return f"TERM to its processes, KILL after {duration(options['grace'])}"
    if call.verb == "clear":
        return "end what it left running"
    if call.verb == "dismantle":
        rest = " and remove its directory" if options["remove"] else ""
        return f"end what the run left running{rest}"
    amount = f", {size(len(call.stdin))}" if call.verb == "write" else ""
    source = f" from {options['source']}" if call.verb == "put" else ""
    return f"{call.verb} {call.command}{source}{amount}"


def text(plan: PlannedDeployment) -> str:
    """A plan as people read it."""
    hosts = sum(item.is_host for item in plan.resources)
    lines = [
        f"{plan.exp_id}: {plural(len(plan.resources), 'resource')}"
        + (f", {plural(hosts, 'host')}" if hosts else "")
        + (
            "; nothing starts before all are READY"
            if plan.together and len(plan.resources) > 1
            else ""
        )
    ]
    hosts_here = {item.guid for item in plan.resources if item.is_host}
    for item in plan.resources:
        inner = not item.is_host and item.host in hosts_here
        on = "" if inner or not item.where else f" on {item.where}"
        head = f"{item.label} ({item.rtype})" + (f": {item.where}" if item.is_host else on)
        indent = "  " if inner else ""
        lines += ["", indent + head]
        for step in item.steps:
            if step.action == "release" and [call.verb for call in step.calls] == ["clear"]:
                continue  # As the release of every application; it would drown the others.
            lines += [f"{indent}  {line}".rstrip() for line in _step(step)]
    return "\n".join(lines)


def _step(step: PlannedStep) -> Iterator[str]:
    said: list[str] = [f"when {condition}" for condition in step.when[:1]]
    said += [f"and {condition}" for condition in step.when[1:]]
    for call in step.calls:
        command, notes = told(call)
        said += [("$ " if n == 0 else "  ") + line for n, line in enumerate(command)]
        said += [f"({note})" for note in notes] if command else notes
    if step.open:
        said.append(f"(more may follow: {step.open})")
    for number, line in enumerate(said):
        yield f"{step.action if number == 0 else '':<8} {line}"
