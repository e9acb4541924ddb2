"""Hosts behind other hosts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.testbed import Host, Testbed
from tests.testbed.files import Key

from nepiq.controller.errors import HostError, HostUnreachable
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.controller.resources.linux.node import Node
from nepiq.workers.sessions.ssh import SshSession

from .remote import MACHINE, Remote, own_bed, wires
from .rig import until

pytestmark = pytest.mark.usefixtures("every_host")


def hostname(session: SshSession) -> str:
    done = session.execute("hostname", deadline=Deadline.after(20))
    assert done.code == 0
    return done.stdout.decode().strip()


def plain(remote: Remote, folder: Path) -> Remote:
    """A worker whose ssh_config says nothing about gateways."""
    text = remote.bed.ssh_config.read_text().replace("ProxyJump gateway", "")
    (folder / "plain").write_text(text)
    return Remote(remote.bed, folder / "plain")


def error_of(session: SshSession) -> HostError:
    with pytest.raises(HostError) as caught:
        session.execute("true", deadline=Deadline.after(20))
    assert MACHINE in caught.value.message
    return caught.value


def gateway_of(remote: Remote) -> Host:
    assert remote.bed.gateway is not None
    return remote.bed.gateway


def test_proxy_jump_of_ssh_config(remote: Remote) -> None:
    assert hostname(remote.session(Login("private-1"))) == "private-1"


def test_straight(remote: Remote) -> None:
    error = error_of(remote.session(Login("private-1", direct=True, connect_timeout=1.0)))
    assert isinstance(error, HostUnreachable)


def test_one_and_two_hops_by_attribute(remote: Remote, tmp_path: Path) -> None:
    worker = plain(remote, tmp_path)
    for chain in ("gateway", "host-1,gateway"):
        login = Login("private-1", gateway=Login.chain(chain))
        assert hostname(worker.session(login)) == "private-1"
    log = gateway_of(remote).log()
    assert f"Connection from {remote.bed.hosts[0].address}" in log, "not through host-1"
    worker.close()


def test_two_hops_of_ssh_config(remote: Remote, tmp_path: Path) -> None:
    text = remote.bed.ssh_config.read_text().replace(
        "ProxyJump gateway", "ProxyJump host-2,gateway"
    )
    (tmp_path / "config").write_text(text)
    worker = Remote(remote.bed, tmp_path / "config")
    assert hostname(worker.session(Login("private-2"))) == "private-2"
    assert f"Connection from {remote.bed.hosts[1].address}" in gateway_of(remote).log()
    worker.close()


@pytest.mark.parametrize("way", ["attributes", "ssh_config"])
def test_a_gateway_with_user_port_and_key_of_its_own(tmp_path: Path, way: str) -> None:
    options = {"Port": "2022", "AuthorizedKeysFile": "/home/%u/keys"}
    with Testbed(hosts=0, private=1, sshd_of={"gateway": options}) as bed:
        key = Key.make()
        key.save(tmp_path / "key")
        assert bed.gateway is not None
        bed.gateway.run(f"echo '{key.public}' >keys", user="guest")
        address = bed.gateway.address
        known = bed.known_hosts.read_text().replace(f"{address} ", f"[{address}]:2022 ")
        bed.known_hosts.write_text(known)
        text = bed.ssh_config.read_text().replace("ProxyJump gateway", "")
        attributes: dict[str, object] = {"hostname": "private-1"}
        if way == "attributes":
            attributes |= {"gateway": address, "gatewayUser": "guest", "gatewayPort": 2022}
            attributes |= {"gatewayIdentity": str(tmp_path / "key"), "identity": str(bed.identity)}
        else:
            text = (
                f"Host {address}\nUser guest\nPort 2022\nIdentityFile {tmp_path}/key\n"
                f"Host private-1\nProxyJump {address}\n{text}"
            )
        (tmp_path / "config").write_text(text)
        remote = Remote(bed, tmp_path / "config")
        node = Node.load(guid=1, attributes=attributes)
        assert hostname(remote.session(node.login())) == "private-1"
        assert "Accepted publickey for guest" in bed.gateway.log()
        remote.close()


def test_ten_hosts_share_the_connection() -> None:
    with own_bed(hosts=0, private=10, MaxSessions="2") as remote:
        assert hostname(remote.session(Login("gateway"))) == "gateway"  # others wait for a second
        sessions = [remote.session(Login(host.name)) for host in remote.bed.private]
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(hostname, sessions)) == [h.name for h in remote.bed.private]
        assert len(wires()) == 11
        assert remote.connection(Login("gateway")).made == 1


def test_a_gateway_that_was_lost_and_is_back(remote: Remote) -> None:
    session = remote.session(Login("private-1"))
    channel = session.open("cat")
    gateway_of(remote).crash()
    with pytest.raises(HostUnreachable):
        next(channel.lines())
    error = error_of(remote.session(Login("private-2", connect_timeout=0.5)))
    assert "gateway" in str(error)
    gateway_of(remote).boot()
    until(lambda: answers(session))


def answers(session: SshSession) -> bool:
    try:
        return hostname(session) == "private-1"
    except HostUnreachable:
        return False


def test_a_gateway_that_forbids_it(remote: Remote) -> None:
    gateway_of(remote).configure(AllowTcpForwarding="no")
    error = error_of(remote.session(Login("private-1")))
    assert type(error) is HostError
    assert "gateway" in error.message
    assert "private-1" in error.message
    assert "AllowTcpForwarding" in error.hint


def test_a_gateway_that_does_not_reach_the_host(remote: Remote) -> None:
    remote.bed.private[0].crash()
    error = error_of(remote.session(Login("private-1", connect_timeout=6.0)))
    assert isinstance(error, HostUnreachable)
    assert "private-1" in error.message
    assert "gateway" in str(error)


def test_a_port_where_nothing_listens(remote: Remote) -> None:
    error = error_of(remote.session(Login("private-1", port=4)))
    assert isinstance(error, HostUnreachable)
    assert "cannot reach lab@10.77." in error.message
    assert "does its sshd run" in error.hint


@pytest.mark.parametrize("what", ["silent", "cut"])
def test_a_gateway_that_does_not_answer(remote: Remote, what: str) -> None:
    gateway = gateway_of(remote)
    (gateway.silence if what == "silent" else gateway.cut)()
    error = error_of(remote.session(Login("private-1", connect_timeout=1.0)))
    assert isinstance(error, HostUnreachable)
    assert "(gateway)" in error.message
    if what == "silent":
        gateway.unsilence()


def test_a_host_that_falls_silent_behind_its_gateway(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP ends at the gateway, so the host itself is asked for signs of life."""
    monkeypatch.setattr("nepiq.workers.sessions.ssh.transport.KEEPALIVE", 0.7)
    session = remote.session(Login("private-1"))
    channel = session.open("cat")
    threading.Event().wait(2.5)  # longer than it may say nothing: it answers, so it stays
    channel.send(b"here")
    assert next(channel.lines()) == b"here"
    remote.bed.private[0].cut()
    with pytest.raises(HostUnreachable, match=r"no sign of life for 2\.1 s"):
        next(channel.lines())


def test_proxy_command(remote: Remote, tmp_path: Path) -> None:
    """Another program connects; it ends with the connection."""
    config, bed = tmp_path / "config", remote.bed
    text = bed.ssh_config.read_text().replace("ProxyJump gateway", "")
    config.write_text(
        f"Host private-1\nProxyCommand ssh -F {bed.ssh_config} -W %h:%p gateway\n{text}"
    )
    worker = Remote(bed, config)
    session = worker.session(Login("private-1"))
    assert hostname(session) == "private-1"
    channel = session.open("cat")
    channel.send(b"both ways")
    assert next(channel.lines()) == b"both ways"
    worker.close()
    with pytest.raises(HostError):
        next(channel.lines())


@pytest.mark.parametrize("command", ["false", "echo no; exit 1", "cat", "/no/such/program"])
def test_a_proxy_command_that_fails(remote: Remote, tmp_path: Path, command: str) -> None:
    config = tmp_path / "config"
    text = remote.bed.ssh_config.read_text().replace("ProxyJump gateway", f"ProxyCommand {command}")
    config.write_text(text)
    worker = Remote(remote.bed, config)
    error = error_of(worker.session(Login("private-1", connect_timeout=1.0)))
    assert isinstance(error, HostUnreachable)
    assert f"ProxyCommand '{command}'" in error.message or "no SSH greeting" in error.message
    worker.close()
