"""What of a description is in Redis already, and how the rest gets there."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from ..description.description import Description
from ..description.spec import Spec
from ..engine.redis_errors import contact
from ..errors import InvalidValue, NotAllowed, NoWorker
from ..model.lifecycle import State
from .announcement import announce
from .connect import Access
from .guids import ReservedGuids
from .link import Link
from .locks import Turn, survive_forks
from .ownership import uninterrupted
from .replica import Mirror

if TYPE_CHECKING:
    from ..description.conditions import Condition
    from ..engine import Run
    from ..settings import Settings

log = logging.getLogger("nepiq.experiment")

_T = TypeVar("_T")
#: What is to be uploaded, and the resources that are acted on then.
_Prepared = tuple[dict[int, Spec], list[Spec]]

#: What a process that forked has opened, and shares with its children: none of them closes it.
_inherited: list[Link] = []


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
        # One thread opens the run, and others wait for that; taken before a turn, never in one.
        self._opening = threading.RLock()
        survive_forks(self)

    # -- the run ------------------------------------------------------------------------------

    def open(self) -> Link:
        """The link to the run, which is created if it does not exist yet."""
        self._rejoin()
        if self._link is None:
            with self._opening:
                if self._link is None:
                    self._create()
        return self._linked()

    def _create(self) -> None:
        with Access(self.settings).kept() as access, contact(), uninterrupted():
            # An interrupt between these would leave a run that nobody owns.
            run = access.stack.create_run(self._description.exp_id, self.release_after)
            self._link = link = Link(access, run)
            self._created()
        with self.turn:
            announce(run.run_id, access.settings)
            # Whoever attaches and registers must count on from here.
            self._number_from(run).reserve()
        link.stay_seen(self.release_after)

    def join(self, run_id: str) -> Link:
        """Take over the description of an existing run."""
        with Access(self.settings).kept() as access, contact():
            run = access.stack.run(run_id)
            meta = run.store.meta()
        link = Link(access, run)
        # Not as a turn of its own, before which it would be joined.
        with self.turn.lock:
            self._link = link
            self._learn(run)
            self._number_from(run)
            self._left = ""
        link.stay_seen(meta.release_after if meta else None)
        return link

    def close(self) -> None:
        """Let go of the run, if there is one; it goes on."""
        if self._link is not None:
            self._link.close()

    def _linked(self) -> Link:
        if self._link is None:
            raise NotAllowed("there is no run yet", hint="call deploy() first")
        return self._link

    def _number_from(self, run: Run) -> ReservedGuids:
        highest = max(self._description, default=0)
        self._description.guids = guids = ReservedGuids(run, highest + 1, self._nonce)
        return guids

    # -- forks --------------------------------------------------------------------------------

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held during a fork, so that the child's copy of the description is whole."""
        return self._description.lock

    def forked(self) -> None:
        """Begin anew in the child of a fork: as another client, which owns nothing of the run."""
        self.turn, self._opening = Turn(self._rejoin), threading.RLock()
        self._nonce = secrets.token_hex(6)
        link, self._link = self._link, None
        if link is not None:
            self._left = link.run.run_id
            self._copied = set(self._description) - self._uploaded
            # Its connections are the parent's.
            _inherited.append(link)

    def _rejoin(self) -> None:
        if self._left:
            with self._opening:
                if self._left:
                    self.join(self._left)

    # -- writing ------------------------------------------------------------------------------

    def deploy(self, guids: Sequence[int], group: int | str | None) -> int | None:
        """Check, upload and deploy resources; return their group."""

        def prepare() -> _Prepared:
            self._catch_up()
            name = "of this deploy" if group == "new" else str(group)
            groups = self._closed_groups()
            if group is not None:
                groups[name] = [*groups.get(name, ()), *guids]
            self._check(guids, groups)
            specs = self._closure(guids, deployed=frozenset(guids))
            chosen = [specs.get(guid) or self._description.spec(guid) for guid in guids]
            return specs, chosen

        def deploy(link: Link, chosen: Sequence[Spec]) -> int | None:
            given = link.run.deploy(guids, group)
            self._deployed(guids)
            self._warn_of_absent(chosen)
            return given

        return self._send(prepare, deploy)

    def deploy_alone(self, guid: int) -> None:
        """Deploy one resource outside of any group, for which nobody else waits."""

        def prepare() -> _Prepared:
            specs = self._closure([guid], deployed=frozenset([guid]))
            return specs, [specs.get(guid) or self._description.spec(guid)]

        def deploy(link: Link, _: Sequence[Spec]) -> None:
            link.run.deploy([guid], None)
            self._deployed([guid])

        self._send(prepare, deploy)

    def _deployed(self, guids: Iterable[int]) -> None:
        with self._description.lock:
            self.deployed.update(guids)

    def connect(self, one: int, two: int) -> None:
        """Connect two resources.

        Raises:
            NotAllowed: what would have to know of it has been deployed already.
        """
        with self.turn, self._description.lock:
            items = [self._description.resource(guid) for guid in (one, two)]
            before = [{name: list(guids) for name, guids in item.peers.items()} for item in items]
            self._description.connect(one, two)
            changed = [i for i, peers in zip(items, before, strict=True) if i.peers != peers]
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
        with self.turn:
            if guid in self._uploaded:
                raise NotAllowed(
                    "it is in the run, so it cannot be removed",
                    where=self._description.label(guid),
                    hint="release it instead",
                )
            self._description.remove(guid)

    def condition(self, made: Sequence[Condition]) -> None:
        """Add those conditions to the run whose resources are there already, in a turn."""
        late = [condition for condition in made if condition.guid in self._uploaded]
        if not late or self.link is None:
            return
        self._check([], self._closed_groups())
        with contact():
            self._upload(self.link, self._closure(condition.target for condition in late))
            for guid, action, target, milestone, offset in late:
                self.link.run.condition(guid, action.value, target, milestone.value, offset)

    def set(self, guid: int, name: str, value: Any) -> None:
        """Set an attribute, where the resource runs too."""
        with self.turn:
            item = self._description.resource(guid)
            stored = self._description.checked(guid, name, value, deployed=guid in self.deployed)
            if self.link is None or guid not in self._uploaded:
                self._description.note(guid, {name: stored})
                return
        link = self._linked()
        link.act(guid, item.label, "set", [name, stored])
        if link.patient:
            # Another thread may have set it since.
            self.refresh(guid)
        else:
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

        def prepare() -> _Prepared:
            return self._closure([guid]), [self._description.spec(guid)]

        self._send(prepare, lambda link, _: None)
        self._linked().act(guid, item.label, action)

    def release(self, guids: Sequence[int] | None, timeout: float | None = None) -> None:
        """Release resources, all for None, and wait for it."""
        if self.link is None:
            return
        chosen = None if guids is None else [guid for guid in guids if guid in self._uploaded]
        if chosen != []:
            self.link.release(chosen, timeout)

    # -- inside -------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Take over what other clients have uploaded, if they have."""
        if self.link is not None:
            with contact():
                known = self.link.run.store.count() == len(self._uploaded)
            if not known:
                self.learn()

    def _send(
        self,
        prepare: Callable[[], _Prepared],
        act: Callable[[Link, Sequence[Spec]], _T],
    ) -> _T:
        """Upload resources and have the run act, in one turn in which all of it is prepared.

        Neither the run nor workers, which may take long to come, are waited for in a turn.

        Args:
            prepare: checks, and gives what is to be uploaded, and the resources to act on.
            act: has the run act on these.
        """
        prepared: _Prepared | None = None
        end, number = None, 0
        while True:
            with self.turn as now:
                # Others may have changed something since.
                if prepared is None or now != number + 1:
                    prepared = prepare()
                specs, chosen = prepared
                number, link = now, self._link
                queues = {spec["queue"] for spec in chosen}
                if link is not None and self._served(link, queues):
                    with contact():
                        self._upload(link, specs)
                        return act(link, chosen)
            if link is None:
                self.open()
                continue
            limit = link.access.settings.worker_timeout
            end = time.monotonic() + limit if end is None else end
            with contact():
                link.access.require_workers(link.run, queues, max(0.0, end - time.monotonic()))

    def _served(self, link: Link, queues: Collection[str]) -> bool:
        """True if live workers serve all of these now."""
        try:
            with contact():
                link.access.require_workers(link.run, queues)
        except NoWorker:
            return False
        return True

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

    def _upload(self, link: Link, specs: dict[int, Spec]) -> None:
        for spec in specs.values():
            if spec["label"] in self._taken:
                raise InvalidValue(
                    f"label {spec['label']!r} was given to guid {self._taken[spec['label']]} "
                    "by another client",
                    hint="register it under another label, and deploy by name what is wanted",
                )
        if specs:
            link.run.upload([specs[guid] for guid in sorted(specs)], self._nonce)
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
