"""Keys of users, made by ssh-keygen, and an agent that holds some."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import Host


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """Write a private key and its public part; return the latter."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    return path.with_name(f"{path.name}.pub").read_text()


def certify(authority: Path, path: Path, user: str) -> None:
    """Write a certificate beside a key: the authority lets it log in as a user."""
    public = path.with_name(f"{path.name}.pub")
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "tests", "-n", user, str(public)]
    subprocess.run(command, check=True)


def let_in(host: Host, public: str, user: str = "lab") -> None:
    """Let a key log in on a host whose sshd reads ``~/keys``."""
    host.run("cat >>keys", user=user, text=public)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(path) == 0


@contextmanager
def agent(folder: Path, *keys: Path, passphrase: str = "secret") -> Iterator[str]:
    """An ssh-agent with keys that have this passphrase, or none; gives its socket."""
    path = str(folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    ask = folder / "ask"
    ask.write_text(f"#!/bin/sh\necho {passphrase}\n")
    ask.chmod(0o700)
    env = {**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS": str(ask)}
    env["SSH_ASKPASS_REQUIRE"] = "force"
    try:
        # Its name is there a moment before anybody listens.
        while not _answers(path):
            assert process.poll() is None, "ssh-agent ended"
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env=env, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()
