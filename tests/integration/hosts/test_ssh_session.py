"""Commands and channels on a host over SSH: what Session promises, and what connections cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from paramiko.common import cMSG_CHANNEL_EOF
from tests.integration.hosts.remote import Remote
from tests.integration.hosts.rig import until
from tests.testbed.host import Host

from nepiq.controller.errors import Cancelled, DeadlineError, HostError, HostUnreachable
from nepiq.controller.model.timing import Deadline
from nepiq.workers.hosts import SshSession
from nepiq.workers.hosts.ssh import Connection
from nepiq.workers.hosts.ssh.wire import Wire

MEGABYTES = 10 << 20


def soon(seconds: float = 30.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture
def host(remote: Remote) -> Host:
    return remote.bed.hosts[0]


@pytest.fixture
def session(remote: Remote, host: Host) -> SshSession:
    return remote.session(remote.login(host))


def connection(remote: Remote, host: Host) -> Connection:
    return remote.pool.connection(remote.login(host))


def logins(host: Host) -> int:
    return host.log().count("Accepted publickey")


# --- commands


def test_code_outputs_and_input(session: SshSession) -> None:
    done = session.execute("cat; echo err >&2; exit 3", stdin=b"a\0b\xff", deadline=soon())
    assert (done.code, done.stdout, done.stderr) == (3, b"a\0b\xff", b"err\n")


def test_code_of_a_signal(session: SshSession) -> None:
    assert session.execute("kill -KILL $$", deadline=soon()).code == 137
    assert session.execute("sh -c 'kill -TERM $$'; exit $?", deadline=soon()).code == 143


def test_bursts(session: SshSession) -> None:
    both = f"head -c {MEGABYTES} /dev/urandom >it; cat it & cat it >&2; wait; md5sum it >&2"
    done = session.execute(both, deadline=soon())
    assert len(done.stdout) == MEGABYTES
    assert done.stderr[:MEGABYTES] == done.stdout


def test_input_that_is_read_slowly(session: SshSession) -> None:
    data = bytes(range(256)) * (MEGABYTES // 256)
    assert session.execute("sleep 0.3; cat", stdin=data, deadline=soon()).stdout == data


def test_input_that_nobody_reads(session: SshSession) -> None:
    assert session.execute("exit 4", stdin=bytes(MEGABYTES), deadline=soon()).code == 4


def test_a_line_of_a_mebibyte(session: SshSession) -> None:
    channel = session.open("cat")
    line = b"x" * (1 << 20)
    channel.send(line)
    assert next(channel.lines()) == line
    channel.close()


def test_outputs_closed_before_the_end(session: SshSession) -> None:
    assert session.execute("exec >&- 2>&-; sleep 0.2; exit 5", deadline=soon()).code == 5


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_giving_up_kills_the_group(session: SshSession, host: Host, how: str) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    if how == "cancel":
        timer.start()
    with pytest.raises(Cancelled if how == "cancel" else DeadlineError):
        session.execute(
            "sleep 77 & sleep 77",
            deadline=soon(0.3 if how == "deadline" else 30.0),
            cancel=cancel if how == "cancel" else None,
        )
    until(lambda: "sleep 77" not in str(host.processes()))


# --- channels


def test_channel_is_duplex(session: SshSession) -> None:
    channel = session.open('while read -r line; do echo "got $line"; done; printf end; exit 3')
    lines = channel.lines()
    for word in (b"one", b"two"):
        channel.send(word)
        assert next(lines) == b"got " + word
    channel.finish()
    assert list(lines) == [b"end"]
    assert channel.code() == 3
    channel.close()


def test_closing_ends_the_program_and_wakes_its_reader(session: SshSession, host: Host) -> None:
    channel = session.open("trap '' TERM; sleep 78 & echo up; cat >/dev/null; sleep 78")
    assert next(channel.lines()) == b"up"
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.extend(channel.lines()))
    reader.start()
    channel.close()
    reader.join(5)
    assert not reader.is_alive()
    assert heard == []
    until(lambda: "sleep 78" not in str(host.processes()))


def test_a_channel_that_falls_silent(session: SshSession) -> None:
    channel = session.open("echo one; echo trouble >&2; exec sleep 60", silence=0.3)
    lines = channel.lines()
    assert next(lines) == b"one"
    with pytest.raises(HostError, match=r"silent.*trouble"):
        next(lines)
    channel.close()


# --- one connection for all


def commands(session: SshSession, count: int, command: str, stdin: bytes = b"") -> None:
    for _ in range(count):
        assert session.execute(command, stdin=stdin, deadline=soon()).code == 0


def in_threads(threads: int, work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result(60)


def test_many_threads_share_a_connection(remote: Remote, session: SshSession, host: Host) -> None:
    # With input that nobody reads, so that messages of a channel meet its end on their way.
    in_threads(20, lambda: commands(session, 20, "true", stdin=b"ignored"))
    assert connection(remote, host).made == 1
    assert logins(host) == 1


def test_without_order_after_the_close_it_breaks(
    remote: Remote, session: SshSession, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the test above can fail: messages may then follow the end of their channel."""
    monkeypatch.setattr(Wire, "_send_message", Wire.__base__._send_message)  # type: ignore[union-attr]
    original = Wire.send_of
    session.execute("true", deadline=soon())
    monkeypatch.setattr(Wire, "send_of", lambda self, *args: late_eof(original, self, *args))
    with pytest.raises(HostUnreachable):
        commands(session, 50, "true")


def late_eof(
    send: Callable[..., None], wire: Wire, channel: object, kind: bytes, *parts: object
) -> None:
    if kind == cMSG_CHANNEL_EOF:
        threading.Timer(0.05, send, (wire, channel, kind, *parts)).start()
    else:
        send(wire, channel, kind, *parts)


@pytest.mark.parametrize("allowed", [1, 2, 10])
def test_as_many_sessions_as_the_host_allows(remote: Remote, host: Host, allowed: int) -> None:
    host.configure(MaxSessions=str(allowed))
    session = remote.session(remote.login(host))
    in_threads(12, lambda: commands(session, 3, "sleep 0.02"))


def test_lasting_channels_leave_room(remote: Remote, session: SshSession, host: Host) -> None:
    watches = [session.open("exec cat") for _ in range(11)]
    in_threads(10, lambda: commands(session, 3, "true"))
    for watch in watches:
        watch.send(b"still there")
        assert next(watch.lines()) == b"still there"
        watch.close()
    assert connection(remote, host).made <= 4


def test_many_who_come_at_once_are_let_in(remote: Remote, host: Host) -> None:
    host.configure(MaxStartups="2:50:10")
    sessions = [
        remote.session(remote.login(host, connect_timeout=10.0 + n / 100)) for n in range(12)
    ]
    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(commands, session, 1, "true") for session in sessions]:
            done.result(60)


def test_new_keys_under_way(remote: Remote, host: Host) -> None:
    host.configure(RekeyLimit="1M")
    session = remote.session(remote.login(host))
    data = bytes(range(256)) * (MEGABYTES // 256)
    for _ in range(3):
        assert session.execute("cat", stdin=data, deadline=soon()).stdout == data
    assert connection(remote, host).made == 1


# --- connections that are lost


def test_a_lost_connection_is_made_again(remote: Remote, session: SshSession, host: Host) -> None:
    channel = session.open("exec cat")
    failures: list[HostError] = []

    def command() -> None:
        try:
            session.execute("exec sleep 60", deadline=soon())
        except HostError as error:
            failures.append(error)

    thread = threading.Thread(target=command)
    thread.start()
    until(lambda: "sleep 60" in str(host.processes()))
    host.run("pkill -KILL -f 'sshd: la[b]@'", user="root")
    thread.join(10)
    assert [type(error) for error in failures] == [HostUnreachable]
    with pytest.raises(HostUnreachable, match="lost"):
        channel.code()
    channel.close()
    assert session.execute("echo again", deadline=soon()).stdout == b"again\n"
    assert connection(remote, host).made == 2


def test_a_host_that_stops_answering_ends_by_the_deadline(session: SshSession, host: Host) -> None:
    session.execute("true", deadline=soon())
    host.run("pkill -STOP -f 'sshd: la[b]'", user="root")
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        session.execute("true", deadline=soon(0.5))
    assert time.monotonic() - began < 5
    host.run("pkill -CONT -f 'sshd: la[b]'", user="root")


def test_nothing_waits_for_a_connection_under_way(remote: Remote) -> None:
    address, port = remote.bed.silent_port()
    login = remote.login(address, port=port, connect_timeout=20.0)
    session = remote.session(login)
    cancel = threading.Event()
    first = threading.Thread(target=lambda: ended(session, cancel))
    first.start()
    until(
        lambda: (
            remote.pool.connection(
                remote.login(address, port=port, connect_timeout=20.0)
            )._connecting
        )
    )
    began = time.monotonic()
    with pytest.raises(HostUnreachable, match="still connecting"):
        session.execute("true", deadline=soon())
    assert time.monotonic() - began < 5
    cancel.set()
    first.join(5)
    assert not first.is_alive()


def ended(session: SshSession, cancel: threading.Event) -> None:
    with pytest.raises(Cancelled):
        session.execute("true", deadline=soon(), cancel=cancel)


# --- gateways


def test_hosts_behind_a_gateway_share_it(remote: Remote) -> None:
    gateway = remote.bed.gateway
    assert gateway is not None
    way = remote.login(gateway)
    for private in remote.bed.private:
        session = remote.session(remote.login(private, gateway=way))
        assert session.execute("hostname", deadline=soon()).stdout.decode().strip() == private.name
    by_config = remote.session(remote.login("private-1"))
    assert by_config.execute("hostname", deadline=soon()).stdout == b"private-1\n"
    assert logins(gateway) <= 2  # one by attributes, one by ssh_config


def test_two_gateways(remote: Remote) -> None:
    gateway = remote.bed.gateway
    assert gateway is not None
    inner, last = remote.bed.private
    way = remote.login(inner, gateway=remote.login(gateway))
    session = remote.session(remote.login(last, gateway=way))
    assert session.execute("hostname", deadline=soon()).stdout.decode().strip() == last.name


def test_the_gateway_comes_back(remote: Remote) -> None:
    gateway = remote.bed.gateway
    assert gateway is not None
    session = remote.session(remote.login(remote.bed.private[0], gateway=remote.login(gateway)))
    session.execute("true", deadline=soon())
    gateway.run("pkill -KILL -f 'sshd: la[b]'", user="root")

    def again() -> bool:
        try:
            return session.execute("true", deadline=soon()).code == 0
        except HostUnreachable:
            return False

    until(again)
