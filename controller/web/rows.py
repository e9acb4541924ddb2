"""The rows of a live page: the resources of a run, as a browser receives them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ClassNotImportable, UnknownType
from ..errors.text import escaped
from ..model import registry
from ..model.attributes import Flag
from ..model.resource import ResourceManager
from ..reports.history import history
from ..reports.page.story import MARKS, bar_of, ordered, with_waits
from ..reports.tables import note
from ..reports.timeline import last_states, spans

if TYPE_CHECKING:
    from ..engine import Event, Run
    from ..engine.store.records import ResourceRecord

Row = dict[str, Any]

#: Attributes of lines and of resources that act on them, which the page shows beside a line.
SHOWN = ("up", "delay", "rtt", "jitter", "rate", "loss")


class RunRows:
    """The rows of one run, kept up to date by its events.

    Attributes:
        run: the run.
        last: id of the last event that they contain.
        order: the guids, each host before the resources that act on it.
        rows: the row of each resource.
        versions: by guid the id of the last event of the resource.
        lines: the resources that join hosts, with their ends.
        addresses: the guids of hosts by address.
        phase: the phase of the run.
        name: the name of the experiment.
        campaign: the campaign that began it; empty if there is none.
        begin: time of the first event, in seconds since the epoch.
        over: None, or the time of the last event of a released run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reset()

    def _reset(self) -> None:
        self.last = "0-0"
        self.order: list[int] = []
        self.rows: dict[int, Row] = {}
        self.versions: dict[int, str] = {}
        self.lines: list[dict[str, Any]] = []
        self.addresses: dict[str, int] = {}
        self.phase, self.name, self.campaign = "RUNNING", "", ""
        self.begin = 0.0
        self.over: float | None = None
        self._events: dict[int, list[Event]] = defaultdict(list)
        self._records: dict[int, ResourceRecord] = {}

    def load(self) -> None:
        """Read the whole run.

        Raises:
            UnknownRun: Redis does not have it.
            RedisUnreachable: Redis does not answer.
        """
        self._reset()
        self.run.require()
        self._add(list(history(self.run)))
        self._load_resources()

    def _load_resources(self) -> None:
        meta = self.run.store.meta()
        if meta is not None:
            self.phase, self.name, self.campaign = meta.phase, meta.exp_id, meta.campaign
            self.begin = self.begin or meta.created
        records = [r for r in self.run.records() if not registry.is_internal(r.rtype)]
        self._records = {record.guid: record for record in records}
        self.order = [record.guid for record in ordered(records)]
        self.rows = {record.guid: self._row(record) for record in records}
        self._find_lines()

    def advance(self, events: Sequence[Event]) -> dict[int, Row] | None:
        """Apply events; return the rows that changed, or None if there are new resources."""
        changed = {event.guid for event in events if event.guid}
        self._add(events)
        if not changed <= self.rows.keys() and not self._are_internal(changed):
            self._load_resources()
            return None
        records = self.run.records(sorted(changed & self.rows.keys())) if changed else []
        self._records |= {record.guid: record for record in records}
        rows = {record.guid: self._row(record) for record in records}
        self.rows |= rows
        return rows

    def _are_internal(self, guids: Iterable[int]) -> bool:
        unknown = [guid for guid in guids if guid not in self.rows]
        return all(registry.is_internal(r.rtype) for r in self.run.records(unknown))

    def _add(self, events: Iterable[Event]) -> None:
        for event in events:
            self.last = event.id
            self.begin = min(self.begin, event.time) if self.begin else event.time
            if event.guid:
                self._events[event.guid].append(event)
                self.versions[event.guid] = event.id
            elif event.what in ("RUNNING", "FAILED", "RELEASING", "RELEASED"):
                self.phase = event.what
            self.over = event.time if self.phase == "RELEASED" else None

    def _row(self, record: ResourceRecord) -> Row:
        events = self._events.get(record.guid, [])
        bars = [
            [safe(part) for part in bar_of(span, self.begin)]
            for span in with_waits(spans(events).get(record.guid, ()))
        ]
        marks = [[round(e.time - self.begin, 4), e.what] for e in events if e.what in MARKS]
        return {
            "guid": record.guid,
            "label": escaped(record.label),
            "type": escaped(record.rtype),
            "state": last_states(events).get(record.guid, record.state),
            "host": None if record.is_host else record.host,
            "inside": record.inside,
            "note": escaped(note(record.error, record.attributes)),
            "bars": bars,
            "marks": [] if bars else marks,
            "shown": self._shown(record),
        }

    def _shown(self, record: ResourceRecord) -> dict[str, Any]:
        """Return attributes that have been set, in the form that hooks read: 5 ms as 0.005."""
        cls = resource_class(record.rtype)
        declared = cls.attributes if cls is not None else {}
        names = [name for name in SHOWN if name in record.attributes and name in declared]
        names = [name for name in names if Flag.NO_WRITE not in declared[name].flags]
        if not names:
            return {}
        manager = self.manager(record.guid)
        return {name: safe(getattr(manager, name)) for name in names}

    # -- lines ------------------------------------------------------------------------------

    def _find_lines(self) -> None:
        """Find the resources that join hosts, and those that act on these."""
        self.lines, self.addresses = [], {}
        lines: dict[int, dict[str, Any]] = {}
        for guid, record in self._records.items():
            cls = resource_class(record.rtype)
            if cls is None or cls.joined_hosts is ResourceManager.joined_hosts:
                self._add_own_addresses(record)
                continue
            try:
                joined = self.manager(guid).joined_hosts()
            except Exception:  # noqa: BLE001 - the class of a user may raise anything
                joined = ()
            self.addresses |= {str(text): rm.guid for rm, texts in joined for text in texts}
            lines[guid] = {"guid": guid, "ends": [rm.guid for rm, _ in joined], "on": []}
        for guid in self._records.keys() - lines.keys():
            for peers in self._records[guid].peers.values():
                for peer in lines.keys() & set(peers):
                    lines[peer]["on"].append(guid)
        self.lines = list(lines.values())

    def _add_own_addresses(self, record: ResourceRecord) -> None:
        """Add the addresses of a host, or of an interface on one."""
        cls = resource_class(record.rtype)
        is_host = record.is_host or (cls is not None and cls.emulates)
        host = record.guid if is_host else record.inside or record.host
        for name in ("ip", "ip6"):
            if host is not None and record.attributes.get(name):
                self.addresses[str(record.attributes[name])] = host

    def manager(self, guid: int) -> ResourceManager:
        """Return the resource manager of a record that was read before."""
        record = self._records[guid]

        def peers(guids: Sequence[int]) -> list[ResourceManager]:
            return [self.manager(peer) for peer in guids if peer in self._records]

        def loader(guids: Sequence[int]) -> Any:
            return lambda: peers(guids)

        return registry.find(record.rtype).load(
            guid=guid,
            label=record.label,
            run_id=self.run.run_id,
            exp_id=self.name,
            occasion=record.occ,
            attributes=record.attributes,
            peers={name: loader(guids) for name, guids in record.peers.items()},
        )

    def reading(self) -> list[int]:
        """Return the resources that report values while they run, and have not ended."""
        ended = ("STOPPED", "FINISHED", "FAILED", "RELEASED")
        found = []
        for guid, record in self._records.items():
            cls = resource_class(record.rtype)
            reports = cls is not None and cls.readings is not ResourceManager.readings
            if reports and record.state not in ended:
                found.append(guid)
        return found


def resource_class(rtype: str) -> type[ResourceManager] | None:
    """Return the class of a type; None if this process does not have it."""
    try:
        return registry.find(rtype)
    except (UnknownType, ClassNotImportable):
        return None


def safe(value: Any) -> Any:
    """Return a value for JSON, without control characters in text."""
    if isinstance(value, str):
        return escaped(value)
    return value if value is None or isinstance(value, (bool, int, float)) else escaped(str(value))
