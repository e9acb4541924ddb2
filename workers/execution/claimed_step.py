"""A claimed step: its hook, and the outcome that is committed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from ...controller import errors
from ...controller.engine.redis_errors import contact
from ...controller.engine.run import Run
from ...controller.engine.store.calls import Claim, Outcome
from ...controller.model import actions
from ...controller.model.durations import Backoff, Deadline
from ...controller.model.host import NO_HOST, Context, Host, Launch
from ...controller.model.lifecycle import Action, State
from ...controller.model.resource import ResourceManager
from ..hosts import Attempt, ShellHost
from ..hosts.exchange import ALONE, Exchange
from ..runtime import json_logs
from ..runtime.context import Runtime
from ..runtime.leases import Lease
from ..sessions.session import PAUSE, Session
from . import callbacks, exits, loading
from .attempts import AttemptSummary
from .pools import WorkerPools

log = logging.getLogger("nepiq.steps")

RETRIES = Backoff(0.25, 4.0)
"""Seconds until a step whose host does not answer is retried."""

REDIS_PAUSE = 1.0
"""Seconds until a step that has lost Redis is retried."""


@dataclass(frozen=True)
class Machine:
    """The machine of a host, as the steps on it reach it.

    Attributes:
        node: the resource that provides it.
        session: with it.
    """

    node: ResourceManager
    session: Session


@dataclass
class ClaimedStep:
    """One claimed step, from its hook to its outcome.

    Attributes:
        runtime: of this worker.
        run: the run.
        claim: the claim.
        lease: of the claim.
        summary: collects what became of the steps of a message.
        location: resource and host, once the host is known.
        records: where the records of other resources are read; the run by default.
        machines: those of hosts that are known already, by guid; shared by joint steps.
    """

    runtime: Runtime
    run: Run
    claim: Claim
    lease: Lease
    summary: AttemptSummary
    location: str = ""
    records: loading.Records | None = None
    machines: dict[int, Machine] = field(default_factory=dict)
    _exchange: Exchange = ALONE
    _deadline: Deadline | None = None

    def outcome(self, exchange: Exchange = ALONE) -> Outcome | None:
        """Carry out the step; return None if it was requeued or the claim was lost.

        Args:
            exchange: how its requests reach the host.
        """
        self._exchange = exchange
        with json_logs.within(
            json_logs.step_fields(self.run.run_id, self.claim, self.runtime.name)
        ):
            return self._outcome()

    def _outcome(self) -> Outcome | None:
        if not self.lease.valid:
            self.summary.ended(self.claim, "lost")
            return None
        changes: dict[str, Any] = {}
        try:
            with contact():
                rm = loading.resource(self._records, self.claim)
                done = self._act(rm)
        except Exception as error:  # noqa: BLE001 - a class may raise anything outside of its hooks
            # A FencedError is recorded only if the run has ended on that host; if the claim was
            # lost, the commit is refused.
            done = actions.Outcome(error=error)
        else:
            changes = rm.changes()
            if isinstance(done.error, errors.HostUnreachable) and done.later is None:
                done = replace(done, later=self._retry_delay(rm, done.error))
        if _is_redis_lost(done.error):
            self._put_back(done.error)
            return None
        if done.later is not None:
            self._requeue(done, changes)
            return None
        if done.error is not None:
            return self._failed(done.error, changes)
        return self._done(changes, done.launch)

    def _act(self, rm: ResourceManager) -> actions.Outcome:
        claim, action = self.claim, Action(self.claim.action)
        if self._deadline is None:  # a joint step acts in several rounds
            self._deadline = Deadline.after(self._time_left(rm.deadline_for(action)))
        deadline = self._deadline
        host = None if claim.covered else self._host(rm, deadline)
        if host is None and action is Action.RELEASE:
            return actions.Outcome(state=State.RELEASED)
        if host is None:
            raise errors.NotAllowed("its host has no machine yet", where=self._where())
        if isinstance(host, ShellHost):
            # A thread that waited for an unresponsive host would be missing for other steps.
            try:
                host.attempt.session.check()
            except errors.HostSilent as error:
                return actions.Outcome(error=error)
        context = Context(
            host=host,
            peers=rm.peers,
            attempt=claim.tries,
            deadline=deadline,
            log=self._logger(),
            call=partial(callbacks.call, self.runtime.settings, self.run.run_id),
            pools=WorkerPools(self.runtime, self.run, claim, deadline),
            reached=self._reached,
            wake=self._wake,
        )
        name, value = claim.args if action is Action.SET else ("", None)
        return actions.perform(
            rm,
            action,
            context,
            progress=partial(self._progress, rm),
            resume_after=State(claim.state),
            name=name,
            value=value,
            failures=claim.retried,
        )

    @property
    def _records(self) -> loading.Records:
        return self.run if self.records is None else self.records

    def _time_left(self, allowed: float) -> float:
        # The deadline covers all attempts of a step; `began` is Redis' time, exact to a second.
        if self.claim.tries == 1:
            return allowed
        remaining = allowed - max(0.0, self.runtime.now() - self.claim.began)
        if remaining <= 0:
            raise errors.DeadlineError(
                f"not done within {allowed:g} s, in {self.claim.tries - 1} attempts",
                where=self._where(),
            )
        return remaining

    def _host(self, rm: ResourceManager, deadline: Deadline) -> Host | None:
        """Return the machine that the hooks act on; None if the host has none yet."""
        claim = self.claim
        if claim.host is None or not rm.hooks(Action(claim.action)):
            return NO_HOST
        machine = self.machines.get(claim.host) or self._machine(claim.host)
        if machine is None:
            return None
        self.location = f"{claim.label} on {machine.node.label}"
        return ShellHost(
            Attempt(
                machine.session,
                run_id=self.run.run_id,
                exp_id=self.run.exp_id,
                node=claim.host,
                guid=claim.guid,
                occasion=claim.occ,
                token=claim.token,
                deadline=deadline,
                cancel=self.lease.cancel,
                where=self._where(),
                ahead=self.runtime.ahead,
                inside=self._inside(claim.inside),
                exchange=self._exchange,
                sudo_password=getattr(machine.node, "sudoPassword", None),
            ),
            self.runtime.backend.contents.pieces,
        )

    def _machine(self, guid: int) -> Machine | None:
        """Return the machine of a host; None if the host has none yet."""
        record = self._records.record(guid)
        node = loading.resource(self._records, record)
        if not node.assigned():
            return None
        route = f"{record.queue}@{record.affinity}" if record.affinity and not record.local else ""
        if self.runtime.remnants is not None:
            self.runtime.remnants.note(self.run.run_id, guid, node, route)
        machine = self.machines[guid] = Machine(node, self.runtime.sessions.session(node))
        return machine

    def _inside(self, guid: int | None) -> Callable[[], ResourceManager] | None:
        """Return what loads the emulated host in which the hooks act."""
        if guid is None:
            return None
        records = self._records
        return cache(lambda: loading.resource(records, records.record(guid)))

    def _reached(self, state: State) -> bool:
        with contact():
            reached = self.run.record(self.claim.guid).milestones
        # One that is not critical counts as having reached every state when it FAILED.
        return reached.get(state.name, math.inf) < reached.get("FAILED", math.inf)

    def _wake(self) -> None:
        try:
            self.run.wake(self.claim.step)
        except (RedisError, OSError) as error:  # it is due after its delay
            log.warning("cannot wake %s: %s", self._where(), error, extra={"action": "wake_failed"})

    def _progress(self, rm: ResourceManager, state: State) -> None:
        if self.lease.cancelled:
            raise errors.FencedError("the step was cancelled", where=self._where())
        claim = self.claim
        if not self.run.progress(claim.step, claim.token, state.name, 0.0, rm.changes()):
            raise errors.FencedError("the claim was lost", where=self._where())

    def _retry_delay(self, rm: ResourceManager, error: errors.HostUnreachable) -> float | None:
        """Return the seconds until a step with an unreachable host is retried; None to give up.

        A step on a host that was reached before is retried until the step's deadline. A host that
        was never reached is retried for its boot time when it is deployed, and not at all when it
        is released, since there is nothing to undo.
        """
        claim, action = self.claim, Action(self.claim.action)
        limit = rm.deadline_for(action)
        deploying = action in (Action.DEPLOY, Action.DISCOVER, Action.PROVISION)
        if deploying and claim.host == claim.guid:
            limit = rm.patience()
            if not self._tried_since_start(error):  # leave time for one connection attempt
                limit = max(limit, rm.login().connect_timeout + PAUSE)
        elif action is Action.RELEASE and claim.host is not None:
            reached = self.run.record(claim.host).milestones
            # As in _reached, for the host.
            ready, failed = (reached.get(name, math.inf) for name in ("READY", "FAILED"))
            limit = limit if ready < failed else 0.0
        remaining = limit - max(0.0, self.runtime.now() - claim.began)
        if remaining <= 0 or self.lease.cancelled:
            return None
        return min(RETRIES.pause(claim.tries), remaining)

    def _tried_since_start(self, error: errors.HostUnreachable) -> bool:
        """Return whether the host was tried since this step began; older failures are outdated."""
        if isinstance(error, errors.HostSilent):
            return False
        ago = 0.0 if error.tried is None else time.monotonic() - error.tried
        return ago <= max(0.0, self.runtime.now() - self.claim.began)

    def _requeue(self, done: actions.Outcome, changes: Mapping[str, Any]) -> None:
        claim = self.claim
        kind, error_info, label = "later", None, "again"
        if done.error is not None:
            error_info = self._error_info(done.error)
            # Waiting for a host does not count as one of the retries that the class allows.
            kind = "silent" if isinstance(done.error, errors.HostUnreachable) else "retry"
            label = kind
        accepted = self.run.again(
            claim.step, claim.token, done.later or 0.0, kind, error_info, changes
        )
        self.summary.ended(claim, label if accepted else "stale")

    def _put_back(self, error: BaseException | None) -> None:
        """Put back a step that could not read or write the state of its run."""
        claim = self.claim
        log.warning("%s: %s", self._where(), error, extra={"action": "redis_lost"})
        try:
            accepted = self.run.again(claim.step, claim.token, REDIS_PAUSE, "later")
            self.summary.ended(claim, "again" if accepted else "stale")
        except (RedisError, OSError):  # the sweeper sends it again when the lease is over
            self.summary.ended(claim, "lost")

    def _done(self, changes: dict[str, Any], launch: Launch | None) -> Outcome:
        claim = self.claim
        if launch is None:
            return Outcome(claim.step, claim.token, "ok", attrs=changes)
        if launch.lasts > 0 and launch.exit is None:
            return Outcome(
                claim.step, claim.token, "lasts", launch.age, changes, end_age=launch.lasts
            )
        if launch.exit is None:
            return Outcome(claim.step, claim.token, "ok", age=launch.age, attrs=changes)
        process_exit = launch.exit
        return Outcome(
            claim.step,
            claim.token,
            process_exit.outcome,
            age=launch.age,
            attrs={**changes, **exits.attributes(claim.rtype, process_exit)},
            info=exits.info(process_exit, self.location),
            outputs=process_exit.outputs,
            end_age=process_exit.age,
        )

    def _failed(self, error: BaseException, changes: Mapping[str, Any]) -> Outcome:
        claim = self.claim
        error_info = self._error_info(error)
        stopped = isinstance(error, errors.Cancelled) or self.lease.cancelled
        kind = "cancelled" if stopped and claim.action != "release" else "failed"
        return Outcome(claim.step, claim.token, kind, attrs=changes, info=error_info)

    def _error_info(self, error: BaseException) -> dict[str, Any]:
        expected = isinstance(error, errors.NepiqError)
        log.warning(
            "%s: %s",
            self._where(),
            error if expected else repr(error),
            exc_info=None if expected else error,
            extra={"action": "step_failed", "step": self.claim.step},
        )
        error_info = errors.details(error)
        error_info["where"] = error_info["where"] or self._where()
        return error_info

    def _where(self) -> str:
        return (
            f"{self.location or self.claim.label}, {self.claim.action}, attempt {self.claim.tries}"
        )

    def _logger(self) -> logging.LoggerAdapter[logging.Logger]:
        # Fields of the adapter, since a hook may log in threads of its own.
        fields = json_logs.step_fields(self.run.run_id, self.claim, self.runtime.name)
        return logging.LoggerAdapter(log, {**fields, "about": fields, "action": None})


def _is_redis_lost(error: BaseException | None) -> bool:
    cause = getattr(error, "__cause__", None)
    return isinstance(error, errors.RedisUnreachable) and isinstance(
        cause, (LostConnection, NoAnswer)
    )
