"""Flow control: commands that are repeated, messages that are lost, a side that goes."""

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
    Heartbeat,
    Receiver,
    Sender,
    TransferKeys,
)
from nepiq.controller.errors import TransferSilent

COUNT = 200


class Pair:
    """A sender here and a receiver in a thread, each with a client of its own."""

    def __init__(self, server: RedisServer) -> None:
        self.clients = [server.client() for _ in range(3)]
        self.keys = TransferKeys(RUN_ID, "t")
        self.got: list[bytes] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.thread = threading.Thread(target=self._receive)

    @contextlib.contextmanager
    def open(self, *, complete: bool = True) -> Iterator[Sender]:
        """The sender; at the end everything has arrived, unless it is not ``complete``."""
        sending = self.clients[0]
        with Heartbeat(sending, self.keys.client, self.keys.worker, name="the worker") as here:
            self.thread.start()
            sender = Sender(sending, self.keys, here)
            yield sender
            if complete:
                assert sender.answer("count") == len(self.got)
            self.thread.join()

    def _receive(self) -> None:
        keys, redis = self.keys, self.clients[1]
        with Heartbeat(redis, keys.worker, keys.client, name="the client") as there:
            self.receiver = Receiver(redis, keys, there)
            for kind, payload in self.receiver.messages():
                self.go_on.wait()
                if kind == END:
                    self.receiver.answer(count=len(self.got))
                    return
                self.got.append(payload)

    @property
    def other(self) -> Redis:
        return self.clients[2]

    def close(self) -> None:
        self.go_on.set()
        self.thread.join()
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
            longest = max(longest, pair.other.llen(pair.keys.blocks))  # type: ignore[type-var]
        sender.send_json(END, {})
    assert pair.got == expected()
    assert longest <= WINDOW


def test_messages_that_come_twice(pair: Pair) -> None:
    with pair.open() as sender:
        for payload in expected():
            sender.send(DATA, payload)
            # At most a window of them: a receiver that lags would have to read ever more copies.
            copies = pair.other.lrange(pair.keys.blocks, 0, WINDOW - 1)
            if copies:
                pair.other.rpush(pair.keys.blocks, *copies)  # type: ignore[misc]
        sender.send_json(END, {})
    assert pair.got == expected()


def test_messages_that_are_lost(pair: Pair) -> None:
    with pair.open() as sender:
        for payload in expected()[:100]:
            sender.send(DATA, payload)
        until(lambda: len(pair.got) == 100, 10.0, "they did not arrive")
        pair.go_on.clear()
        for payload in expected()[100:103]:
            sender.send(DATA, payload)
        assert pair.other.rpop(pair.keys.blocks, 2) is not None
        pair.go_on.set()
        for payload in expected()[103:]:
            sender.send(DATA, payload)
        sender.send_json(END, {})
    assert pair.got == expected()


def test_the_last_message_is_lost(pair: Pair) -> None:
    """Nothing shows that it is missing until the receiver asks."""
    with pair.open() as sender:
        sender.send(DATA, b"x")
        until(lambda: pair.got, 10.0, "it did not arrive")
        pair.go_on.clear()
        sender.send(DATA, b"y")
        sender.send_json(END, {})
        assert pair.other.rpop(pair.keys.blocks) is not None
        pair.go_on.set()
    assert pair.got == [b"x", b"y"]


def test_the_receiver_is_woken(pair: Pair) -> None:
    with pair.open(complete=False) as sender:
        sender.send(DATA, b"x")
        until(lambda: pair.got, 10.0, "it did not arrive")
        pair.receiver.wake()
    assert pair.got == [b"x"]


def test_connections_that_are_killed(pair: Pair) -> None:
    with pair.open() as sender:
        for number, payload in enumerate(expected()):
            sender.send(DATA, payload)
            if number % 40 == 0:
                pair.other.client_kill_filter(_type="normal", skipme=True)
        sender.send_json(END, {})
    assert pair.got == expected()


def test_a_receiver_that_stops_reading_holds_the_sender_back(pair: Pair) -> None:
    with pair.open() as sender:
        pair.go_on.clear()
        sending = threading.Thread(target=lambda: [sender.send(DATA, p) for p in expected()])
        sending.start()
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            assert pair.other.llen(pair.keys.blocks) <= WINDOW  # type: ignore[operator]
            time.sleep(0.001)
        assert sending.is_alive()
        assert len(pair.got) <= 1
        pair.go_on.set()
        sending.join()
        sender.send_json(END, {})
    assert pair.got == expected()


@pytest.mark.parametrize("appears", [True, False])
def test_the_other_side_is_silent(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, appears: bool
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 1.5)
    monkeypatch.setattr(flow_control, "PATIENCE", 2.0)
    keys = TransferKeys(RUN_ID, "t")
    if appears:
        redis_client.set(keys.worker, "7")
    with Heartbeat(redis_client, keys.client, keys.worker, name="the worker") as heartbeat:
        sender = Sender(redis_client, keys, heartbeat)
        told = "sent no heartbeat for 1.5 s" if appears else "did not start the transfer within 2 s"
        with pytest.raises(TransferSilent, match=f"the worker {told}"):
            sender.answer("never")
        with pytest.raises(TransferSilent):
            list(Receiver(redis_client, keys, heartbeat).messages())


def test_the_other_side_breaks_off(redis_client: Redis) -> None:
    keys = TransferKeys(RUN_ID, "t")
    called = threading.Event()
    with Heartbeat(redis_client, keys.client, keys.worker, name="the worker") as heartbeat:
        heartbeat.on_lost(called.set)
        with Heartbeat(redis_client, keys.worker, keys.client, name="the client"):
            pass
        with pytest.raises(TransferSilent, match="the worker has broken off"):
            list(Receiver(redis_client, keys, heartbeat).messages())
        assert called.is_set()


def test_nothing_stays_in_redis(pair: Pair) -> None:
    with pair.open() as sender:
        sender.send(DATA, b"x")
        sender.send_json(END, {})
    left = pair.other.keys("nepiq:*:x:*")
    assert all(0 < pair.other.ttl(key) <= 60 for key in left)  # type: ignore[union-attr,operator]
