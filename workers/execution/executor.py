"""Carrying out steps: claim, load, call the hook, commit.

Steps without I/O come in batches: one claim, their hooks one after the other, one commit. A step
with I/O comes alone.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...controller import errors
from ...controller.engine.run import Run
from ...controller.engine.store.calls import Due, Early, Grant, Outcome
from ...controller.model import actions
from ...controller.model.durations import Backoff, Deadline
from ...controller.model.host import NO_HOST, Context, Host, Launch
from ...controller.model.lifecycle import Action, State
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, ShellHost
from ..runtime import fault_injection, json_logs
from ..runtime.context import Runtime
from ..runtime.leases import SLOW_HOOK, Lease
from ..sessions.session import PAUSE
from . import callbacks, exits, loading
from .attempts import Account

log = logging.getLogger("nepiq.steps")

WORTH_WAITING = 0.3
"""Seconds that a step may come early and still be waited for by the thread that holds it."""

RETRIES = Backoff(0.25, 4.0)
"""Seconds until a step whose host does not answer is tried again."""


def carry_out(
    runtime: Runtime, run_id: str, steps: Sequence[str], queue: str, apart: bool = False
) -> str:
    """Claim steps of a run and carry out those that were granted.

    Args:
        runtime: this worker's.
        run_id: the run.
        steps: what a message asked for; those that are done, taken or void are passed over.
        queue: where the message came from; what comes early goes back there.
        apart: True if each of them does I/O, so that none shall wait for another.

    Returns:
        What became of them, for people.
    """
    run = runtime.run(run_id)
    if runtime.paused:
        # It was on its way here when the clock was found to be wrong; the sweeper sends it again.
        return "the clock of this machine is wrong"
    nonce = secrets.token_hex(6)
    asked = time.monotonic()
    answers = run.claim(steps, nonce, runtime.name, runtime.machine)
    granted = [answer for answer in answers if isinstance(answer, Grant)]
    runtime.metrics.claimed(granted)
    account = Account(runtime.metrics)
    if apart:
        _spread(runtime, run, granted, account, asked)
    elif granted:
        _execute(runtime, run, granted, account, asked)
    early = [answer for answer in answers if isinstance(answer, Early)]
    if early:
        return _come_back(runtime, run, early, queue, apart)
    return str(account)


def _spread(
    runtime: Runtime, run: Run, grants: Sequence[Grant], account: Account, asked: float
) -> None:
    """Carry out steps at the same time, each in a thread of its own."""
    threads = [
        threading.Thread(target=_execute, args=(runtime, run, [grant], account, asked), daemon=True)
        for grant in grants[1:]
    ]
    for thread in threads:
        thread.start()
    if grants:
        _execute(runtime, run, grants[:1], account, asked)
    for thread in threads:
        thread.join()


def _come_back(runtime: Runtime, run: Run, early: Sequence[Early], queue: str, apart: bool) -> str:
    """What came early (this machine's clock is ahead) is waited for, or sent again for later."""
    wait = max(item.seconds for item in early)
    steps = [item.step for item in early]
    if wait <= WORTH_WAITING:
        time.sleep(wait)
        return carry_out(runtime, run.run_id, steps, queue, apart)
    batch = len(steps) > 1 and not apart
    due = [Due(item.step, item.seconds, queue, batch, item.step) for item in early]
    runtime.stack.publisher.submit(run.run_id, due)
    return f"too early by {wait:.3f} s"


def _execute(
    runtime: Runtime, run: Run, grants: Sequence[Grant], account: Account, asked: float
) -> None:
    with runtime.keeper.holding(run, grants, asked) as leases:
        if len(grants) == 1:
            fault_injection.point("claimed", grants[0].label)
            outcome = _Step(runtime, run, grants[0], leases[0], account).outcome()
            fault_injection.point("acted", grants[0].label)
            if outcome is not None:
                account.committed(grants[0], outcome.kind, runtime.commit(run, outcome))
                _look_after(runtime, grants[0], outcome)
        else:
            _Batch(runtime, run, list(zip(grants, leases, strict=True)), account).work()


def _look_after(runtime: Runtime, grant: Grant, outcome: Outcome) -> None:
    deployed_host = grant.action == "deploy" and grant.host == grant.guid
    if deployed_host and outcome.kind == "ok" and runtime.watcher is not None:
        runtime.watcher.poke()


class _Batch:
    """Several claimed steps without I/O.

    If a hook hangs, what waits behind it is given back to the queue, and what is done is
    committed, by the lease keeper's thread.
    """

    def __init__(
        self, runtime: Runtime, run: Run, items: list[tuple[Grant, Lease]], account: Account
    ) -> None:
        self._runtime = runtime
        self._run = run
        self._account = account
        self._waiting = items[::-1]
        self._done: list[tuple[Grant, Lease, Outcome]] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def work(self) -> None:
        """Carry out the steps one after the other and commit them together."""
        with self._runtime.keeper.alarm(SLOW_HOOK, self._check):
            while True:
                with self._lock:
                    if not self._waiting:
                        break
                    grant, lease = self._waiting.pop()
                    self._began = time.monotonic()
                outcome = _Step(self._runtime, self._run, grant, lease, self._account).outcome()
                if outcome is not None:
                    with self._lock:
                        self._done.append((grant, lease, outcome))
        self._commit()

    def _commit(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        if done:
            statuses = self._run.commit([outcome for _, _, outcome in done])
            self._runtime.keeper.drop([lease for _, lease, _ in done])
            for (grant, _, outcome), status in zip(done, statuses, strict=True):
                self._account.committed(grant, outcome.kind, status)

    def _check(self) -> float | None:
        slow = time.monotonic() - self._began
        if slow < SLOW_HOOK:
            # The batch is long, not stuck; look at it again when this hook would be slow.
            return SLOW_HOOK - slow
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for grant, _ in waiting:
            self._run.again(grant.step, grant.token, 0.0, "later")
            self._account.ended(grant, "again")
        self._runtime.keeper.drop([lease for _, lease in waiting])
        self._commit()
        return None


@dataclass
class _Step:
    """One claimed step."""

    runtime: Runtime
    run: Run
    grant: Grant
    lease: Lease
    account: Account
    place: str = ""

    def outcome(self) -> Outcome | None:
        """Carry it out; None if it has been put back, or is not ours any more."""
        with json_logs.within(json_logs.about(self.run.run_id, self.grant, self.runtime.name)):
            return self._outcome()

    def _outcome(self) -> Outcome | None:
        if not self.lease.valid:
            self.account.ended(self.grant, "lost")
            return None
        try:
            rm = loading.resource(self.run, self.grant)
            done = self._act(rm)
        except Exception as error:  # noqa: BLE001 - a class may raise anything outside of its hooks
            # FencedError: not ours any more, unless the run has ended on that host: then it is
            # over here too.
            return self._failed(error, {})
        if isinstance(done.error, errors.HostUnreachable) and done.later is None:
            done = replace(done, later=self._patience(rm, done.error))
        if done.later is not None:
            self._put_back(done, rm.changes())
            return None
        if done.error is not None:
            return self._failed(done.error, rm.changes())
        return self._done(rm, done.launch)

    def _act(self, rm: ResourceManager) -> actions.Outcome:
        grant, action = self.grant, Action(self.grant.action)
        deadline = Deadline.after(self._time_left(rm.deadline_for(action)))
        host = self._host(rm, deadline)
        if isinstance(host, ShellHost):
            # No thread waits for a host that does not answer, so that others are not kept waiting.
            try:
                host.attempt.session.check()
            except errors.HostSilent as error:
                return actions.Outcome(error=error)
        context = Context(
            host=host,
            peers=rm.peers,
            attempt=grant.tries,
            deadline=deadline,
            log=self._logger(),
            call=partial(callbacks.call, self.runtime.settings, self.run.run_id),
        )
        name, value = grant.args if action is Action.SET else ("", None)
        return actions.perform(
            rm,
            action,
            context,
            progress=partial(self._progress, rm),
            resume_after=State(grant.state),
            name=name,
            value=value,
            failures=grant.retried,
        )

    def _time_left(self, allowed: float) -> float:
        # A deadline counts over all rounds of a step; `began` is Redis' time, good to a second.
        if self.grant.tries == 1:
            return allowed
        left = allowed - max(0.0, self.runtime.now() - self.grant.began)
        if left <= 0:
            raise errors.DeadlineError(
                f"not done within {allowed:g} s, in {self.grant.tries - 1} attempts",
                where=self._where(),
            )
        return left

    def _host(self, rm: ResourceManager, deadline: Deadline) -> Host:
        grant = self.grant
        if grant.host is None or not rm.hooks(Action(grant.action)):
            return NO_HOST
        record = self.run.record(grant.host)
        node = loading.resource(self.run, record)
        way = f"{record.queue}@{record.home}" if record.home and not record.local else ""
        if self.runtime.remnants is not None:
            self.runtime.remnants.note(self.run.run_id, grant.host, node, way)
        self.place = f"{grant.label} on {node.label}"
        return ShellHost(
            Attempt(
                self.runtime.sessions.session(node),
                run_id=self.run.run_id,
                exp_id=self.run.exp_id,
                node=grant.host,
                guid=grant.guid,
                occasion=grant.occ,
                token=grant.token,
                deadline=deadline,
                cancel=self.lease.cancel,
                where=self._where(),
                sudo_password=getattr(node, "sudoPassword", None),
            )
        )

    def _progress(self, rm: ResourceManager, state: State) -> None:
        if self.lease.cancelled:
            raise errors.FencedError("asked to stop", where=self._where())
        grant = self.grant
        if not self.run.progress(grant.step, grant.token, state.name, 0.0, rm.changes()):
            raise errors.FencedError("the claim was lost", where=self._where())

    def _patience(self, rm: ResourceManager, error: errors.HostUnreachable) -> float | None:
        """Seconds until a step is tried again whose host does not answer; None to give up.

        What has to be done on a host that is known to be there waits for it as long as the step
        may take. A host that was never reached is given its own time to boot, and none for the
        release: nothing of it has to be undone.
        """
        grant, action = self.grant, Action(self.grant.action)
        patience = rm.deadline_for(action)
        deploying = action in (Action.DEPLOY, Action.DISCOVER, Action.PROVISION)
        if deploying and grant.host == grant.guid:
            patience = rm.patience()
            if not self._found_out(error):  # somebody else is about to, or this step will
                patience = max(patience, rm.login().connect_timeout + PAUSE)
        elif action is Action.RELEASE and grant.host is not None:
            reached = self.run.record(grant.host).milestones
            # One that is not critical counts as READY from the moment in which it FAILED.
            ready, failed = (reached.get(name, math.inf) for name in ("READY", "FAILED"))
            patience = patience if ready < failed else 0.0
        left = patience - max(0.0, self.runtime.now() - grant.began)
        if left <= 0 or self.lease.cancelled:
            return None
        return min(RETRIES.pause(grant.tries), left)

    def _found_out(self, error: errors.HostUnreachable) -> bool:
        """True if the host was tried since this step began: earlier failures say nothing of now."""
        if isinstance(error, errors.HostSilent):
            return False
        ago = 0.0 if error.tried is None else time.monotonic() - error.tried
        return ago <= max(0.0, self.runtime.now() - self.grant.began)

    def _put_back(self, done: actions.Outcome, changes: Mapping[str, Any]) -> None:
        grant = self.grant
        kind, told, called = "later", None, "again"
        if done.error is not None:
            told = self._told(done.error)
            # Waiting for a host uses up none of the retries that the class allows.
            kind = "silent" if isinstance(done.error, errors.HostUnreachable) else "retry"
            called = kind
        ours = self.run.again(grant.step, grant.token, done.later or 0.0, kind, told, changes)
        self.account.ended(grant, called if ours else "stale")

    def _done(self, rm: ResourceManager, launch: Launch | None) -> Outcome:
        grant, changes = self.grant, rm.changes()
        if launch is None:
            return Outcome(grant.step, grant.token, "ok", attrs=changes)
        if launch.exit is None:
            return Outcome(grant.step, grant.token, "ok", age=launch.age, attrs=changes)
        ended = launch.exit
        return Outcome(
            grant.step,
            grant.token,
            ended.outcome,
            age=launch.age,
            attrs={**changes, **exits.attributes(grant.rtype, ended)},
            info=exits.info(ended, self.place),
            outputs=ended.outputs,
            end_age=ended.age,
        )

    def _failed(self, error: BaseException, changes: Mapping[str, Any]) -> Outcome:
        grant = self.grant
        told = self._told(error)
        stopped = isinstance(error, errors.Cancelled) or self.lease.cancelled
        kind = "cancelled" if stopped and grant.action != "release" else "failed"
        return Outcome(grant.step, grant.token, kind, attrs=changes, info=told)

    def _told(self, error: BaseException) -> dict[str, Any]:
        expected = isinstance(error, errors.NepiqError)
        log.warning(
            "%s: %s",
            self._where(),
            error if expected else repr(error),
            exc_info=None if expected else error,
            extra={"action": "step_failed", "step": self.grant.step},
        )
        told = errors.details(error)
        told["where"] = told["where"] or self._where()
        return told

    def _where(self) -> str:
        return f"{self.place or self.grant.label}, {self.grant.action}, attempt {self.grant.tries}"

    def _logger(self) -> logging.LoggerAdapter[logging.Logger]:
        # Given along, since a hook may log in threads of its own.
        told = json_logs.about(self.run.run_id, self.grant, self.runtime.name)
        return logging.LoggerAdapter(log, {**told, "about": told, "action": None})
