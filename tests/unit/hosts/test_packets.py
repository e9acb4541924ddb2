"""Packets of SSH with AES-GCM, beside Paramiko's own at the other end."""

from __future__ import annotations

import os
import random
import socket
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import paramiko
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.common import MSG_CHANNEL_DATA, cMSG_CHANNEL_DATA
from paramiko.message import Message
from paramiko.packet import Packetizer

from nepiq.workers.sessions.ssh.ciphers import chosen
from nepiq.workers.sessions.ssh.packets import Blocks, Burst, Packets

SIZES = (0, 1, 10, 11, 12, 27, 1000, 16_000, 32_000, 200_000)


NONCE = os.urandom(4) + bytes(7) + b"\xff"  # the counter soon needs another byte


def keys() -> Any:
    """New ones, in the form in which Paramiko hands them over."""
    cipher = {"block_engine": AESGCM(os.urandom(16)), "block_size": 16, "aead": True}
    return cipher | {"mac_engine": None, "mac_key": None, "mac_size": 16}


class Pair:
    """A worker's packets, and Paramiko's as those of a server."""

    def __init__(self) -> None:
        self.socks = socket.socketpair()
        self.worker, self.server = Packets(self.socks[0]), Packetizer(self.socks[1])
        up, down = keys(), keys()
        self.worker.set_outbound_cipher(**up, iv_out=NONCE)
        self.server.set_inbound_cipher(**up, iv_in=NONCE)
        self.worker.set_inbound_cipher(**down, iv_in=NONCE)
        self.server.set_outbound_cipher(**down, iv_out=NONCE)

    def close(self) -> None:
        for sock in self.socks:
            sock.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def data(payload: bytes) -> Message:
    message = Message()
    message.add_byte(cMSG_CHANNEL_DATA)
    message.add_int(7)
    message.add_string(payload)
    return message


def in_background(messages: Sequence[Message], end: Packetizer) -> threading.Thread:
    def send() -> None:
        for message in messages:
            end.send_message(message)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def received(end: Packetizer, count: int) -> list[tuple[int, int, bytes]]:
    result = []
    for _ in range(count):
        kind, message = end.read_message()
        result.append((kind, message.get_int(), message.get_binary()))
    return result


def test_messages_of_all_sizes_in_both_directions(pair: Pair) -> None:
    payloads = [os.urandom(size) for size in SIZES] * 5
    random.Random(1).shuffle(payloads)
    messages = [data(payload) for payload in payloads]
    expected = [(MSG_CHANNEL_DATA, 7, payload) for payload in payloads]
    for sender, receiver in ((pair.worker, pair.server), (pair.server, pair.worker)):
        thread = in_background(messages, sender)
        assert received(receiver, len(payloads)) == expected
        thread.join()


def test_a_burst_is_several_messages(pair: Pair) -> None:
    whole = memoryview(os.urandom(100_000))
    chunks = [whole[at : at + 32_000] for at in range(0, len(whole), 32_000)]
    burst = Burst()
    burst.payloads = [(data(b"").asbytes()[:-4], len(c).to_bytes(4, "big"), c) for c in chunks]
    thread = in_background([burst], pair.worker)
    parts = received(pair.server, len(chunks))
    assert b"".join(part for _, _, part in parts) == whole
    thread.join()


def test_keys_change_behind_messages_that_have_arrived_already(pair: Pair) -> None:
    pair.server.send_message(data(b"old"))
    new = keys()
    pair.server.set_outbound_cipher(**new, iv_out=NONCE)
    pair.server.send_message(data(b"new"))
    assert received(pair.worker, 1) == [(MSG_CHANNEL_DATA, 7, b"old")]
    pair.worker.set_inbound_cipher(**new, iv_in=NONCE)
    assert received(pair.worker, 1) == [(MSG_CHANNEL_DATA, 7, b"new")]


def test_a_changed_message_is_an_error(pair: Pair) -> None:
    pair.server.send_message(data(b"x" * 100))
    changed = bytearray(pair.socks[0].recv(1000))
    changed[50] ^= 1
    pair.socks[1].sendall(changed)
    with pytest.raises(InvalidTag):
        pair.worker.read_message()


@pytest.mark.parametrize("size", [0, 15, 300_000, 0xFFFFFFFF])
def test_lengths_that_cannot_be(pair: Pair, size: int) -> None:
    pair.socks[1].sendall(size.to_bytes(4, "big") + bytes(64))
    with pytest.raises(paramiko.SSHException, match="without end"):
        pair.worker.read_message()


def test_another_kind_of_cipher_afterwards_is_refused(pair: Pair) -> None:
    with pytest.raises(paramiko.SSHException, match="another kind of cipher"):
        pair.worker.set_inbound_cipher(block_engine=None, block_size=16, aead=False)


def test_the_end_of_the_connection(pair: Pair) -> None:
    pair.server.send_message(data(b"last"))
    pair.socks[1].shutdown(socket.SHUT_RDWR)
    assert received(pair.worker, 1) == [(MSG_CHANNEL_DATA, 7, b"last")]
    with pytest.raises(EOFError):
        pair.worker.read_message()


def test_a_quiet_connection_needs_little_memory(pair: Pair) -> None:
    tracemalloc.start()
    try:
        thread = in_background([data(bytes(32_000))] * 50, pair.server)
        received(pair.worker, 50)
        thread.join()
        assert tracemalloc.get_traced_memory()[0] > 200_000
        for _ in range(100):
            pair.server.send_message(data(b"x"))
            received(pair.worker, 1)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_the_bell_of_blocks() -> None:
    blocks, bell = Blocks(), threading.Event()
    blocks.set_event(bell)
    blocks.wanted = 10
    blocks.feed(b"12345")
    assert not bell.is_set()
    blocks.feed(b"67890")
    assert bell.is_set()
    assert (len(blocks), blocks.take(1), blocks.take(99), blocks.take(99)) == (
        10,
        b"12345",
        b"67890",
        b"",
    )
    bell.clear()
    blocks.feed(b"x")
    blocks.close()
    assert bell.is_set()


KNOWN = ("aes128-ctr", "3des-cbc", "aes256-ctr", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
USUAL = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "3des-cbc", "aes256-ctr")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("", USUAL),
        ("+3des-cbc,other", USUAL),
        ("-aes*gcm*,3des-cbc", ("aes128-ctr", "aes256-ctr")),
        ("aes256-ctr,chacha20-poly1305@openssh.com,aes128-ctr", ("aes256-ctr", "aes128-ctr")),
        ("^aes256-ctr", ("aes256-ctr", *USUAL[:-1])),
    ],
)
def test_the_choice_of_ssh_config(option: str, expected: tuple[str, ...]) -> None:
    assert chosen(KNOWN, option) == expected


def test_a_choice_of_ciphers_that_leaves_none() -> None:
    with pytest.raises(ValueError, match=r"Ciphers chacha20-poly1305@openssh\.com: a worker has"):
        chosen(KNOWN, "chacha20-poly1305@openssh.com")
