"""What users are told when a host cannot be worked with: what, where, from where, what to do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.hosts.remote import Remote
from tests.integration.hosts.rig import until

from nepiq.controller.errors import (
    DeadlineError,
    HostError,
    HostKeyError,
    HostUnreachable,
    LoginRefused,
)
from nepiq.controller.model.login import Login

#: Seconds on top of a deadline that a loaded machine may take to say so.
SLACK = 4.0


@contextmanager
def told(kind: type[HostError], *words: str, within: float = 5.0) -> Iterator[None]:
    """The block raises exactly this kind of error in time, and all of these words are in it."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        yield
    assert time.monotonic() - began < within + SLACK
    assert type(caught.value) is kind
    text = str(caught.value)
    assert [word for word in words if word not in text] == [], text
    assert caught.value.hint


def key(folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> str:
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    return str(path)


# --- it does not answer


def test_nothing_listens(remote: Remote) -> None:
    login = remote.login(remote.bed.hosts[0], port=2222, server_key=public(remote))
    with told(HostUnreachable, "10.", ":2222", "lab-pc", "refused", "sshd"):
        remote.host(login).prepare()


def public(remote: Remote) -> str:
    """The public key of the first host."""
    return remote.bed.hosts[0].known_hosts_line.split(" ", 1)[1]


def test_no_answer(remote: Remote) -> None:
    login = remote.login(remote.bed.unreachable, connect_timeout=1.0)
    with told(HostUnreachable, "no answer within 1 s", "lab-pc", "firewall", within=1.0):
        remote.host(login).prepare()


def test_silence(remote: Remote) -> None:
    address, port = remote.bed.silent_port()
    login = remote.login(address, port=port, connect_timeout=1.0)
    with told(HostUnreachable, "no SSH greeting within 1 s", "lab-pc", within=1.0):
        remote.host(login).prepare()
    with told(DeadlineError, "time of the step was over", within=0.5):
        remote.host(remote.login(address, port=port), seconds=0.5).prepare()


def test_no_such_name(remote: Remote) -> None:
    with told(HostUnreachable, "no.such.host.invalid", "lab-pc", "spelt"):
        remote.host(remote.login("no.such.host.invalid")).prepare()


def test_something_else_listens(remote: Remote) -> None:
    server = remote.bed.hosts[0]
    listener = server.run(
        "(while :; do echo hello | nc -q0 -l 7777; done) >/dev/null 2>&1 & echo $!"
    )
    assert listener.stdout.strip().isdigit()
    login = remote.login(server, port=7777, connect_timeout=1.0, server_key=public(remote))
    with told(HostUnreachable, "hung up before the login", within=2.0):
        remote.host(login).prepare()


# --- it is not who it should be


def test_an_unknown_host_key(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("UserKnownHostsFile /dev/null\n")
    stranger = Remote(remote.bed)
    stranger.pool._ssh_config = str(tmp_path / "config")
    host = remote.bed.hosts[0]
    with told(HostKeyError, host.address, "not known", "lab-pc", "SHA256:", "accept-new"):
        stranger.host(remote.login(host)).prepare()
    accepting = stranger.host(remote.login(host, accept_new=True))
    accepting.prepare()
    assert accepting.facts.host_key == public(remote).rsplit(" ", 1)[0] or public(
        remote
    ).startswith(accepting.facts.host_key)
    stranger.close()


def test_a_changed_host_key(remote: Remote, tmp_path: Path) -> None:
    first, second = remote.bed.hosts[:2]
    other = second.known_hosts_line.split(" ", 1)[1]
    (tmp_path / "known").write_text(f"{first.address} {other}\n")
    (tmp_path / "config").write_text(f"UserKnownHostsFile {tmp_path}/known\n")
    deceived = Remote(remote.bed)
    deceived.pool._ssh_config = str(tmp_path / "config")
    with told(HostKeyError, first.address, "another key", "ssh-keygen -R", "lab-pc"):
        deceived.host(remote.login(first, accept_new=True)).prepare()
    with told(HostKeyError, first.address, "another key", "serverKey"):
        remote.host(remote.login(first, server_key=other)).prepare()
    deceived.close()


# --- it does not let us in


def test_a_key_that_it_does_not_know(remote: Remote, tmp_path: Path) -> None:
    wrong = key(tmp_path, "wrong")
    with told(LoginRefused, "lab@", wrong, "lab-pc", "authorized_keys"):
        remote.host(remote.login(remote.bed.hosts[0], identity=wrong)).prepare()


def test_a_key_that_is_not_there(remote: Remote, tmp_path: Path) -> None:
    with told(LoginRefused, f"{tmp_path}/nokey", "lab-pc", "does not exist"):
        remote.host(remote.login(remote.bed.hosts[0], identity=f"{tmp_path}/nokey")).prepare()


def test_a_key_with_a_passphrase(remote: Remote, tmp_path: Path) -> None:
    locked = key(tmp_path, "locked", passphrase="secret words")
    with told(LoginRefused, locked, "lab-pc", "passphrase", "ssh-add"):
        remote.host(remote.login(remote.bed.hosts[0], identity=locked)).prepare()


def test_no_key_at_all(remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "config").write_text(
        f"UserKnownHostsFile {remote.bed.known_hosts}\nIdentityFile {tmp_path}/none\n"
    )
    bare = Remote(remote.bed)
    bare.pool._ssh_config = str(tmp_path / "config")
    with told(LoginRefused, "no key", "lab-pc", "identity="):
        bare.host(remote.login(remote.bed.hosts[0], identity="")).prepare()
    bare.close()


# --- the way there


def test_the_gateway_is_down(remote: Remote) -> None:
    inner, outer = remote.bed.private[0], remote.bed.gateway
    assert outer is not None
    outer.crash()
    gateway = remote.login(outer, connect_timeout=1.0)
    login = remote.login(inner, gateway=gateway, connect_timeout=2.0)
    with told(HostUnreachable, outer.address, "lab-pc", within=4.0):
        remote.host(login).prepare()
    outer.boot()
    # Nobody tries again for a second after an attempt has failed.
    until(lambda: prepared(remote, login))


def prepared(remote: Remote, login: Login) -> bool:
    try:
        remote.host(login).prepare()
    except HostUnreachable:
        return False
    return True


def test_the_gateway_lets_nobody_through(remote: Remote) -> None:
    inner, outer = remote.bed.private[0], remote.bed.gateway
    assert outer is not None
    outer.configure(AllowTcpForwarding="no")
    login = remote.login(inner, gateway=remote.login(outer))
    with told(HostError, "gateway", outer.address, inner.address, "AllowTcpForwarding"):
        remote.host(login).prepare()


def test_the_gateway_does_not_reach_it(remote: Remote) -> None:
    inner, outer = remote.bed.private[0], remote.bed.gateway
    assert outer is not None
    login = remote.login(inner, port=2222, gateway=remote.login(outer), connect_timeout=2.0)
    with told(HostUnreachable, "gateway", outer.address, inner.address, within=2.0):
        remote.host(login).prepare()


# --- what it lacks


def test_a_full_disk(remote: Remote) -> None:
    host = remote.bed.hosts[0]
    host.run(
        "mount -t tmpfs -o size=64k,mode=777 full /home/lab && head -c 64k /dev/zero >/home/lab/it",
        user="root",
        check=False,
    )
    with pytest.raises(HostError, match="No space left"):
        remote.host(remote.login(host)).prepare()


def test_a_home_that_cannot_be_written(remote: Remote) -> None:
    host = remote.bed.hosts[0]
    host.run("chown root /home/lab && chmod 555 /home/lab", user="root")
    with pytest.raises(HostError, match=r"Permission denied|Read-only"):
        remote.host(remote.login(host)).prepare()
    host.run("chown lab /home/lab && chmod 755 /home/lab", user="root")


def test_a_missing_tool(remote: Remote) -> None:
    host = remote.bed.hosts[0]
    host.run("mkdir -p bin && for t in sh mkdir cat rm; do ln -s /bin/$t bin/$t; done")
    host.run("echo 'PATH=/home/lab/bin' >.bashrc")
    with pytest.raises(HostError, match=r"this host lacks: .*flock"):
        remote.host(remote.login(host)).prepare()


def test_a_login_that_chats(remote: Remote) -> None:
    host = remote.bed.hosts[0]
    host.run("echo 'echo Welcome; date' >.bashrc")
    chatty = remote.host(remote.login(host))
    chatty.prepare()
    assert chatty.run("echo that").stdout == b"that\n"
    assert chatty.supervise("exec sleep 60").exit is None
    chatty.clear()


def test_a_login_that_runs_no_commands(remote: Remote) -> None:
    host = remote.bed.hosts[0]
    host.configure(ForceCommand="echo go away; exit 3")
    with told(HostError, "the login shell runs no commands: go away"):
        remote.host(remote.login(host)).prepare()


def test_every_key_in_the_agent_is_tried(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(part.split("=", 1) for part in agent.split(";") if "=" in part)
    found = {name.strip(): value for name, value in found.items()}
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", found["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", str(remote.bed.identity)], check=True)
        login = remote.login(remote.bed.hosts[0], identity="")
        config = Path(remote.bed.ssh_config).read_text().replace("IdentityFile", "#IdentityFile")
        mine = Path(remote.bed.ssh_config).with_name("config-agent")
        mine.write_text(config.replace("IdentitiesOnly", "#IdentitiesOnly"))
        remote.pool._ssh_config = str(mine)
        remote.host(login).prepare()
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), 15)


def test_certificates_and_kinds_of_keys(remote: Remote, tmp_path: Path) -> None:
    host = remote.bed.hosts[0]
    for kind in ("rsa", "ecdsa", "ed25519"):
        path = key(tmp_path, kind, kind)
        host.run("cat >>/home/lab/keys", text=Path(f"{path}.pub").read_text())
    host.configure(AuthorizedKeysFile="/home/lab/keys")
    for kind in ("rsa", "ecdsa", "ed25519"):
        assert remote.host(remote.login(host, identity=str(tmp_path / kind))).facts.user == "lab"


def test_the_name_of_the_login_is_in_its_errors() -> None:
    assert str(Login("fe80::1", "lab", 2222)) == "lab@[fe80::1]:2222"
