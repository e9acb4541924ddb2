"""The walk over a manager's hooks that carries out one round of one step.

Workers and the test harness both call :func:`perform`; neither knows the hooks themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import Cancelled, DeadlineError, FencedError, InvalidValue, UnknownAttribute
from ..errors.text import quoted
from .hooks import Hook, Later
from .host import Context, Launch
from .lifecycle import DEPLOYMENT, MOVES, Action, State
from .resource import ResourceManager

#: Called with each milestone that a deployment reaches before its last.
Progress = Callable[[State], None]

# Trying again cannot help: there is no time left, or nobody wants the result.
_FINAL = (DeadlineError, Cancelled)


@dataclass(frozen=True)
class Outcome:
    """How one round of a step ended.

    Attributes:
        state: the state to commit; None if the step leaves it alone or is not over.
        launch: what ``do_start`` launched, if it did.
        later: seconds until the step's next round; None if the step is over.
        error: what a hook raised. With ``later``: the failure that is tried again, to be counted
            in ``failures`` of the next round. With a state FAILED: why. With RELEASED: what
            went wrong in a release that counts all the same. Without a state: why a set failed.
        hook: the name of the hook that answered last; empty if the class has none to call.
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
    """Carry out one round of a step: call the hooks of its action in order.

    Args:
        rm: the manager, freshly loaded.
        action: what to do.
        context: what the hooks may use.
        progress: called with each milestone on the way to the last one, as it is reached; what
            it raises ends the round.
        resume_after: of a deployment, the last milestone reached in earlier rounds.
        until: of a deployment, the milestone to end with; READY if None.
        name: of a set, the attribute.
        value: of a set, the new value as users write it.
        failures: how often a hook of this step has raised in earlier rounds.

    Returns:
        What is to be committed, or when to call again. Errors of hooks are in the outcome.

    Raises:
        FencedError: the step belongs to somebody else now, so nothing is to be committed.
    """
    if action is Action.SET:
        return _set(rm, context, name, value, failures)
    target = MOVES[action].target if until is None else until
    hook = Hook(target, "")
    launch: Launch | None = None
    for hook in _remaining(rm, action, resume_after, until):
        answer = _call(rm, hook, action, failures, context)
        if isinstance(answer, Outcome):
            return answer
        if isinstance(answer, Launch):
            launch = answer
        if progress is not None and hook.milestone is not target and hook.milestone is not None:
            progress(hook.milestone)
    return Outcome(state=target, launch=launch, hook=hook.name)


def _remaining(
    rm: ResourceManager, action: Action, resume_after: State | None, until: State | None
) -> list[Hook] | tuple[Hook, ...]:
    hooks = rm.hooks(action)
    if action not in _DEPLOYING or (resume_after is None and until is None):
        return hooks
    first = DEPLOYMENT.index(resume_after) + 1 if resume_after in DEPLOYMENT else 0
    last = DEPLOYMENT.index(until) + 1 if until is not None else len(DEPLOYMENT)
    wanted = DEPLOYMENT[first:last]
    return [hook for hook in hooks if hook.milestone in wanted]


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
        return _failure(action, hook, DeadlineError(f"no time left for {hook.name}"))
    try:
        answer = getattr(rm, hook.name)(context, *args)
    except FencedError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - not even sys.exit() ends a worker
        retry = rm.retries.get(hook.name)
        wait = None if retry is None or isinstance(error, _FINAL) else retry.wait(failures + 1)
        if wait is None:
            return _failure(action, hook, error)
        return Outcome(later=wait, error=error, hook=hook.name)
    if answer is None or (isinstance(answer, Launch) and action is Action.START):
        return answer
    if isinstance(answer, Later):
        return Outcome(later=answer.seconds, hook=hook.name)
    wanted = "Launch, Later or None" if action is Action.START else "Later or None"
    problem = TypeError(f"{hook.name} returned {quoted(answer)}; a hook returns {wanted}")
    return _failure(action, hook, problem)


def _failure(action: Action, hook: Hook, error: BaseException) -> Outcome:
    if action is Action.SET:
        return Outcome(error=error, hook=hook.name)
    state = State.RELEASED if action is Action.RELEASE else State.FAILED
    return Outcome(state=state, error=error, hook=hook.name)
