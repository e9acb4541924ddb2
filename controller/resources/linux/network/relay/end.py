"""One end of a link: what it sends, for how long that is held, and its figures."""

from __future__ import annotations

import contextlib
import heapq
import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import Any

from . import detour as way
from .model import DROP, PASS, TWICE, Model
from .netlink import (
    ACK,
    NETFILTER,
    QUEUE,
    REQUEST,
    attribute,
    attribute_header,
    confirm,
    connect,
    four_bytes,
    header,
    message,
    number,
)

LATE = 1_000_000  # ns from which a packet counts as late
STEP, CLASSES = 20_000, 5_000  # ns of lateness in a class of the histogram; its classes
AT_ONCE = 128  # packets read before those that are due elsewhere pass

SOL_NETLINK, NO_ENOBUFS, SO_RCVBUFFORCE = 270, 5, 33
VERDICT, CONFIG, VERDICTS = (QUEUE << 8 | kind for kind in (1, 2, 3))
WHOLE_SEGMENTS = 4  # a flag of queues
PACKET = attribute_header.pack(11, 1)
STAMP = attribute_header.pack(20, 4)
_stamp = struct.Struct(">QQ")


class End:
    """An interface, and the packets that it has sent and that are held.

    Args:
        name: its name in requests.
        queue: the number of its queue, which is free.
        model: its impairment.
        detour: the way of its packets to the queue.

    Attributes:
        next_due: when its next packet is due as far as the loop knows, in nanoseconds; 0: never.
    """

    def __init__(self, name: str, queue: int, model: Model, detour: way.Detour) -> None:
        self.name, self.queue, self.detour = name, queue, detour
        self.next_due = 0
        self._held: Any = deque()  # (due, number, verdict); a heap once one was held for less
        self._in_order, self._last_due, self._newest = True, 0, 0
        self._buffer, self._stamp_at = bytearray(2048), 0
        self._packets = self._lost = self._duplicated = self._reordered = self._late = 0
        self._passed, self._lateness = 0, [0] * CLASSES
        self.link = connect(NETFILTER)
        self.link.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        bind = attribute(1, struct.pack(">BBH", 1, 0, 0))
        confirm(self.link, "nfnetlink_queue", message(CONFIG, ACK, 0, queue, bind))
        self._all, self._one, self._two, self._none = (
            header.pack(32 + len(more), kind, REQUEST, 0, 0, 0, 0, socket.htons(queue))
            + more + attribute_header.pack(12, 2) + four_bytes.pack(code)
            for kind, code, more in (
                (VERDICTS, 1, b""), (VERDICT, 1, b""),
                (VERDICT, 1, number(3, way.TWICE)), (VERDICT, 0, b""),
            )
        )  # fmt: skip
        self.configure(model)

    def configure(self, model: Model) -> None:
        """Set the impairment of packets that arrive from now on, and the limit of the queue."""
        # Segments that belong together are held together, unless each may have a fate of its own.
        flags = WHOLE_SEGMENTS if model.is_plain else 0
        options = [number(3, model.limit), number(4, WHOLE_SEGMENTS), number(5, flags)]
        without_payload = attribute(2, struct.pack(">IB", 0, 1))
        self.link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, min(model.limit, 200_000) * 1024)
        self.link.send(message(CONFIG, 0, 0, self.queue, without_payload, *options))
        self.model = model

    def receive(self) -> None:
        """Read which packets have arrived, and decide when they are due."""
        buffer, read, draw = self._buffer, self.link.recv_into, self.model.draw
        now = time.monotonic_ns()
        epoch = time.time_ns() - now
        for _ in range(AT_ONCE):
            try:
                size = read(buffer)
            except BlockingIOError:
                return
            if buffer[20:24] != PACKET:
                continue  # the answer to a verdict on a packet that has gone with its interface
            at = self._stamp_at
            if buffer[at : at + 4] != STAMP:
                at = self._stamp_at = self._find_stamp(size)
            arrival = now
            if at:
                seconds, micros = _stamp.unpack_from(buffer, at + 4)
                arrival = seconds * 1_000_000_000 + micros * 1000 - epoch
                if not -1_000_000_000 < arrival - now < 1_000_000:  # the clock was set
                    arrival = now
            delay, verdict = draw()
            self._hold(arrival + delay, four_bytes.unpack_from(buffer, 24)[0], verdict)
            self._packets += 1

    def _find_stamp(self, size: int) -> int:
        at = 32
        while at < size:
            if self._buffer[at : at + 4] == STAMP:
                return at
            length = attribute_header.unpack_from(self._buffer, at)[0]
            at += max(4, length + -length % 4)
        return 0

    def _hold(self, due: int, packet: int, verdict: int) -> None:
        if not self._held:
            self._held, self._in_order, self._last_due = deque(), True, 0
        if self._in_order and due < self._last_due:
            self._held, self._in_order = list(self._held), False  # it is sorted, so a heap
        if self._in_order:
            self._held.append((due, packet, verdict))
            self._last_due = due
        else:
            heapq.heappush(self._held, (due, packet, verdict))

    def due(self) -> int:
        """Return when the next packet is due, in nanoseconds; 0 if none is held."""
        return int(self._held[0][0]) if self._held else 0

    def release(self, until: int) -> None:
        """Let packets pass that are due."""
        held, parts = self._held, []
        dues: list[int] = []
        in_order, passing = self._in_order, -1
        while held and held[0][0] <= until and len(dues) < 2000:
            due, packet, verdict = held.popleft() if in_order else heapq.heappop(held)
            dues.append(due)
            if in_order and verdict == PASS:
                passing = packet  # and all before it, by one verdict
                continue
            if passing >= 0:
                parts.append(self._all + four_bytes.pack(passing))
                passing = -1
            parts.append(self._single(packet, verdict))
        if passing >= 0:
            parts.append(self._all + four_bytes.pack(passing))
            self._newest = passing
        if parts:
            self.link.send(b"".join(parts))
            self._count(dues)

    def _single(self, packet: int, verdict: int) -> bytes:
        """Return the verdict on one packet."""
        if verdict == DROP:
            self._lost += 1
            return self._none + four_bytes.pack(packet)
        if (packet - self._newest) & 0xFFFFFFFF > 0x7FFFFFFF:
            self._reordered += 1
        else:
            self._newest = packet
        if verdict == TWICE:
            self._duplicated += 1
            return self._two + four_bytes.pack(packet)
        return self._one + four_bytes.pack(packet)

    def _count(self, dues: list[int]) -> None:
        now, classes = time.monotonic_ns(), self._lateness
        for due in dues:
            lateness = now - due
            if lateness > LATE:
                self._late += 1
            classes[min(max(lateness, 0) // STEP, CLASSES - 1)] += 1

    def close(self) -> None:
        """Let all packets pass, and give up the queue."""
        with contextlib.suppress(OSError):
            self.receive()
            while self._held:
                self.release(1 << 63)
        self.link.close()

    def figures(self) -> dict[str, Any]:
        """Return the parameters, and the figures since the start; times in seconds."""
        return {
            **self.model.values,
            "name": self.name,
            "via": self.detour.via,
            "packets": self._packets,
            "held": len(self._held),
            "lost": self._lost,
            "duplicated": self._duplicated,
            "reordered": self._reordered,
            "overflow": self._overflow(),
            "late": self._late,
            "p50": self._share(0.5),
            "p99": self._share(0.99),
        }

    def _overflow(self) -> int:
        """Return how many packets the kernel has dropped since the queue was full."""
        table = Path("/proc/self/net/netfilter/nfnetlink_queue").read_text("ascii").splitlines()
        lines = [[int(word) for word in line.split()] for line in table]
        return sum(line[5] + line[6] for line in lines if line[0] == self.queue)

    def _share(self, share: float) -> float:
        """Return the lateness that this share of packets has at most."""
        rank, below = sum(self._lateness) * share, 0
        for index, count in enumerate(self._lateness):
            below += count
            if below >= rank and below:
                return (index + 1) * STEP / 1e9
        return 0.0
