"""A link between two network namespaces, and a relay that serves both of its ends."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nepiq.controller.resources.linux.network.program import archive

ADDRESS, ADDRESS6 = "10.77.0.2", "fd77::2"


class Link:
    """Namespaces ``a`` and ``b``, whose interfaces ``eth0`` are the ends of a veth pair."""

    def __init__(self) -> None:
        self.name = f"nqt{secrets.token_hex(3)}"
        here = {end: f"{self.name}{end}" for end in "ab"}
        for space in here.values():
            ip(f"netns add {space}")
        ip(
            f"link add name eth0 netns {here['a']} mtu 9000 type veth"
            f" peer name eth0 netns {here['b']} mtu 9000"
        )
        for number, space in enumerate(here.values(), 1):
            ip(f"-n {space} addr add 10.77.0.{number}/24 dev eth0")
            ip(f"-n {space} addr add fd77::{number}/64 dev eth0 nodad")
            ip(f"-n {space} link set lo up")
            ip(f"-n {space} link set eth0 up")

    def path(self, end: str) -> str:
        """Return the file that stands for a namespace."""
        return f"/run/netns/{self.name}{end}"

    def run(self, end: str, *command: str) -> str:
        """Run a command in a namespace, and return its output."""
        return run(*self.command(end, *command))

    def command(self, end: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", f"{self.name}{end}", *command]

    def ping(self, *options: str, address: str = ADDRESS) -> list[float]:
        """Return round-trip times in seconds, those of duplicates too."""
        text = self.run("a", "ping", "-n", "-W", "20", *options, address)
        return [float(ms) / 1e3 for ms in re.findall(r"time=([\d.]+) ms", text)]

    def devices(self) -> list[str]:
        """Return the names of the interfaces in both namespaces."""
        return [
            link["ifname"]
            for end in "ab"
            for link in json.loads(run("ip", "-j", "-n", f"{self.name}{end}", "link"))
        ]

    def rules(self) -> str:
        return self.run("a", "nft", "list", "ruleset") + self.run("b", "nft", "list", "ruleset")

    def datagrams(self) -> int:
        """Return how many datagrams of UDP have arrived at ``b``."""
        names, values = (
            line.split() for line in self.run("b", "cat", "/proc/net/snmp").splitlines()
            if line.startswith("Udp:")
        )  # fmt: skip
        seen = dict(zip(names, values, strict=True))
        return sum(int(seen[name]) for name in ("InDatagrams", "NoPorts", "InErrors"))

    def close(self) -> None:
        for end in "ab":
            ip(f"netns del {self.name}{end}")


class Relay:
    """The program, as a host runs it."""

    def __init__(self, folder: Path) -> None:
        program = folder / "relay.pyz"
        program.write_bytes(archive())
        self._call = [sys.executable, "-IS", str(program)]
        self._socket = str(folder / "relay.sock")
        self.process = subprocess.Popen(
            [*self._call, "serve", self._socket],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline().strip()

    def ask(self, *commands: dict[str, Any]) -> list[Any]:
        """Return the answers to a request."""
        done = subprocess.run(
            [*self._call, "ask", self._socket],
            input=json.dumps(commands) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        answers = list(json.loads(done.stdout))
        assert done.returncode == any("error" in answer for answer in answers), done
        return answers

    def figures(self, name: str) -> dict[str, Any]:
        return dict(self.ask({"stats": name})[0][0])

    def await_figures(self, name: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the figures of an end once they are as they must become."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            figures = self.figures(name)
            if reached(figures):
                return figures
        raise AssertionError(figures)

    def close(self) -> tuple[int, str, str]:
        """End it, and return its exit code and outputs."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def ip(words: str) -> None:
    run("ip", *words.split())


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout
