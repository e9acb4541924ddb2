"""Testing resource classes without a machine, Redis or a worker.

A :class:`Harness` carries out the actions of one resource as a worker would, against a
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

from ..description.wiring import fitting
from ..errors import InvalidValue, NotAllowed, UnknownAttribute
from ..model import registry
from ..model.actions import Outcome, perform
from ..model.durations import Deadline
from ..model.host import NO_HOST, Context, Exit, Host, Launch
from ..model.lifecycle import Action, State, advance, implied
from ..model.resource import ResourceManager
from .fakes import Answer, Call, FakeChannel, FakeClock, FakeHost

__all__ = ["Answer", "Call", "FakeChannel", "FakeClock", "FakeHost", "Harness"]

R = TypeVar("R", bound=ResourceManager)

_ROUND = 0.01  # seconds that pass at least between two rounds of a step
_guids = count(1)
_log = logging.getLogger(__name__)


class Harness(Generic[R]):
    """One resource and what a worker and the engine would do with it.

    Each action is carried out to its end: a hook that returns Later, or raises and has tries
    left, is called again on a fresh instance after the fake clock was moved. What a hook raises
    in the end is raised here, with the resource FAILED; only a release goes on past errors.

    Attributes:
        cls: the class of the resource.
        guid: its number.
        label: its name.
        host: the fake host that it acts on; a node's own, or that of the node it is connected
            to.
        clock: the host's clock.
        state: where the resource is.
        milestones: the time of each state it has reached, by the fake clock.
        attributes: stored values that are not the default.
        errors: what releases raised.
        acts: False if it is connected to no host, so that its hooks get none.
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
            label: its name; made from the class and a number if empty.
            host: the fake host to act on, if it is not to be the connected node's.
            settings: attributes, and the connected harnesses (one or a list) by connection name.

        Raises:
            UnknownAttribute: the class has no such attribute or connection.
            InvalidValue: a value is refused, or something that is required is missing.
            NotAllowed: an attribute may not be set by users, or a connection does not fit.
        """
        if isinstance(resource, str):
            self.cls = cast("type[R]", registry.find(resource))
        else:
            self.cls = resource
        self.guid = next(_guids)
        self.label = label or f"{self.cls.__name__.lower()}-{self.guid}"
        self._peers = {
            name: self._fitting(name, settings.pop(name))
            for name in self.cls.connections
            if settings.get(name) is not None
        }
        self.attributes = self._checked(settings)
        self._awaited = [peer for name in self.cls.waiting for peer in self._peers.get(name, ())]
        hosts = [peer.host for peer in self._awaited if peer.acts]
        self.acts: bool = bool(host or hosts or self.cls.provides_host or self.cls.waiting)
        self.host: FakeHost = host or (hosts[0] if hosts else FakeHost())
        self.clock = self.host.clock
        self.state = State.NEW
        self.milestones: dict[State, float] = {}
        self.errors: list[BaseException] = []
        self._occasion = 1

    @property
    def rm(self) -> R:
        """The manager, loaded as for a step; assigning to it changes nothing here."""
        peers = {name: _loader(found) for name, found in self._peers.items()}
        return self.cls.load(
            guid=self.guid,
            label=self.label,
            run_id="run",
            exp_id="test",
            occasion=self._occasion,
            attributes=self.attributes,
            peers=peers,
        )

    def deploy(self) -> None:
        """Deploy it, after the peers that it waits for."""
        for peer in self._awaited:
            if State.READY not in peer.milestones:
                peer.deploy()
        self._step(Action.DEPLOY)

    def start(self) -> None:
        """Start it; again if it has ended."""
        if self.state in (State.STOPPED, State.FINISHED):
            self._occasion += 1
            for milestone in (State.STARTED, State.STOPPED, State.FINISHED):
                self.milestones.pop(milestone, None)
        self._step(Action.START)

    def stop(self) -> None:
        """Stop it."""
        self._step(Action.STOP)

    def set(self, name: str, value: Any) -> None:
        """Change an attribute as a user would.

        Raises:
            UnknownAttribute: it has no such attribute.
            InvalidValue: the value is refused.
            NotAllowed: the flags forbid it, or forbid it after deployment.
        """
        deployed = self.state is not State.NEW
        stored = self._check(name, value, deployed=deployed)
        if deployed:
            self._step(Action.SET, name, stored)
        else:
            self.attributes[name] = stored

    def release(self) -> None:
        """Release it."""
        self._step(Action.RELEASE)

    def exit(self, code: int, *, stdout: bytes = b"", stderr: bytes = b"") -> Exit:
        """Let the process that it supervises end, and take note as the engine would."""
        self._bind()
        ended = self.host.exit(code, stdout=stdout, stderr=stderr)
        self._ended(ended)
        return ended

    def _step(self, action: Action, name: str = "", value: Any = None) -> None:
        """Carry out a step, all its rounds."""
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
        context = Context(host, rm.peers, attempt, deadline, _log)

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
            self._ended(launch.exit)

    def _reach(self, state: State, age: float = 0.0) -> None:
        self.state = state
        for milestone in implied(state, critical=self.rm.critical):
            self.milestones.setdefault(milestone, self.clock() - age)

    def _ended(self, ended: Exit) -> None:
        if "exitCode" in self.cls.attributes:
            self.attributes["exitCode"] = ended.code
        self._reach(State.parse(ended.outcome), ended.age)

    def _bind(self) -> None:
        self.host.run_dir = f"/home/user/.nepiq/run/1/{self.guid}/{self._occasion}"

    def _fitting(self, name: str, given: Any) -> list[Harness[Any]]:
        peers: list[Harness[Any]] = list(given) if isinstance(given, (list, tuple)) else [given]
        for peer in peers:
            if name not in fitting(self.cls, peer.cls):
                raise NotAllowed(f"connection {name!r} takes no {peer.cls.rtype}", where=self.label)
        return peers

    def _checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        stored = {name: self._check(name, value) for name, value in settings.items()}
        missing = [name for name in self.cls.demanded if name not in {*stored, *self._peers}]
        if missing:
            raise InvalidValue("missing: " + ", ".join(missing), where=self.label)
        return stored

    def _check(self, name: str, value: Any, *, deployed: bool = False) -> Any:
        if name not in self.cls.attributes:
            known = [*self.cls.attributes, *self.cls.connections]
            raise UnknownAttribute(name, known, where=self.label)
        attribute = self.cls.attributes[name]
        attribute.check_writable(self.label, deployed=deployed)
        return attribute.check(value, self.cls.rtype)


def _loader(peers: list[Harness[Any]]) -> Callable[[], list[Any]]:
    return lambda: [peer.rm for peer in peers]
