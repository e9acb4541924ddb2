"""Plans as text."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.host import Life
from ...testing.fake_host import Call
from ..words import duration, plural, size
from .planner import PlannedDeployment, PlannedStep

_MAX_LINES = 3
"""Longer commands that only read are abbreviated."""


def _call_text(call: Call) -> tuple[list[str], list[str]]:
    """Return the lines of the command of a call, and notes on the call."""
    if call.verb == "supervise":
        return call.command.splitlines(), [*_conditions(call), *_options(call)]
    if call.verb == "run":
        lines = call.command.splitlines()
        if call.options["mutates"]:
            return lines, [*_options(call)]
        if len(lines) > _MAX_LINES:
            lines = [*lines[:1], f"... {len(lines) - 1} more lines, see --json"]
        return lines, ["read-only; further steps depend on the answer", *_options(call)]
    if call.verb == "configure":
        return call.command.splitlines(), ["as root, together with other changes of the host"]
    if call.verb == "open":
        return call.command.splitlines(), ["interactive"]
    return [], [_action(call)]


def _conditions(call: Call) -> Iterator[str]:
    """Yield when a supervised command counts as STARTED and as FINISHED."""
    options = call.options
    if options["started_when"]:
        limit = duration(options["start_timeout"])
        yield f"STARTED once {options['started_when']}, within {limit}"
    codes = options["ok_exit_codes"]
    if codes is None:
        yield "any exit code is success"
    elif list(codes) != [0]:
        yield f"success with exit code {', '.join(map(str, codes))}"
    if "life" in options:
        yield from _life(options["life"])


def _life(life: Life) -> Iterator[str]:
    """Yield how a supervised command ends, and when it is started again."""
    if life.timeout:
        yield f"ended after {duration(life.timeout)}"
    if life.stop_signal != "TERM":
        yield f"stopped by {life.stop_signal}"
    if life.restart != "no":
        when = "after any end" if life.restart == "always" else "after a failure"
        yield f"restarted {when}" + (f", {life.restarts} times" if life.restarts else "")


def _options(call: Call) -> Iterator[str]:
    if call.options["sudo"]:
        yield "as root"
    if call.options.get("cwd"):
        yield f"in {call.options['cwd']}"
    if call.options.get("started_only"):
        yield "unless the start failed"
    if call.env:
        yield "with " + " ".join(f"{name}={value}" for name, value in call.env.items())
    if call.stdin:
        yield f"reads {size(len(call.stdin))}"


def _action(call: Call) -> str:
    options = call.options
    if call.verb == "prepare":
        actions = [
            action
            for name, action in (
                ("clean_home", "remove files of earlier runs"),
                ("clean_experiment", "remove files of earlier runs of the experiment"),
                ("clean_processes", "end processes of earlier runs of the experiment"),
            )
            if options[name]
        ]
        return ", ".join([*actions, "create the directory of the run"])
    if call.verb == "end":
        return f"end its processes, KILL after {duration(options['grace'])}"
    if call.verb == "clear":
        return "end its remaining processes"
    if call.verb == "unconfigure":
        return "undo its configuration"
    if call.verb == "dismantle":
        removal = " and remove its directory" if options["remove"] else ""
        return f"end remaining processes of the run{removal}"
    amount = f", {size(len(call.stdin))}" if call.verb == "write" else ""
    source = f" from {options['source']}" if call.verb == "put" else ""
    return f"{call.verb} {call.command}{source}{amount}"


def text(plan: PlannedDeployment) -> str:
    """Return a plan as text."""
    hosts = sum(item.is_host for item in plan.resources)
    lines = [
        f"{plan.exp_id}: {plural(len(plan.resources), 'resource')}"
        + (f", {plural(hosts, 'host')}" if hosts else "")
        + (
            "; no resource starts before all are READY"
            if plan.together and len(plan.resources) > 1
            else ""
        )
    ]
    planned_hosts = {item.guid for item in plan.resources if item.is_host}
    for item in plan.resources:
        inner = not item.is_host and item.host in planned_hosts
        on = "" if inner or not item.where else f" on {item.where}"
        head = f"{item.label} ({item.rtype})" + (f": {item.where}" if item.is_host else on)
        indent = "  " if inner else ""
        lines += ["", indent + head]
        lines += [
            f"{indent}  {'builds' if n == 0 else '':<8} {x}" for n, x in enumerate(item.outline)
        ]
        for step in item.steps:
            verbs = [call.verb for call in step.calls]
            if step.action == "release" and verbs in (["clear"], ["unconfigure"]):
                continue  # Every application or configuration has it; omitted for brevity.
            lines += [f"{indent}  {line}".rstrip() for line in _step(step)]
    return "\n".join(lines)


def _step(step: PlannedStep) -> Iterator[str]:
    lines: list[str] = [f"when {condition}" for condition in step.when[:1]]
    lines += [f"and {condition}" for condition in step.when[1:]]
    for call in step.calls:
        command, notes = _call_text(call)
        lines += [("$ " if n == 0 else "  ") + line for n, line in enumerate(command)]
        lines += [f"({note})" for note in notes] if command else notes
    if step.open:
        lines.append(f"(more may follow: {step.open})")
    for number, line in enumerate(lines):
        yield f"{step.action if number == 0 else '':<8} {line}"
