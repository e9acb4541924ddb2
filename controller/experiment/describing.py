"""The half of an experiment's face that describes it; it needs no Redis before a deployment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..description.description import Description
from ..description.roster import Target, Targets
from ..errors import NepiqError, UnknownResource
from ..model.lifecycle import Action, State
from .session import Live


class Describing:
    """Registers resources, connections and conditions, and reads and sets attributes.

    Args:
        description: what is described so far.
        live: its link to the run.
    """

    def __init__(self, description: Description, live: Live) -> None:
        self._description = description
        self._live = live

    def deploy(self, guids: Targets | None = None) -> int | None:
        """Have resources deployed."""
        raise NotImplementedError

    def register_resource(
        self,
        rtype: str,
        guid: int | None = None,
        label: str | None = None,
        autoDeploy: bool = False,  # noqa: N803 - NEPI's signature
        connectedTo: Targets | None = None,  # noqa: N803 - NEPI's name
        **attributes: Any,
    ) -> int:
        """Add a resource to the experiment.

        Args:
            rtype: its type, such as ``linux::Application``.
            guid: its number; the next free one by default.
            label: its name, which may be used wherever a guid may; ``application-3`` by default.
            autoDeploy: deploy it at once.
            connectedTo: what to connect it with.
            attributes: values of its attributes.

        Returns:
            Its guid.

        Raises:
            UnknownType, UnknownAttribute, UnknownResource: there is none of this name; the
                message has near misses. Nothing was registered.
            InvalidValue: a value is refused, or the guid or label is taken.
        """
        peers = [] if connectedTo is None else self._resolve(connectedTo)
        with self._live.turn:
            made = self._description.add(rtype, guid, label, **attributes)
            try:
                for peer in peers:
                    self._description.connect(made, peer)
            except NepiqError:
                self._description.remove(made)
                raise
        if autoDeploy:
            self.deploy(made)
        return made

    def register_connection(self, guid1: Target, guid2: Target) -> None:
        """Connect two resources. Connecting the same two again changes nothing.

        Raises:
            NotAllowed: neither has a connection for the other, or it is taken.
        """
        self._live.connect(self.find(guid1), self.find(guid2))

    def register_condition(
        self,
        guids1: Targets,
        action: Action | str,
        guids2: Targets,
        state: State | str,
        time: str | float | None = None,
    ) -> None:
        """Let an action of each of ``guids1`` wait until all of ``guids2`` have reached a state.

        All conditions of an action must hold. They may also be added while the experiment runs.

        Args:
            guids1: whose action waits.
            action: DEPLOY, START or STOP.
            guids2: who must have reached the state.
            state: the state.
            time: how long ago each must have reached it, such as ``"2s"``.

        Raises:
            TooLate: the action has begun.
            ConditionCycle: they would wait for each other; at the latest :meth:`deploy` says so.
        """
        waiting, awaited = self._resolve(guids1), self._resolve(guids2)
        with self._live.turn:
            made = self._description.condition(waiting, action, awaited, state, time)
            try:
                self._live.condition(made)
            except NepiqError:
                self._description.withdraw(made)
                raise

    def find(self, target: Target) -> int:
        """The guid of a resource, given its label or guid.

        Raises:
            UnknownResource: there is none; the message has near misses.
        """
        try:
            return self._description.resolve(target)
        except UnknownResource:
            # Another client of the run may have registered it.
            self._live.learn()
        return self._description.resolve(target)

    def get(self, guid: Target, name: str) -> Any:
        """The present value of an attribute.

        Raises:
            UnknownAttribute: the type has no such attribute.
            NotAllowed: it cannot be read.
        """
        known = self.find(guid)
        return self._description.get(known, name, self._live.attributes(known))

    def set(self, guid: Target, name: str, value: Any) -> None:
        """Set an attribute; on a deployed resource, apply it there before returning.

        Raises:
            UnknownAttribute: the type has no such attribute.
            InvalidValue: the value is refused.
            NotAllowed: the attribute cannot be set, or no longer.
            NepiqError: what the resource raised when it applied the value.
        """
        self._live.set(self.find(guid), name, value)

    def get_global(self, rtype: str, name: str) -> Any:
        """What an attribute is for new resources of a type if it is not given."""
        return self._description.get_global(rtype, name)

    def set_global(self, rtype: str, name: str, value: Any) -> None:
        """Set what an attribute is for resources of a type that are registered from now on."""
        self._description.set_global(rtype, name, value)

    def _resolve(self, targets: Targets) -> list[int]:
        several: Iterable[Target] = (targets,) if isinstance(targets, (int, str)) else targets
        return list(dict.fromkeys(self.find(target) for target in several))
