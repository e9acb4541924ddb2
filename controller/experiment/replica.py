"""A client's replica of its run: opens or joins the run, and learns what other clients did."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..description.description import Description
from ..description.roster import Target, Targets
from ..engine.redis_errors import contact
from ..errors import NotAllowed, UnknownResource, UnknownType
from ..model import registry
from ..model.resource import ResourceManager
from ..model.spec import ResourceSpec
from .announcement import announce
from .connect import Access
from .current_state import CurrentState
from .guids import ReservedGuids
from .link import Link
from .locks import Turn, survive_forks
from .ownership import uninterrupted

if TYPE_CHECKING:
    from ..engine import Run
    from ..engine.store.records import ResourceRecord
    from ..settings import Settings

#: Links that a process opened before it forked. Its children share their connections, so that no
#: process closes them.
_inherited: list[Link] = []


class Replica:
    """The part of a description that is in its run. Safe to use from several threads.

    Args:
        description: the description; resources of other clients of the run are added to it.
        settings: where Redis is.
        release_after: seconds without a client after which a new run is released.
        created: called when a new run has been created.

    Attributes:
        description, settings, release_after: as given.
        turn: held while the description, or the part of it that is in the run, is changed.
        deployed: guids that this client has deployed, or that were deployed when it attached;
            a reader of more than one of them holds the lock of the description.
        uploaded: guids that are in the run.
        taken: guids by label, of labels that another client has given to another resource.
        nonce: distinguishes this client from others.
        owned: True while this client has created the run and has not been detached from it.
        forbidden: why there can be no run; empty if there can.
        current: reads the current state of the run.
    """

    def __init__(
        self,
        description: Description,
        settings: Settings,
        release_after: float | None,
        created: Callable[[], None],
    ) -> None:
        self.description = description
        self.settings = settings
        self.release_after = release_after
        self.turn = Turn(self._join_again)
        self.deployed: set[int] = set()
        self.uploaded: set[int] = set()
        self.taken: dict[str, int] = {}
        self.nonce = secrets.token_hex(6)
        self.owned = False
        self.forbidden = ""
        self.current = CurrentState(self)
        self._created = created
        self._link: Link | None = None
        # One thread opens the run, and others wait for that; taken before a turn, never in one.
        self._opening = threading.RLock()
        # The run that a fork has disconnected this process from, until it has joined again.
        self._left = ""
        # The resources that were described and in no run yet when this process was forked.
        self._copied: set[int] = set()
        self._without_conditions: set[int] = set()
        survive_forks(self)

    # -- the run ------------------------------------------------------------------------------

    @property
    def link(self) -> Link | None:
        """The link to the run; None if there is no run yet."""
        self._join_again()
        return self._link

    @property
    def known_run(self) -> str:
        """The id of the run, empty if there is none yet; does not connect to Redis."""
        return self._left if self._link is None else self._link.run.run_id

    def open(self) -> Link:
        """Return the link to the run, which is created if it does not exist yet."""
        self._join_again()
        if self._link is None:
            with self._opening:
                if self._link is None:
                    return self._create()
        return self.opened()

    def opened(self) -> Link:
        """Return the link to the run.

        Raises:
            NotAllowed: there is no run yet.
        """
        if self._link is None:
            raise NotAllowed("there is no run yet", hint="call deploy() first")
        return self._link

    def _create(self) -> Link:
        if self.forbidden:
            raise NotAllowed(self.forbidden)
        with Access(self.settings).kept() as access, contact(), uninterrupted():
            # An interrupt between these would leave a run without an owner.
            run = access.backend.create_run(self.description.exp_id, self.release_after)
            self._link = link = Link(access, run)
            self.owned = True
            self._created()
        with self.turn:
            announce(run.run_id, access.settings)
            # Reserve guids now, so that clients that attach later continue after them.
            self._number_from(run).reserve()
        link.stay_seen(self.release_after)
        return link

    def join(self, run_id: str) -> Link:
        """Take over the description of an existing run."""
        with Access(self.settings).kept() as access, contact():
            run = access.backend.run(run_id)
            meta = run.store.meta()
        link = Link(access, run)
        # Not by entering a turn, which would first join the run again.
        with self.turn.lock:
            self._link = link
            self._learn(run)
            self._number_from(run)
            self._left = ""
        link.stay_seen(meta.release_after if meta else None)
        return link

    def close(self) -> None:
        """Close the connections to the run, if there is one; it goes on."""
        if self._link is not None:
            self._link.close()

    def _number_from(self, run: Run) -> ReservedGuids:
        highest = max(self.description, default=0)
        self.description.guids = guids = ReservedGuids(run, highest + 1, self.nonce)
        return guids

    # -- forks --------------------------------------------------------------------------------

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held during a fork, so that the child's copy of the description is consistent."""
        return self.description.lock

    def forked(self) -> None:
        """Start again in the child of a fork: as another client, which does not own the run."""
        self.turn, self._opening = Turn(self._join_again), threading.RLock()
        self.nonce = secrets.token_hex(6)
        self.owned = False
        link, self._link = self._link, None
        if link is not None:
            self._left = link.run.run_id
            self._copied = set(self.description) - self.uploaded
            # Its connections are the parent's.
            _inherited.append(link)

    def _join_again(self) -> None:
        if self._left:
            with self._opening:
                if self._left:
                    self.join(self._left)

    # -- learning -----------------------------------------------------------------------------

    def learn(self) -> None:
        """Take over the resources that other clients have uploaded."""
        if self.link is None:
            return
        run = self.link.run
        with contact():
            guids = run.store.guids()
            if not guids:
                run.require()
            known = self.uploaded.issuperset(guids)
            deployed = run.store.deployed() if known else set()
        if known:
            with self.description.lock:
                self.deployed |= deployed
            return
        # Resources that another thread is uploading are known after its turn.
        with self.turn:
            self._learn(run)

    def catch_up(self) -> None:
        """Take over the resources that other clients have uploaded, if their number changed."""
        if self.link is not None:
            with contact():
                known = self.link.run.store.count() == len(self.uploaded)
            if not known:
                self.learn()

    def _learn(self, run: Run) -> None:
        with contact():
            unknown = [guid for guid in run.store.guids() if guid not in self.uploaded]
            records = run.records(unknown) if unknown else []
            deployed = run.store.deployed()
        with self.description.lock:
            for record in records:
                self._restore(record)
            self.deployed |= deployed

    def _restore(self, record: ResourceRecord) -> None:
        label = record.label
        own = record.by == self.nonce or record.guid in self._copied
        if own and record.guid in self.description:
            # Uploaded by this client, which was interrupted before it noted that; or by the
            # process that it was copied from.
            self._note(record)
            return
        if label in self.description:
            # Two clients chose this label without knowing of each other's resource.
            self.taken[label] = record.guid
            while label in self.description:
                label = f"{label}-{record.guid}"
        self.description.restore(
            ResourceSpec(
                record.guid,
                record.rtype,
                label,
                peers=record.peers,
                attributes=record.attributes,
            ),
            _class_of(record.rtype),
        )
        self._note(record)

    def _note(self, record: ResourceRecord) -> None:
        self.uploaded.add(record.guid)
        self._without_conditions.add(record.guid)

    def refresh(self, guid: int) -> None:
        """Take over the attributes that the resource's steps have set."""
        if self.link is None:
            return
        # In a turn, so that an older value is not written over a newer one.
        with self.turn, contact():
            attributes = dict(self.link.run.record(guid).attributes)
            self.description.resource(guid).attrs = attributes

    def recall_conditions(self) -> None:
        """Take over the conditions that other clients have registered."""
        if self.link is not None and self._without_conditions:
            with self.turn:
                self._recall_conditions(self.link.run)

    def _recall_conditions(self, run: Run) -> None:
        while self._without_conditions:
            guid = self._without_conditions.pop()
            with contact():
                conditions = run.store.conditions(guid)
            for condition in conditions:
                if not condition.need and condition.target in self.description:
                    self.description.condition(
                        guid,
                        condition.action,
                        condition.target,
                        condition.milestone,
                        condition.offset,
                    )

    # -- finding ------------------------------------------------------------------------------

    def find(self, target: Target) -> int:
        """Return the guid of a resource, given its label or guid.

        Raises:
            UnknownResource: it does not exist; the message has near misses.
        """
        try:
            return self.description.resolve(target)
        except UnknownResource:
            # Another client of the run may have registered it.
            self.learn()
        return self.description.resolve(target)

    def resolve(self, targets: Targets) -> list[int]:
        """Return the guids of one or several resources, each once, in the order given."""
        several: Iterable[Target] = (targets,) if isinstance(targets, (int, str)) else targets
        return list(dict.fromkeys(self.find(target) for target in several))

    def resources(self) -> list[int]:
        """Return the guids of all resources but internal ones."""
        self.learn()
        resource = self.description.resource
        return [guid for guid in self.description if not resource(guid).cls.internal]

    def all_deployed(self) -> list[int]:
        """Return the guids deployed so far, in order."""
        with self.description.lock:
            return sorted(self.deployed)

    def deployed_but_hosts(self) -> list[int]:
        """Return the guids deployed so far of resources that end by themselves: all but hosts."""
        resource = self.description.resource
        return [guid for guid in self.all_deployed() if resource(guid).cls.ends_by_itself()]

    def required(self, guid: int) -> Link:
        """Return the link to the run that the resource is in.

        Raises:
            NotAllowed: it has not been deployed.
        """
        if self.link is None or guid not in self.uploaded:
            self._refuse(guid)
        return self.opened()

    def require_deployed(self, guids: Collection[int]) -> None:
        """Return if all of these have been deployed, by any client.

        Raises:
            NotAllowed: one has not.
        """
        if not all(guid in self.deployed for guid in guids):
            self.learn()
        for guid in sorted(guid for guid in guids if guid not in self.deployed):
            self._refuse(guid)

    def _refuse(self, guid: int) -> None:
        label = self.description.label(guid)
        raise NotAllowed("it is not deployed", where=label, hint="call deploy() first")

    def closed_groups(self) -> dict[str, list[int]]:
        """Return the members of the groups whose barrier is still closed."""
        if self.link is None:
            return {}
        with contact():
            closed = self.link.run.store.closed_groups()
        return {
            str(group): [guid for guid in guids if guid in self.description]
            for group, guids in closed.items()
        }


def _class_of(rtype: str) -> type[ResourceManager]:
    """Return the class of a type; a stand-in if this process does not have it."""
    try:
        return registry.find(rtype)
    except UnknownType:

        class Unknown(ResourceManager):
            __slots__ = ()

        # Not as an argument, which would register it.
        Unknown.rtype = rtype
        return Unknown
