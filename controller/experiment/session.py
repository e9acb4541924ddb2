"""A client's session with its run: changes the description, uploads it, acts and waits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..description.roster import Target, Targets
from ..engine.redis_errors import contact
from ..errors import NepiqError, NotAllowed
from ..model.durations import seconds
from ..model.lifecycle import Action, State
from ..model.spec import ResourceSpec
from . import waiting
from .announcement import announced
from .link import Link
from .replica import Replica
from .uploads import Prepared, Uploads

if TYPE_CHECKING:
    from ..description.conditions import Condition

log = logging.getLogger("nepiq.experiment")


class RunSession:
    """Changes a description and its run.

    Args:
        replica: the run, as far as this client knows it.
        quiet: do not log the failure that ends a wait.

    Attributes:
        replica, quiet: as given.
    """

    def __init__(self, replica: Replica, *, quiet: bool) -> None:
        self.replica = replica
        self.quiet = quiet
        self._description = replica.description
        self._uploads = Uploads(replica)
        self._logged = False

    # -- describing ---------------------------------------------------------------------------

    def register(
        self,
        rtype: str,
        guid: int | None,
        label: str | None,
        peers: Targets | None,
        attributes: Mapping[str, Any],
    ) -> int:
        """Add a resource to the description and connect it; return its guid."""
        numbers = [] if peers is None else self.replica.resolve(peers)
        with self.replica.turn:
            made = self._description.add(rtype, guid, label, **attributes)
            try:
                for peer in numbers:
                    self._description.connect(made, peer)
            except NepiqError:
                self._description.remove(made)
                raise
        return made

    def connect(self, one: int, two: int) -> None:
        """Connect two resources.

        Raises:
            NotAllowed: the one that records the connection has been deployed already.
        """
        with self.replica.turn, self._description.lock:
            items = [self._description.resource(guid) for guid in (one, two)]
            before = [{name: list(guids) for name, guids in item.peers.items()} for item in items]
            self._description.connect(one, two)
            changed = [i for i, peers in zip(items, before, strict=True) if i.peers != peers]
            if changed and all(item.guid in self.replica.uploaded for item in changed):
                for item, peers in zip(items, before, strict=True):
                    item.peers = peers
                raise NotAllowed(
                    "it is deployed, so it cannot be connected any more", where=changed[0].label
                )

    def remove(self, guid: int) -> None:
        """Remove a resource from the description.

        Raises:
            NotAllowed: it is in the run already.
        """
        with self.replica.turn:
            if guid in self.replica.uploaded:
                raise NotAllowed(
                    "it is in the run, so it cannot be removed",
                    where=self._description.label(guid),
                    hint="release it instead",
                )
            self._description.remove(guid)

    def register_condition(
        self,
        guids: Targets,
        action: Action | str,
        targets: Targets,
        state: State | str,
        time: str | float | None,
    ) -> None:
        """Add conditions to the description, and to the run for resources that are in it."""
        waiting_guids, targets = self.replica.resolve(guids), self.replica.resolve(targets)
        with self.replica.turn:
            made = self._description.condition(waiting_guids, action, targets, state, time)
            try:
                self._add_late([one for one in made if one.guid in self.replica.uploaded])
            except NepiqError:
                self._description.withdraw(made)
                raise

    def _add_late(self, late: Sequence[Condition]) -> None:
        """Add conditions of resources that are in the run, in a turn."""
        link = self.replica.link
        if not late or link is None:
            return
        self._check([], self.replica.closed_groups())
        with contact():
            self._uploads.write(link, self._uploads.closure(condition.target for condition in late))
            for guid, action, target, milestone, offset in late:
                link.run.condition(guid, action.value, target, milestone.value, offset)

    # -- acting -------------------------------------------------------------------------------

    def deploy(self, targets: Targets | None, group: int | str | None) -> int | None:
        """Check, upload and deploy resources that are not deployed yet.

        Args:
            targets: the resources, all by default.
            group: the group to join; ``new`` for a new one, None for no group.

        Returns:
            Their group; None if there is none, or if all are deployed already.
        """
        replica = self.replica
        guids = replica.resources() if targets is None else replica.resolve(targets)
        guids = [guid for guid in guids if guid not in replica.deployed]
        if not guids:
            return None
        joint: list[int] = []  # resources that act for several of them

        def check() -> list[int]:
            replica.catch_up()
            joint[:] = self._description.complete(guids)
            every = [*guids, *(guid for guid in joint if guid not in replica.deployed)]
            name = "of this deploy" if group == "new" else str(group)
            groups = replica.closed_groups()
            if group is not None:
                groups[name] = [*groups.get(name, ()), *every]
            self._check(every, groups)
            return every

        def prepare() -> Prepared:
            every = check()
            specs = self._uploads.closure(every, deployed=frozenset(every))
            chosen = [specs.get(guid) or self._description.spec(guid) for guid in every]
            return specs, chosen

        def deploy(link: Link, chosen: Sequence[ResourceSpec]) -> int | None:
            every = [spec.guid for spec in chosen]
            self._limit_absence(link, every)
            joined = link.run.deploy(every, group)
            self._mark_deployed(every)
            self._warn_of_absent(chosen)
            return joined

        try:
            self._uploads.bring(guids, check)
            return self._uploads.send(prepare, deploy)
        except NepiqError:
            # A later deployment may be of other resources.
            with replica.turn:
                for guid in joint:
                    if guid not in replica.uploaded and guid in self._description:
                        self._description.remove(guid)
            raise

    def _limit_absence(self, link: Link, guids: Iterable[int]) -> None:
        """Have the run released without a client if it has resources that require this."""
        classes = [self._description.resource(guid).cls for guid in guids]
        limits = [cls.unattended for cls in classes if cls.unattended is not None]
        if limits and self.replica.owned and self.replica.release_after is None:
            link.attend(min(limits))

    def detach(self) -> None:
        """Let the run go on without a client, unless its user has limited that."""
        self.replica.owned = False
        link = self.replica.link
        if link is not None:
            link.stop_attending()

    def deploy_alone(self, guid: int) -> None:
        """Deploy one resource outside of any group, without the checks of deploy()."""
        self._uploads.bring([guid], lambda: None)

        def prepare() -> Prepared:
            specs = self._uploads.closure([guid], deployed=frozenset([guid]))
            return specs, [specs.get(guid) or self._description.spec(guid)]

        def deploy(link: Link, _: Sequence[ResourceSpec]) -> None:
            link.run.deploy([guid], None)
            self._mark_deployed([guid])

        self._uploads.send(prepare, deploy)

    def _mark_deployed(self, guids: Iterable[int]) -> None:
        with self._description.lock:
            self.replica.deployed.update(guids)

    def set(self, guid: int, name: str, value: Any) -> None:
        """Set an attribute, in the run too if the resource is in it."""
        replica = self.replica
        with replica.turn:
            item = self._description.resource(guid)
            deployed = guid in replica.deployed
            stored = self._description.checked(guid, name, value, deployed=deployed)
            if replica.link is None or guid not in replica.uploaded:
                self._description.note(guid, {name: stored})
                return
        link = replica.opened()
        link.act(guid, item.label, "set", [name, stored])
        if link.patient:
            # Another thread may have set it since.
            replica.refresh(guid)
        else:
            self._description.note(guid, {name: stored})

    def enable_trace(self, guid: Target, name: str) -> None:
        """Have a trace written; see :meth:`ExperimentController.enable_trace`."""
        item = self._description.resource(guid)
        switch = item.trace_switch(name)
        if switch and name not in (enabled := item.enabled_traces(switch)):
            self.set(item.guid, switch, [*enabled, name])

    def trace_enabled(self, guid: Target, name: str) -> bool:
        """Return whether a trace is written."""
        item = self._description.resource(guid)
        switch = item.trace_switch(name)
        return not switch or name in item.enabled_traces(switch)

    def act(self, guid: int, action: str) -> None:
        """Have one resource carry out an action now; return when it has, raise what it raised."""
        self.replica.required(guid).act(guid, self._description.label(guid), action)

    def act_early(self, guid: int, action: str) -> None:
        """Act on a resource that need not be deployed, as :meth:`act`.

        Raises:
            NotAllowed: a resource that it lives on is not READY, or its state does not allow it.
        """
        item = self._description.resource(guid)
        for peer in item.awaited():
            if not self.replica.current.reached(peer, State.READY):
                raise NotAllowed(
                    f"cannot {action}: {self._description.label(peer)} is not READY",
                    where=item.label,
                    hint="deploy that first, and wait_deployed() for it",
                )

        def prepare() -> Prepared:
            return self._uploads.closure([guid]), [self._description.spec(guid)]

        self._uploads.send(prepare, lambda link, _: None)
        self.replica.opened().act(guid, item.label, action)

    def start_with_conditions(self, guid: int) -> None:
        """Start a resource again that has ended, when its conditions hold; return at once."""
        if self.replica.current.state(guid) in (State.STOPPED, State.FINISHED):
            self.replica.required(guid).request(guid, "start")

    def stop_with_conditions(self, guid: int) -> None:
        """Stop a resource now if it has no STOP condition; return at once."""
        conditions = self._description.resource(guid).conds
        if not any(condition.action is Action.STOP for condition in conditions):
            self.replica.required(guid).request(guid, "stop")

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Within this, start, stop, set and release of this thread return once recorded."""
        with self.replica.open().hasty():
            yield

    def release(self, guids: Sequence[int] | None, timeout: float | None = None) -> None:
        """Release resources, all for None, and wait for it."""
        link = self.replica.link
        if link is None:
            return
        uploaded = self.replica.uploaded
        chosen = None if guids is None else [guid for guid in guids if guid in uploaded]
        if chosen != []:
            link.release(chosen, timeout)

    # -- waiting ------------------------------------------------------------------------------

    def wait(
        self, targets: Targets | None, goal: waiting.Goal, timeout: str | float | None
    ) -> bool:
        """Wait until resources fulfil a goal; log the failure of the experiment the first time.

        Args:
            targets: the resources; by default all deployed ones, without hosts if they are to end.
            goal: what to wait for.
            timeout: the longest time to wait; None for no limit.

        Returns:
            False if the experiment failed.

        Raises:
            NotAllowed: one of them has not been deployed, so that it never would.
        """
        replica = self.replica
        if targets is not None:
            guids = replica.resolve(targets)
        elif goal is waiting.FINISHED:
            guids = replica.deployed_but_hosts()
        else:
            guids = replica.all_deployed()
        if goal is waiting.RELEASED:
            guids = [guid for guid in guids if guid in replica.uploaded]
        else:
            replica.require_deployed(guids)
        link = replica.link
        limit = None if timeout is None else seconds(timeout)
        done = link is None or link.wait(guids, goal, limit)
        if not done and not (self.quiet or announced()) and self._first_failure():
            log.error("%s", replica.current.failed())
        return done

    def _first_failure(self) -> bool:
        """Return True for the first thread that calls it."""
        with self._description.lock:
            first, self._logged = not self._logged, True
            return first

    # -- inside -------------------------------------------------------------------------------

    def _check(self, guids: Sequence[int], groups: dict[str, list[int]]) -> None:
        """Refuse what can never happen, given what has happened already."""
        states: dict[int, State] = {}
        replica = self.replica
        if replica.link is not None and replica.uploaded:
            replica.recall_conditions()
            with contact():
                snapshot = replica.link.run.snapshot(sorted(replica.uploaded))
            states = {guid: State(state) for guid, state in snapshot.states.items()}
        self._description.check(guids, groups, states)

    def _warn_of_absent(self, specs: Iterable[ResourceSpec]) -> None:
        label = self._description.label
        for spec in specs:
            for gate in spec.gates:
                if gate.need and gate.target not in self.replica.deployed:
                    log.warning("%s waits until %s is deployed", spec.label, label(gate.target))
