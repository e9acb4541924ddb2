"""What of a description is in Redis already, and how the rest gets there."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .access import Access
from .announce import announce
from .engine.contact import contact
from .errors import InvalidValue, NotAllowed
from .link import Link
from .mirror import Mirror
from .model.description import Description
from .model.lifecycle import State
from .model.spec import Spec
from .numbering import ReservedGuids

if TYPE_CHECKING:
    from .engine import Run
    from .model.conditions import Condition
    from .settings import Settings

log = logging.getLogger("nepiq.experiment")


class Live(Mirror):
    """Brings a description into its run, and has the run act.

    Args:
        description: the description.
        settings: where Redis is.
        release_after: seconds without a client after which a new run is released.
        created: called when a new run has been created.

    Attributes:
        settings: where Redis is.
        release_after: the same.
    """

    def __init__(
        self,
        description: Description,
        settings: Settings,
        release_after: float | None,
        created: Callable[[], None],
    ) -> None:
        super().__init__(description)
        self.settings = settings
        self.release_after = release_after
        self._created = created
        self._nonce = secrets.token_hex(6)

    # -- the run ------------------------------------------------------------------------------

    def open(self) -> Link:
        """The link to the run, which is created if it does not exist yet."""
        if self.link is None:
            with Access(self.settings).kept() as access, contact():
                run = access.stack.create_run(self._description.exp_id, self.release_after)
            self.link = Link(access, run)
            self._created()
            announce(run.run_id, access.settings)
            # Whoever attaches and registers must count on from here.
            self._number_from(run).reserve()
            self.link.stay_seen(self.release_after)
        return self.link

    def join(self, run_id: str) -> Link:
        """Take over the description of an existing run."""
        with Access(self.settings).kept() as access, contact():
            run = access.stack.run(run_id)
            meta = run.store.meta()
        self.link = Link(access, run)
        self.learn()
        self._number_from(run)
        self.link.stay_seen(meta.release_after if meta else None)
        return self.link

    def close(self) -> None:
        """Let go of the run, if there is one; it goes on."""
        if self.link is not None:
            self.link.close()

    def _number_from(self, run: Run) -> ReservedGuids:
        highest = max(self._description, default=0)
        self._description.guids = guids = ReservedGuids(run, highest + 1, self._nonce)
        return guids

    # -- writing ------------------------------------------------------------------------------

    def deploy(self, guids: Sequence[int], group: int | str | None) -> int | None:
        """Check, upload and deploy resources; return their group."""
        if self.link is not None:
            with contact():
                known = self.link.run.store.count() == len(self._uploaded)
            if not known:
                self.learn()
        name = "of this deploy" if group == "new" else str(group)
        groups = self._closed_groups()
        if group is not None:
            groups[name] = [*groups.get(name, ()), *guids]
        self._check(guids, groups)
        specs = self._closure(guids, deployed=frozenset(guids))
        chosen = [specs.get(guid) or self._description.spec(guid) for guid in guids]
        link = self.open()
        limit = link.access.settings.worker_timeout
        with contact():
            link.access.require_workers(link.run, {spec["queue"] for spec in chosen}, limit)
            self._upload(specs)
            given = link.run.deploy(guids, group)
        self.deployed.update(guids)
        self._warn_of_absent(chosen)
        return given

    def deploy_alone(self, guid: int) -> None:
        """Deploy one resource outside of any group, for which nobody else waits."""
        specs = self._closure([guid], deployed=frozenset([guid]))
        link = self.open()
        with contact():
            link.access.require_workers(
                link.run, {specs[guid]["queue"]}, link.access.settings.worker_timeout
            )
            self._upload(specs)
            link.run.deploy([guid], None)
        self.deployed.add(guid)

    def connect(self, one: int, two: int) -> None:
        """Connect two resources.

        Raises:
            NotAllowed: what would have to know of it has been deployed already.
        """
        items = [self._description.resource(guid) for guid in (one, two)]
        before = [{name: list(guids) for name, guids in item.peers.items()} for item in items]
        self._description.connect(one, two)
        changed = [item for item, peers in zip(items, before, strict=True) if item.peers != peers]
        if changed and all(item.guid in self._uploaded for item in changed):
            for item, peers in zip(items, before, strict=True):
                item.peers = peers
            raise NotAllowed(
                "it is deployed, so it cannot be connected any more", where=changed[0].label
            )

    def remove(self, guid: int) -> None:
        """Take a resource out of the description.

        Raises:
            NotAllowed: it is in the run already.
        """
        if guid in self._uploaded:
            raise NotAllowed(
                "it is in the run, so it cannot be removed",
                where=self._description.label(guid),
                hint="release it instead",
            )
        self._description.remove(guid)

    def condition(self, made: Sequence[Condition]) -> None:
        """Add those conditions to the run whose resources are there already."""
        late = [condition for condition in made if condition.guid in self._uploaded]
        if not late or self.link is None:
            return
        self._check([], self._closed_groups())
        self._upload(self._closure(condition.target for condition in late))
        for guid, action, target, milestone, offset in late:
            with contact():
                self.link.run.condition(guid, action.value, target, milestone.value, offset)

    def set(self, guid: int, name: str, value: Any) -> None:
        """Set an attribute, where the resource runs too."""
        item = self._description.resource(guid)
        stored = self._description.checked(guid, name, value, deployed=guid in self.deployed)
        if self.link is not None and guid in self._uploaded:
            self.link.act(guid, item.label, "set", [name, stored])
        self._description.note(guid, {name: stored})

    def act(self, guid: int, action: str) -> None:
        """Have one resource carry out an action now; return when it has, raise what it raised."""
        label = self._description.label(guid)
        self.required(guid).act(guid, label, action)

    def act_early(self, guid: int, action: str) -> None:
        """As :meth:`act`, with one that need not be deployed; those it lives on must be READY.

        Raises:
            NotAllowed: one of them is not, or its state does not allow it.
        """
        item = self._description.resource(guid)
        for peer in item.awaited():
            if not self.reached(peer, State.READY):
                raise NotAllowed(
                    f"cannot {action}: {self._description.label(peer)} is not READY",
                    where=item.label,
                    hint="deploy that first, and wait_deployed() for it",
                )
        specs = self._closure([guid])
        link = self.open()
        with contact():
            queue = self._description.spec(guid)["queue"]
            link.access.require_workers(link.run, {queue}, link.access.settings.worker_timeout)
            self._upload(specs)
        link.act(guid, item.label, action)

    def release(self, guids: Sequence[int] | None, timeout: float | None = None) -> None:
        """Release resources, all for None, and wait for it."""
        if self.link is None:
            return
        chosen = None if guids is None else [guid for guid in guids if guid in self._uploaded]
        if chosen != []:
            self.link.release(chosen, timeout)

    # -- inside -------------------------------------------------------------------------------

    def _closure(
        self, guids: Iterable[int], deployed: Collection[int] = frozenset()
    ) -> dict[int, Spec]:
        """What must be written for these: they, their peers, and those that they wait for.

        Of those that are not deployed now, attributes may still be set.
        """
        specs: dict[int, Spec] = {}
        front = list(guids)
        while front:
            guid = front.pop()
            if guid in specs or guid in self._uploaded:
                continue
            specs[guid] = spec = self._description.spec(guid, settled=guid in deployed)
            front += [peer for peers in spec["peers"].values() for peer in peers]
            front += [condition[1] for condition in spec["conds"]]
        return specs

    def _upload(self, specs: dict[int, Spec]) -> None:
        for spec in specs.values():
            if spec["label"] in self._taken:
                raise InvalidValue(
                    f"label {spec['label']!r} was given to guid {self._taken[spec['label']]} "
                    "by another client",
                    hint="register it under another label, and deploy by name what is wanted",
                )
        if specs:
            self.open().run.upload([specs[guid] for guid in sorted(specs)], self._nonce)
            self._uploaded |= specs.keys()

    def _check(self, guids: Sequence[int], groups: dict[str, list[int]]) -> None:
        """Refuse what can never happen, given what has happened already."""
        states: dict[int, State] = {}
        if self.link is not None and self._uploaded:
            self.recall_conditions()
            with contact():
                found = self.link.run.snapshot(sorted(self._uploaded)).states
            states = {guid: State(state) for guid, state in found.items()}
        self._description.check(guids, groups, states)

    def _warn_of_absent(self, specs: Iterable[Spec]) -> None:
        label = self._description.label
        for spec in specs:
            for _, peer, _ in spec["needs"]:
                if peer not in self.deployed:
                    log.warning("%s waits until %s is deployed", spec["label"], label(peer))
