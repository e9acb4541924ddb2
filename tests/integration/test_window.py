"""The window: what comes twice, what is lost, who has gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from tests.integration.conftest import RUN_ID, RedisServer
from tests.stand import until

from nepiq.controller.engine.transfer import flow_control
from nepiq.controller.engine.transfer.flow_control import (
    DATA,
    END,
    WINDOW,
    Pulse,
    Receiver,
    Sender,
    Ways,
)
from nepiq.controller.errors import TransferSilent

COUNT = 200


class Pair:
    """A sender here and a receiver in a thread, each with a client of its own."""

    def __init__(self, server: RedisServer) -> None:
        self.clients = [server.client() for _ in range(3)]
        self.ways = Ways(RUN_ID, "t")
        self.got: list[bytes] = []
        self.error: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self._thread = threading.Thread(target=self._receive)

    @contextlib.contextmanager
    def open(self) -> Iterator[Sender]:
        """The sender; at the end everything has arrived."""
        sending, receiving, _ = self.clients
        with (
            Pulse(sending, self.ways.client, self.ways.worker, name="the worker") as here,
            Pulse(receiving, self.ways.worker, self.ways.client, name="the client") as there,
        ):
            self._receiver = Receiver(receiving, self.ways, there)
            self._thread.start()
            sender = Sender(sending, self.ways, here)
            yield sender
            assert sender.answer("count") == len(self.got)
            self._thread.join()

    def _receive(self) -> None:
        for kind, payload in self._receiver.messages():
            self.go_on.wait()
            if kind == END:
                self._receiver.answer(count=len(self.got))
                return
            self.got.append(payload)

    @property
    def other(self) -> Redis:
        return self.clients[2]

    def close(self) -> None:
        self.go_on.set()
        for client in self.clients:
            client.close()


@pytest.fixture
def pair(redis_server: RedisServer, redis_client: Redis) -> Iterator[Pair]:
    made = Pair(redis_server)
    yield made
    made.close()


def expected() -> list[bytes]:
    return [b"%d" % number for number in range(COUNT)]


def test_in_order_and_bounded(pair: Pair) -> None:
    longest = 0
    with pair.open() as sender:
        for payload in expected():
            sender.send(DATA, payload)
            longest = max(longest, pair.other.llen(pair.ways.blocks))  # type: ignore[type-var]
        sender.tell(END, {})
    assert pair.got == expected()
    assert longest <= WINDOW


def test_messages_that_come_twice(pair: Pair) -> None:
    with pair.open() as sender:
        for payload in expected():
            sender.send(DATA, payload)
            for message in pair.other.lrange(pair.ways.blocks, 0, -1):  # type: ignore[union-attr]
                pair.other.rpush(pair.ways.blocks, message)
        sender.tell(END, {})
    assert pair.got == expected()


def test_messages_that_are_lost(pair: Pair) -> None:
    with pair.open() as sender:
        for payload in expected()[:100]:
            sender.send(DATA, payload)
        until(lambda: len(pair.got) == 100, 10.0, "they did not arrive")
        pair.go_on.clear()
        for payload in expected()[100:103]:
            sender.send(DATA, payload)
        assert pair.other.rpop(pair.ways.blocks, 2) is not None
        pair.go_on.set()
        for payload in expected()[103:]:
            sender.send(DATA, payload)
        sender.tell(END, {})
    assert pair.got == expected()


def test_the_last_message_is_lost(pair: Pair) -> None:
    """Nothing shows that it is missing until the receiver asks."""
    with pair.open() as sender:
        sender.send(DATA, b"x")
        until(lambda: pair.got, 10.0, "it did not arrive")
        pair.go_on.clear()
        sender.send(DATA, b"y")
        sender.tell(END, {})
        assert pair.other.rpop(pair.ways.blocks) is not None
        pair.go_on.set()
    assert pair.got == [b"x", b"y"]


def test_connections_that_are_killed(pair: Pair) -> None:
    with pair.open() as sender:
        for number, payload in enumerate(expected()):
            sender.send(DATA, payload)
            if number % 40 == 0:
                pair.other.client_kill_filter(_type="normal", skipme=True)
        sender.tell(END, {})
    assert pair.got == expected()


def test_a_receiver_that_stops_reading_holds_the_sender_back(pair: Pair) -> None:
    with pair.open() as sender:
        pair.go_on.clear()
        sending = threading.Thread(target=lambda: [sender.send(DATA, p) for p in expected()])
        sending.start()
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            assert pair.other.llen(pair.ways.blocks) <= WINDOW  # type: ignore[operator]
        assert sending.is_alive()
        assert len(pair.got) <= 1
        pair.go_on.set()
        sending.join()
        sender.tell(END, {})
    assert pair.got == expected()


@pytest.mark.parametrize("appears", [True, False])
def test_the_other_side_is_silent(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, appears: bool
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 1.5)
    monkeypatch.setattr(flow_control, "PATIENCE", 2.0)
    ways = Ways(RUN_ID, "t")
    if appears:
        redis_client.set(ways.worker, "7")
    with Pulse(redis_client, ways.client, ways.worker, name="the worker") as pulse:
        sender = Sender(redis_client, ways, pulse)
        told = "gave no sign of life for 1.5 s" if appears else "did not take it up for 2 s"
        with pytest.raises(TransferSilent, match=f"the worker {told}"):
            sender.answer("never")
        with pytest.raises(TransferSilent):
            list(Receiver(redis_client, ways, pulse).messages())


def test_the_other_side_breaks_off(redis_client: Redis) -> None:
    ways = Ways(RUN_ID, "t")
    called = threading.Event()
    with Pulse(redis_client, ways.client, ways.worker, name="the worker") as pulse:
        pulse.on_lost(called.set)
        with Pulse(redis_client, ways.worker, ways.client, name="the client"):
            pass
        with pytest.raises(TransferSilent, match="the worker has broken off"):
            list(Receiver(redis_client, ways, pulse).messages())
        assert called.is_set()


def test_nothing_stays_in_redis(pair: Pair) -> None:
    with pair.open() as sender:
        sender.send(DATA, b"x")
        sender.tell(END, {})
    left = pair.other.keys("nepiq:*:x:*")
    assert all(0 < pair.other.ttl(key) <= 60 for key in left)  # type: ignore[union-attr,operator]
