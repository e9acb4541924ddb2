"""Test harness for resource classes, without a machine, Redis or a worker.

A :class:`Harness` carries out the actions of one resource like a worker, with a
:class:`FakeHost`::

    node = Harness("linux::Node")
    beacon = Harness(Beacon, interval="500ms", node=node)
    beacon.deploy()
    beacon.start()
    assert beacon.state is State.STARTED
    assert node.host.commands == ["beacon --every 0.5"]
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Generic, TypeVar, cast, overload

from ..description.wiring import fitting_connections
from ..errors import InvalidValue, NotAllowed, UnknownAttribute
from ..model import registry
from ..model.actions import Outcome, perform
from ..model.durations import Deadline
from ..model.figures import Outputs, measure
from ..model.host import NO_HOST, Context, Exit, Host, Launch
from ..model.lifecycle import Action, State, advance, implied
from ..model.resource import ResourceManager
from .fake_clock import FakeClock
from .fake_host import Answer, Call, FakeChannel, FakeHost
from .fake_pools import FakePools

__all__ = ["Answer", "Call", "FakeChannel", "FakeClock", "FakeHost", "FakePools", "Harness"]

R = TypeVar("R", bound=ResourceManager)

_ROUND = 0.01  # minimum seconds between two rounds of a step
_guids = count(1)
_log = logging.getLogger(__name__)


class Harness(Generic[R]):
    """One resource, driven like by a worker and the engine.

    Each action is carried out to its end: a hook that returns Later, or raises an error and has
    retries left, is called again on a fresh instance after the fake clock is moved. The final
    error of a hook is raised, and the resource is FAILED; a release ignores errors.

    Attributes:
        cls: the class of the resource.
        guid: its number.
        label: its name.
        host: the fake host that it acts on: its own, or that of the node it is connected to.
        pools: the pools of hosts that its hooks use; set it to share them with other resources.
        clock: the host's clock.
        state: its state.
        milestones: the time of each milestone, by the fake clock.
        attributes: stored values that differ from the default.
        errors: errors of releases.
        acts: False if it is not connected to a host, so that its hooks have none.
    """

    @overload
    def __init__(
        self,
        resource: type[R],
        *,
        label: str = "",
        host: FakeHost | None = None,
        **settings: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: Harness[Any],
        resource: str,
        *,
        label: str = "",
        host: FakeHost | None = None,
        **settings: Any,
    ) -> None: ...

    def __init__(
        self,
        resource: type[R] | str,
        *,
        label: str = "",
        host: FakeHost | None = None,
        **settings: Any,
    ) -> None:
        """Describe a resource.

        Args:
            resource: its class, or the rtype.
            label: its name; by default the class and a number.
            host: the fake host to act on; by default that of the connected node.
            settings: attributes, and connected harnesses (one or a list) by connection name.

        Raises:
            UnknownAttribute: the class has no such attribute or connection.
            InvalidValue: a value is invalid, or a required one is missing.
            NotAllowed: an attribute may not be set by users, or a connection does not fit.
        """
        if isinstance(resource, str):
            self.cls = cast("type[R]", registry.find(resource))
        else:
            self.cls = resource
        self.guid = next(_guids)
        self.label = label or f"{self.cls.__name__.lower()}-{self.guid}"
        self._peers = {
            name: self._check_peers(name, settings.pop(name))
            for name in self.cls.connections
            if settings.get(name) is not None
        }
        self.attributes = self._check_all(settings)
        self._dependencies = [
            peer for name in self.cls.waiting for peer in self._peers.get(name, ())
        ]
        hosts = [peer.host for peer in self._dependencies if peer.acts]
        self.acts: bool = bool(host or hosts or self.cls.provides_host or self.cls.waiting)
        self.host: FakeHost = host or (hosts[0] if hosts else FakeHost())
        self.pools = FakePools()
        self.clock = self.host.clock
        self.state = State.NEW
        self.milestones: dict[State, float] = {}
        self.errors: list[BaseException] = []
        self._start_number = 1

    @property
    def rm(self) -> R:
        """The manager, loaded like for a step; assignments to it do not change the harness."""
        peers = {name: _loader(harnesses) for name, harnesses in self._peers.items()}
        return self.cls.load(
            guid=self.guid,
            label=self.label,
            run_id="run",
            exp_id="test",
            occasion=self._start_number,
            attributes=self.attributes,
            peers=peers,
        )

    def deploy(self) -> None:
        """Deploy the resource, after the peers that it waits for.

        Raises:
            InvalidValue: its ``validate`` refuses the description.
        """
        self.rm.validate(())
        if self.cls.leading and self.rm.shared_work():
            self.attributes[self.cls.leading] = True  # the only one on its host
        for peer in self._dependencies:
            if State.READY not in peer.milestones:
                peer.deploy()
        self._step(Action.DEPLOY)

    def start(self) -> None:
        """Start the resource, or start it again after its end."""
        if self.state in (State.STOPPED, State.FINISHED):
            self._start_number += 1
            for milestone in (State.STARTED, State.STOPPED, State.FINISHED):
                self.milestones.pop(milestone, None)
        self._step(Action.START)

    def stop(self) -> None:
        """Stop the resource."""
        self._step(Action.STOP)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute like a user.

        Raises:
            UnknownAttribute: it has no such attribute.
            InvalidValue: the value is invalid.
            NotAllowed: the flags forbid it, always or after the deployment.
        """
        deployed = self.state is not State.NEW
        stored = self._check(name, value, deployed=deployed)
        if deployed:
            self._step(Action.SET, name, stored)
        else:
            self.attributes[name] = stored

    def release(self) -> None:
        """Release the resource."""
        self._step(Action.RELEASE)

    def exit(self, code: int, *, stdout: bytes = b"", stderr: bytes = b"") -> Exit:
        """End the supervised process, and record the exit like the engine."""
        self._bind()
        record = self.host.exit(code, stdout=stdout, stderr=stderr)
        self._record_exit(record)
        return record

    def _step(self, action: Action, name: str = "", value: Any = None) -> None:
        """Carry out all rounds of a step."""
        advance(self.state, action)
        deadline = Deadline.after(self.rm.deadline_for(action), clock=self.clock)
        attempt = failures = 0
        while True:
            attempt += 1
            outcome = self._round(action, attempt, deadline, name, value, failures)
            if outcome.later is None:
                break
            failures += outcome.error is not None
            self.clock.advance(max(outcome.later, _ROUND))
        self._commit(outcome)

    def _round(
        self,
        action: Action,
        attempt: int,
        deadline: Deadline,
        name: str,
        value: Any,
        failures: int,
    ) -> Outcome:
        self._bind()
        rm = self.rm
        host: Host = self.host if self.acts else NO_HOST
        reached = self._has_reached
        context = Context(
            host, rm.peers, attempt, deadline, _log, pools=self.pools, reached=reached
        )

        def progress(state: State) -> None:
            self.attributes |= rm.changes()
            self._reach(state)

        outcome = perform(
            rm,
            action,
            context,
            progress=progress,
            resume_after=self.state,
            name=name,
            value=value,
            failures=failures,
        )
        self.attributes |= rm.changes()
        return outcome

    def _commit(self, outcome: Outcome) -> None:
        launch = outcome.launch or Launch()
        if outcome.state is not None:
            self._reach(outcome.state, launch.age)
        if outcome.error is not None and outcome.state is not State.RELEASED:
            raise outcome.error
        if outcome.error is not None:
            self.errors.append(outcome.error)
        if launch.exit is not None:
            self._record_exit(launch.exit)
        elif launch.lasts > 0:
            start, end = self._start_number, self.milestones[State.STARTED] + launch.lasts
            self.clock.at(end, lambda: self._finish(start))

    def _finish(self, start: int) -> None:
        """End a resource that lasts for a time, unless it has ended or was started again."""
        if self.state is State.STARTED and self._start_number == start:
            self._reach(State.FINISHED)

    def _has_reached(self, state: State) -> bool:
        never = float("inf")
        return self.milestones.get(state, never) < self.milestones.get(State.FAILED, never)

    def _reach(self, state: State, age: float = 0.0) -> None:
        self.state = state
        for milestone in implied(state, critical=self.rm.critical):
            self.milestones.setdefault(milestone, self.clock() - age)

    def _record_exit(self, record: Exit) -> None:
        if "exitCode" in self.cls.attributes:
            self.attributes["exitCode"] = record.code
        if self.cls.measured and record.outcome != "STOPPED":
            outputs = Outputs(record, lambda path, last: self.host.read(path, offset=-last))
            self.attributes |= measure(self.rm, outputs)
        self._reach(State.parse(record.outcome), record.age)

    def _bind(self) -> None:
        self.host.run_dir = f"/home/user/.nepiq/run/1/{self.guid}/{self._start_number}"

    def _check_peers(self, name: str, value: Any) -> list[Harness[Any]]:
        peers: list[Harness[Any]] = list(value) if isinstance(value, (list, tuple)) else [value]
        for peer in peers:
            if name not in fitting_connections(self.cls, peer.cls):
                raise NotAllowed(
                    f"connection {name!r} does not accept {peer.cls.rtype}", where=self.label
                )
        return peers

    def _check_all(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        stored = {name: self._check(name, value) for name, value in settings.items()}
        missing = [name for name in self.cls.demanded if name not in {*stored, *self._peers}]
        if missing:
            raise InvalidValue("missing: " + ", ".join(missing), where=self.label)
        return stored

    def _check(self, name: str, value: Any, *, deployed: bool = False) -> Any:
        if name not in self.cls.attributes:
            names = [*self.cls.attributes, *self.cls.connections]
            raise UnknownAttribute(name, names, where=self.label)
        attribute = self.cls.attributes[name]
        attribute.check_writable(self.label, deployed=deployed)
        return attribute.check(value, self.cls.rtype)


def _loader(peers: list[Harness[Any]]) -> Callable[[], list[Any]]:
    return lambda: [peer.rm for peer in peers]
