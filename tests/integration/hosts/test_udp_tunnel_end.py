"""The program of a linux::UdpTunnel: two of it on this machine, and one that nobody answers."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.resources.linux.network import udp_tunnel_end

pytestmark = pytest.mark.needs("ip")


@pytest.fixture
def taps(need: Need) -> Iterator[tuple[str, str]]:
    """Two TAP interfaces in namespaces of their own, named as the interfaces."""
    need("root", os.geteuid() == 0, "interfaces are made as root")
    need("/dev/net/tun", Path("/dev/net/tun").exists())
    names = tuple(f"nqt{secrets.token_hex(3)}{end}" for end in "ab")
    with contextlib.ExitStack() as stack:
        for number, name in enumerate(names, 1):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "tuntap", "add", name, "mode", "tap")
            ip("-n", name, "address", "add", f"10.213.9.{number}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up")
        # The way between the two.
        ip("link", "add", "e0", "netns", names[0], "type", "veth", "peer", "e0", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "address", "add", f"10.213.10.{number}/24", "dev", "e0")
            ip("-n", name, "address", "add", f"fd00::{number}/64", "dev", "e0", "nodad")
            ip("-n", name, "link", "set", "e0", "up")
        yield names[0], names[1]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


@contextlib.contextmanager
def end(
    name: str, remote: str = "", port: int = 0, *, local: str = "", patience: float = 10
) -> Iterator[str]:
    """Run an end in a namespace; the first line that it prints, or its error."""
    program = Path(udp_tunnel_end.__file__).read_text()
    given = {"device": name, "mode": "tap", "pi": False, "word": "here", "local": local}
    given |= {"remote": remote, "port": port, "patience": patience}
    words = [f"{key}={value}" for key, value in given.items()]
    process = subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.needs("ping")
@pytest.mark.parametrize(
    ("local", "remote"),
    [("", "10.213.10.2"), ("fd00::2", "fd00::2"), ("::", "fd00::2"), ("192.0.2.1", "10.213.10.2")],
)
def test_two_ends(taps: tuple[str, str], local: str, remote: str) -> None:
    """Over IPv4 and IPv6; an address that the host lacks does not matter."""
    one, two = taps
    with end(two, local=local) as said:
        word, port = said.split()
        assert word == "port"
        with end(one, remote, int(port)) as answer:
            assert answer == "joined"
            ping = ["ping", "-n", "-c", "3", "-i", "0.1", "-s", "9000", "10.213.9.2"]
            done = subprocess.run(
                ["ip", "netns", "exec", one, *ping],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            assert "3 received, 0% packet loss" in done.stdout


def test_nobody_answers(taps: tuple[str, str]) -> None:
    with end(taps[0], "10.213.10.2", 9, patience=0.5) as said:
        assert said == "no answer from 10.213.10.2 port 9 by UDP within 0.5 s"


def test_a_stranger_does_not_join(taps: tuple[str, str]) -> None:
    """What does not know the word of the tunnel neither joins nor gets frames in."""
    with end(taps[0]) as said:
        command = (
            "import socket, sys; it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
            "it.settimeout(0.3); it.sendto(b'nepiq hello other', ('127.0.0.1', int(sys.argv[1])))\n"
            "try: print(it.recv(99))\n"
            "except OSError: print('no answer')"
        )
        done = subprocess.run(
            ["ip", "netns", "exec", taps[0], sys.executable, "-c", command, said.split()[1]],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stdout == "no answer\n"
