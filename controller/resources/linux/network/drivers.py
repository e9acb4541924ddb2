"""The drivers of impairments: netem, token bucket and nft, and the relay."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Any, NamedTuple, Protocol

from ....errors import HostError
from ....model import Change
from .effect import Effect
from .ends import LinkEnd

NETEM, TBF, RELAY = "netem", "tbf+nft", "relay"
CEILING = 600e6  # bit/s of the relay, measured: 60 000 packets a second, p99 of the lateness 2 ms
SEEDED = (6, 7)  # Linux and iproute2 whose netem can be given a seed
TOLERANCE = 0.01  # of a value that the kernel has rounded


class Sender(NamedTuple):
    """An interface whose sending is impaired.

    Attributes:
        end: the interface.
        effect: the impairment of what it sends.
        key: a name that only this run and resource have, at most 15 characters.
        alias: the mark of interfaces that are made for it.
    """

    end: LinkEnd
    effect: Effect
    key: str
    alias: str = ""


class Driver(Protocol):
    """A way to impair what interfaces send."""

    def make(self, senders: Sequence[Sender]) -> Iterator[Change]:
        """Yield the changes that impair interfaces."""

    def change(self, senders: Sequence[Sender], former: Effect) -> Iterator[Change]:
        """Yield the changes, which can be repeated, from a former effect to that of senders."""

    def show(self, senders: Sequence[Sender]) -> str:
        """Return a command of sh(1) that shows what is in force, as JSON."""

    def check(self, senders: Sequence[Sender], shown: str) -> None:
        """Compare what is in force with what was to be.

        Raises:
            HostError: they differ.
        """


class Netem:
    """netem(8): all of it in the kernel."""

    @staticmethod
    def has_seed(kernel: str, tc: str) -> bool:
        """Return whether a release of Linux and the version that tc shows can be given a seed."""
        found = (re.search(r"(\d+)\.(\d+)", text) for text in (kernel, tc))
        return all(it and (int(it[1]), int(it[2])) >= SEEDED for it in found)

    def make(self, senders: Sequence[Sender]) -> Iterator[Change]:
        """Yield the queueing disciplines of interfaces."""
        for sender in senders:
            yield _root(sender, f"netem {sender.effect.netem}")

    def change(self, senders: Sequence[Sender], former: Effect) -> Iterator[Change]:
        """Yield the disciplines with other options, which keeps the packets in them."""
        for sender in senders:
            # A rate stays unless another one is given.
            lifted = " rate 0bit" if former.rate and not sender.effect.rate else ""
            yield _root(sender, f"netem {sender.effect.netem}{lifted}", verb="change")

    def show(self, senders: Sequence[Sender]) -> str:
        """Return calls of tc."""
        return _qdiscs([sender.end for sender in senders])

    def check(self, senders: Sequence[Sender], shown: str) -> None:
        """Compare delay, loss, rate and limit."""
        for sender, qdisc in zip(senders, _lists(shown, len(senders)), strict=True):
            options = qdisc.get("options", {})
            effect = sender.effect
            delay, rate = options.get("delay", {}), options.get("rate", {})
            in_force = {
                "delay": delay.get("delay", 0),
                # tc shows no jitter of a delay of less than a microsecond.
                "jitter": delay.get("jitter", 0) if round(effect.delay * 1e6) else effect.jitter,
                "rate": rate.get("rate", 0) * 8 if isinstance(rate, dict) else 0,
                "queue": options.get("limit", 0),
            }
            wanted = {
                "delay": effect.delay,
                "jitter": effect.jitter,
                "rate": effect.rate,
                "queue": effect.packets,
            }
            if not effect.burst:
                loss = options.get("loss-random", {})
                in_force["loss"] = loss.get("loss", 0) * 100
                wanted["loss"] = effect.loss
            if effect.seed is not None:
                in_force["seed"], wanted["seed"] = options.get("seed", 0), effect.seed
            _compare(sender.end, "netem", wanted, in_force)


class Tbf:
    """A token bucket, tc-tbf(8), for the rate, and nft(8) for independent losses."""

    def make(self, senders: Sequence[Sender]) -> Iterator[Change]:
        """Yield the buckets, if there is a rate, and the rules, if there are losses."""
        for sender in senders:
            yield from self._make(sender, "add")

    def _make(self, sender: Sender, verb: str) -> Iterator[Change]:
        end = sender.end
        if sender.effect.rate:
            yield _root(sender, f"tbf {sender.effect.tbf}", verb=verb)
        if sender.effect.loss:
            table = f"netdev {sender.key}"
            chain = f"type filter hook egress device {end.device} priority 0;"
            yield self._nft(f"add table {table}", sender, f"delete table {table}")
            yield self._nft(f"add chain {table} out {{ {chain} }}", sender)
            yield self._nft(f"flush chain {table} out", sender)
            parts = round(sender.effect.loss * 10_000)
            drop = f"numgen random mod 1000000 < {parts} drop"
            yield self._nft(f"add rule {table} out {drop}", sender)

    def change(self, senders: Sequence[Sender], former: Effect) -> Iterator[Change]:
        """Yield other values; what is no longer needed is taken away."""
        for sender in senders:
            yield from self._change(sender, former)

    def _change(self, sender: Sender, former: Effect) -> Iterator[Change]:
        end, effect = sender.end, sender.effect
        yield from self._make(sender, "change" if former.rate else "add")
        if former.rate and not effect.rate:
            yield Change(f"qdisc del dev {end.device} root", tool="tc", netns=end.netns)
        if former.loss and not effect.loss:
            yield self._nft(f"flush chain netdev {sender.key} out", sender)

    def show(self, senders: Sequence[Sender]) -> str:
        """Return calls of tc."""
        return _qdiscs([sender.end for sender in senders])

    def check(self, senders: Sequence[Sender], shown: str) -> None:
        """Compare the rate."""
        for sender, qdisc in zip(senders, _lists(shown, len(senders)), strict=True):
            if sender.effect.rate:
                rate = qdisc.get("options", {}).get("rate", 0) * 8
                wanted = {"rate": sender.effect.rate}
                _compare(sender.end, "tbf", wanted, {"rate": rate})

    @staticmethod
    def _nft(command: str, sender: Sender, undo: str = "") -> Change:
        return Change(command, undo, tool="nft", netns=sender.end.netns)


class Relay:
    """The relay for all but the rate, which a token bucket before it has.

    Args:
        program: path of the program on the host.
        socket: path of the relay's socket on the host.
    """

    def __init__(self, program: str, socket: str) -> None:
        self._call = f"python3 -IS {quote(program)}"
        self._socket = quote(socket)
        #: A command that fails when the relay ends.
        self.watch = (
            f"exec 9<{quote(f'{socket}.held')}; flock -s 9; "
            "echo 'the relay has ended: packets pass unimpaired' >&2; exit 1"
        )

    def make(self, senders: Sequence[Sender]) -> Iterator[Change]:
        """Yield the ends, and the buckets of the interfaces that lead to the relay."""
        yield self._request([self._addition(sender) for sender in senders])
        for sender in senders:
            # The relay gives up an end whose interface or network namespace is removed.
            undo = f"link del {sender.key}"
            alias = f"link set {sender.key} alias {sender.alias}"
            yield Change(alias, undo, netns=sender.end.netns)
            if sender.effect.rate:
                yield _bucket(sender.key, sender)

    @staticmethod
    def _addition(sender: Sender) -> dict[str, Any]:
        end = sender.end
        netns = f"/run/netns/{end.netns}" if end.netns else ""
        add = {"add": sender.key, "netns": netns, "interface": end.device, "via": sender.key}
        return {**add, **sender.effect.relay}

    def change(self, senders: Sequence[Sender], former: Effect) -> Iterator[Change]:
        """Yield other parameters."""
        yield self._request([{"change": sender.key, **sender.effect.relay} for sender in senders])
        for sender in senders:
            if sender.effect.rate:
                yield _bucket(sender.key, sender)
            elif former.rate:
                netns = sender.end.netns
                yield Change(f"qdisc del dev {sender.key} root", tool="tc", netns=netns)

    def show(self, senders: Sequence[Sender]) -> str:
        """Return calls of tc; what the relay has in force is compared by the requests to it."""
        return _qdiscs([LinkEnd(sender.key, sender.end.netns) for sender in senders])

    def check(self, senders: Sequence[Sender], shown: str) -> None:
        """Compare the rate."""
        for sender, qdisc in zip(senders, _lists(shown, len(senders)), strict=True):
            rate = qdisc.get("options", {}).get("rate", 0) * 8
            _compare(sender.end, "tbf", {"rate": sender.effect.rate}, {"rate": rate})

    def _request(self, commands: list[dict[str, Any]]) -> Change:
        line = json.dumps(commands, separators=(",", ":"))
        return Change(f"{self._call} use {self._socket}", tool="sh", netns="", line=line)


def _bucket(device: str, sender: Sender) -> Change:
    """Return a token bucket on an interface of the relay, which goes with the interface."""
    command = f"qdisc replace dev {device} root tbf {sender.effect.tbf}"
    return Change(command, tool="tc", netns=sender.end.netns)


def _root(sender: Sender, discipline: str, verb: str = "add") -> Change:
    """Return a discipline at the root of an interface.

    One of another user is neither replaced nor removed: ours has a handle of its own.
    """
    end, handle = sender.end, f"{0x1000 + zlib.crc32(sender.key.encode()) % 0xE000:x}:"
    command = f"qdisc {verb} dev {end.device} root handle {handle} {discipline}"
    undo = f"qdisc del dev {end.device} root handle {handle}" if verb == "add" else ""
    return Change(command, undo, tool="tc", netns=end.netns)


def _qdiscs(ends: Sequence[LinkEnd]) -> str:
    # The discipline at the root comes first.
    return "; ".join(f"tc{end.where} -j qdisc show dev {end.device} root" for end in ends)


def _values(shown: str, count: int) -> list[Any]:
    """Return the JSON values that commands have printed, one behind the other.

    Raises:
        HostError: there are not as many.
    """
    values: list[Any] = []
    rest = shown.strip()
    try:
        while rest:
            value, end = json.JSONDecoder().raw_decode(rest)
            values.append(value)
            rest = rest[end:].strip()
    except ValueError:
        values.clear()
    if len(values) != count:
        raise HostError(
            f"the host shows {shown[:80]!r} of an impairment",
            hint="install an iproute2 with tc -j (4.18 or newer) on that host",
        )
    return values


def _lists(shown: str, count: int) -> list[dict[str, Any]]:
    return [_first(value) for value in _values(shown, count)]


def _first(qdiscs: list[Any]) -> dict[str, Any]:
    """Return the queueing discipline at the root; empty if there is none."""
    return dict(qdiscs[0]) if qdiscs else {}


def _compare(end: LinkEnd, kind: str, wanted: dict[str, Any], in_force: dict[str, Any]) -> None:
    for name, value in wanted.items():
        there = in_force.get(name, 0) or 0
        if abs(there - value) > TOLERANCE * max(abs(value), 1e-4):
            raise HostError(
                f"interface {end.device}: {kind} has {name} {there:g}, not {value:g}",
                hint="another program has changed it, or the kernel does not support the value",
            )
