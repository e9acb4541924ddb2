"""Execution of one round of one step by the hooks of a resource manager.

Workers and the test harness both call :func:`perform`, so that hooks run the same way in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import (
    Cancelled,
    DeadlineError,
    FencedError,
    HostUnreachable,
    InvalidValue,
    UnknownAttribute,
)
from ..errors.text import quoted
from . import figures
from .hooks import Hook, Later
from .host import Context, Exit, Launch
from .lifecycle import DEPLOYMENT, MOVES, Action, State
from .resource import ResourceManager

#: Called with each milestone that a deployment reaches before its last.
Progress = Callable[[State], None]

# Not retried: there is no time left, or the result is no longer needed.
_FINAL = (DeadlineError, Cancelled)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one round of a step.

    Attributes:
        state: the state to commit; None if it does not change or the step continues.
        launch: the launch that ``do_start`` returned, or None.
        later: seconds until the next round of the step; None if the step has ended.
        error: the error that a hook raised. With ``later``: the failure that is retried, to be
            counted in ``failures`` of the next round. With a state FAILED: its cause. With
            RELEASED: an error of a release, which counts as done. Without a state: why a set
            failed.
        hook: the name of the last hook called; empty if the class has none for the action.
    """

    state: State | None = None
    launch: Launch | None = None
    later: float | None = None
    error: BaseException | None = None
    hook: str = ""


_DEPLOYING = (Action.DEPLOY, Action.DISCOVER, Action.PROVISION)


def perform(
    rm: ResourceManager,
    action: Action,
    context: Context,
    *,
    progress: Progress | None = None,
    resume_after: State | None = None,
    until: State | None = None,
    name: str = "",
    value: Any = None,
    failures: int = 0,
) -> Outcome:
    """Run one round of a step: call the hooks of its action in order.

    Args:
        rm: the manager, freshly loaded.
        action: the action of the step.
        context: the argument of the hooks.
        progress: called with each milestone before the last one as it is reached; its errors end
            the round.
        resume_after: of a deployment, the last milestone reached in earlier rounds.
        until: of a deployment, the milestone to end with; READY if None.
        name: of a set, the attribute.
        value: of a set, the new value as users write it.
        failures: number of errors of hooks in earlier rounds of this step.

    Returns:
        The outcome to commit, or the delay of the next round. It includes errors of hooks.

    Raises:
        FencedError: another attempt owns the step, so nothing may be committed.
    """
    if action is Action.SET:
        return _set(rm, context, name, value, failures)
    target = MOVES[action].target if until is None else until
    hook = Hook(target, "")
    launch: Launch | None = None
    for hook in _remaining_hooks(rm, action, resume_after, until):
        answer = _call(rm, hook, action, failures, context)
        if isinstance(answer, Outcome):
            return answer
        if isinstance(answer, Launch):
            launch = answer
        if progress is not None and hook.milestone is not target and hook.milestone is not None:
            progress(hook.milestone)
    ended = Exit(None, "STOPPED") if action is Action.STOP else launch and launch.exit
    if ended and rm.measured:
        try:
            figures.take(rm, ended, context)
        except HostUnreachable as error:
            return _failure(action, hook, error)
    return Outcome(state=target, launch=launch, hook=hook.name)


def _remaining_hooks(
    rm: ResourceManager, action: Action, resume_after: State | None, until: State | None
) -> list[Hook] | tuple[Hook, ...]:
    hooks = rm.hooks(action)
    if action not in _DEPLOYING or (resume_after is None and until is None):
        return hooks
    first = DEPLOYMENT.index(resume_after) + 1 if resume_after in DEPLOYMENT else 0
    last = DEPLOYMENT.index(until) + 1 if until is not None else len(DEPLOYMENT)
    milestones = DEPLOYMENT[first:last]
    return [hook for hook in hooks if hook.milestone in milestones]


def _set(rm: ResourceManager, context: Context, name: str, value: Any, failures: int) -> Outcome:
    attribute = rm.attributes.get(name)
    if attribute is None:
        return Outcome(error=UnknownAttribute(name, rm.attributes, where=rm.label))
    try:
        stored = attribute.check(value, rm.rtype)
    except InvalidValue as error:
        return Outcome(error=error)
    for hook in rm.hooks(Action.SET):
        answer = _call(rm, hook, Action.SET, failures, context, name, attribute.parse(stored))
        if isinstance(answer, Outcome):
            return answer
    if name not in rm.changes():
        rm.assign(name, stored)
    return Outcome()


def _call(
    rm: ResourceManager,
    hook: Hook,
    action: Action,
    failures: int,
    context: Context,
    *args: Any,
) -> Outcome | Launch | None:
    """Call one hook; an Outcome ends the round."""
    if context.deadline.expired:
        return _failure(action, hook, DeadlineError(f"the deadline passed before {hook.name}"))
    try:
        answer = getattr(rm, hook.name)(context, *args)
    except FencedError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - nor may sys.exit() end a worker
        retry = rm.retries.get(hook.name)
        wait = None if retry is None or isinstance(error, _FINAL) else retry.wait(failures + 1)
        if wait is None:
            return _failure(action, hook, error)
        return Outcome(later=wait, error=error, hook=hook.name)
    if answer is None or (isinstance(answer, Launch) and action is Action.START):
        return answer
    if isinstance(answer, Later):
        return Outcome(later=answer.seconds, hook=hook.name)
    types = "Launch, Later or None" if action is Action.START else "Later or None"
    problem = TypeError(f"{hook.name} returned {quoted(answer)} instead of {types}")
    return _failure(action, hook, problem)


def _failure(action: Action, hook: Hook, error: BaseException) -> Outcome:
    if action is Action.SET:
        return Outcome(error=error, hook=hook.name)
    state = State.RELEASED if action is Action.RELEASE else State.FAILED
    return Outcome(state=state, error=error, hook=hook.name)
