"""What sessions over SSH have beyond local ones: connections, their limits and their loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from paramiko import Message

from nepiq.controller.errors import DeadlineError, HostError, HostUnreachable
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.workers.sessions.ssh import SshSession
from nepiq.workers.sessions.ssh.transport import ChannelMessage, Wire

from .remote import Remote, own_bed, wires
from .rig import until

MEGABYTE = 1 << 20


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def run(session: SshSession, command: str, stdin: bytes = b"") -> bytes:
    done = session.execute(command, stdin=stdin, deadline=soon())
    assert (done.code, done.stderr) == (0, b"")
    return done.stdout


def connected(remote: Remote) -> SshSession:
    """A session whose connection has been made, for which threads wait for a second only."""
    session = remote.session()
    run(session, "true")
    return session


def kill_logins(remote: Remote) -> None:
    """Kill the sshd of each login, so that its connections are reset at once."""
    remote.host.run("pkill -KILL -f '^sshd: lab'", user="root")


# -- programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("KILL", 137), ("SEGV", 139)])
def test_code_of_a_signal(remote: Remote, name: str, code: int) -> None:
    """Of the command itself, and of one that its shell waited for."""
    session = remote.session()
    assert session.execute(f"kill -{name} $$", deadline=soon()).code == code
    assert session.execute(f"sh -c 'kill -{name} $$'; exit", deadline=soon()).code == code


def test_everything_that_bytes_can_be(remote: Remote) -> None:
    data = bytes(range(256)) * 40_000
    assert run(remote.session(), "cat", data) == data


def test_a_long_command(remote: Remote) -> None:
    text = "x" * 100_000
    assert run(remote.session(), f"printf %s {text} | wc -c") == b"100000\n"


def test_a_failure_to_wait_for_disturbs_nobody(remote: Remote) -> None:
    """The time of some commands is over before the host opens their channels."""
    session = remote.session()
    steady = session.open("cat")
    sshd = "sshd: lab"
    pids = [item.pid for item in remote.host.processes() if item.args.startswith(sshd)]
    stop = f"kill -STOP {' '.join(map(str, pids))}"
    remote.host.run(stop, user="root")
    with ThreadPoolExecutor(4) as pool:
        late = [pool.submit(session.execute, "true", deadline=soon(0.3)) for _ in range(4)]
        for future in late:
            with pytest.raises(DeadlineError):
                future.result(2)
    remote.host.run(stop.replace("STOP", "CONT"), user="root")
    steady.send(b"still there")
    assert next(steady.lines()) == b"still there"
    assert [run(session, "echo 1") for _ in range(20)] == [b"1\n"] * 20
    steady.close()
    assert remote.connection().made == 1


def test_a_trickle_is_passed_on_though_more_is_wanted(remote: Remote) -> None:
    """Bytes that a thread would like to take together do not wait for the end of the program."""
    channel = remote.session().open("printf abc; read line; printf %200000s x; exec sleep 60")
    assert channel.read(100_000) == b"abc"
    channel.send(b"")
    taken = b""
    while len(taken) < 200_000:
        taken += channel.read(200_000 - len(taken))
    assert taken == b" " * 199_999 + b"x"
    channel.close()


def test_the_ciphers_of_ssh_config(remote: Remote, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Ciphers -aes*gcm*\n" + remote.bed.ssh_config.read_text())
    worker = Remote(remote.bed, config)
    data = bytes(range(256)) * 4_000
    try:
        assert run(worker.session(), "cat", data) == data
        (wire,) = wires()
        assert (wire.local_cipher, wire.remote_cipher) == ("aes128-ctr", "aes128-ctr")
    finally:
        worker.close()
    config.write_text("Ciphers nosuch\n" + remote.bed.ssh_config.read_text())
    worker = Remote(remote.bed, config)
    with pytest.raises(HostError, match="Ciphers nosuch: a worker has none but aes128-gcm"):
        worker.session().execute("true", deadline=soon())
    worker.close()


# -- loss ---------------------------------------------------------------------------------------


def read_on(session: SshSession) -> None:
    for _ in session.open("echo; exec sleep 60").lines():
        pass


def write_on(session: SshSession) -> None:
    channel = session.open("exec sleep 60")
    while True:
        channel.write(bytes(MEGABYTE))


def wait_for_code(session: SshSession) -> None:
    channel = session.open("exec >&- 2>&-; exec sleep 60")
    assert channel.read() == b""
    channel.code()


def execute(session: SshSession) -> None:
    session.execute("exec sleep 60", deadline=soon(60))


def feed(session: SshSession) -> None:
    session.execute("exec sleep 60", stdin=bytes(8 * MEGABYTE), deadline=soon(60))


USES = [read_on, write_on, wait_for_code, execute, feed]


@pytest.mark.parametrize("use", USES)
def test_a_lost_connection(remote: Remote, use: Callable[[SshSession], None]) -> None:
    session = remote.session()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(use, session)
        until(lambda: [p for p in remote.host.processes() if p.args == "sleep 60"])
        kill_logins(remote)
        with pytest.raises(HostUnreachable, match="lost"):
            future.result(5)
    assert run(session, "echo again") == b"again\n"
    assert remote.connection().made == 2


def test_a_crashed_host(remote: Remote) -> None:
    session = remote.session()
    assert remote.pool.standings() == {}
    channel = session.open("exec sleep 60")
    assert remote.pool.standings() == {"open": 1}
    remote.host.reboot()
    with pytest.raises(HostUnreachable):
        next(channel.lines())
    assert remote.pool.standings() == {"lost": 1}
    until(lambda: answers(session))
    assert remote.pool.standings() == {"open": 1}


def test_a_cut(remote: Remote) -> None:
    """TCP gives up after 15 s without an acknowledgement; the next attempt has its own time."""
    login = remote.login(connect_timeout=0.5)
    session = remote.session(login)
    channel = session.open("cat")
    remote.host.cut()
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        session.execute("true", deadline=soon(0.5))
    until(lambda: remote.pool.standings() == {"silent": 1})
    with pytest.raises(HostUnreachable):
        next(channel.lines())
    assert 10 < time.monotonic() - began < 30
    with pytest.raises(HostUnreachable, match=r"no answer within 0.5 s .*firewall"):
        session.execute("true", deadline=soon())
    remote.host.mend()
    until(lambda: answers(session))


def answers(session: SshSession) -> bool:
    try:
        return run(session, "echo up") == b"up\n"
    except HostUnreachable:
        return False


def test_who_waits_for_room_learns_of_the_loss(remote: Remote) -> None:
    session = connected(remote)
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(execute, session) for _ in range(9)]

        def all_sleep() -> bool:
            for future in futures:
                assert not future.done(), future.exception()
            return len([p for p in remote.host.processes() if p.args == "sleep 60"]) == 9

        until(all_sleep)
        waiting = pool.submit(run, session, "echo came")
        kill_logins(remote)
        for future in futures:
            with pytest.raises(HostUnreachable):
                future.result(5)
        assert waiting.result(5) == b"came\n"


# -- many at once -------------------------------------------------------------------------------


def hammer(session: SshSession, threads: int, commands: int) -> None:
    """Commands with input that nobody reads, so that EOF and CLOSE cross each other."""

    def work(number: int) -> None:
        for count in range(commands):
            word = f"{number}-{count}"
            assert run(session, f"exec <&-; echo {word}", b"x" * 40_000) == f"{word}\n".encode()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work, number) for number in range(threads)]:
            future.result(60)


def test_many_threads(remote: Remote) -> None:
    hammer(connected(remote), 20, 40)
    assert remote.connection().made == 1


def test_many_threads_need_the_order_of_messages(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where CLOSE overtakes other messages, OpenSSH drops the connection if these still follow."""

    def late(self: Wire, data: Message) -> None:
        if isinstance(data, ChannelMessage):
            time.sleep(0.02)
        super(Wire, self)._send_user_message(data)  # type: ignore[misc]

    def careless(self: Wire, data: ChannelMessage) -> None:
        super(Wire, self)._send_message(data)  # type: ignore[misc]

    monkeypatch.setattr(Wire, "_send_user_message", late)
    hammer(connected(remote), 8, 5)
    assert remote.connection().made == 1
    monkeypatch.setattr(Wire, "_send_message", careless)
    # It may also lose the confirmation of a channel, which then never opens.
    with pytest.raises((HostUnreachable, DeadlineError)):
        hammer(connected(remote), 8, 40)


@pytest.mark.parametrize("most", [1, 2, 10])
def test_max_sessions(most: int) -> None:
    with own_bed(MaxSessions=str(most)) as remote:
        hammer(connected(remote), 12, 10)
        assert remote.connection().made == 1


@pytest.mark.parametrize("most", [1, 2, 10])
def test_more_lasting_channels_than_sessions(most: int) -> None:
    with own_bed(MaxSessions=str(most), MaxStartups="100") as remote:
        session = remote.session()
        channels = [session.open("cat", deadline=soon()) for _ in range(6)]
        assert run(session, "echo between") == b"between\n"
        for number, channel in enumerate(channels):
            channel.send(b"%d" % number)
        heard = [next(channel.lines()) for channel in channels]
        assert heard == [b"%d" % number for number in range(6)]
        for channel in channels:
            channel.close()
        hammer(session, 4, 5)


def test_no_sessions_at_all() -> None:
    with own_bed(MaxSessions="0") as remote, pytest.raises(HostError, match="MaxSessions"):
        remote.session().execute("true", deadline=soon())


def test_many_logins_at_once() -> None:
    """All that come while two are logging in are turned away; they come again."""
    with own_bed(MaxStartups="2:100:2") as remote:
        names = ["lab", "student", "guest"]
        logins = [
            remote.login(username=names[number % 3], connect_timeout=10.0 + number)
            for number in range(20)
        ]
        with ThreadPoolExecutor(20) as pool:
            said = list(pool.map(lambda login: run(remote.session(login), "id -un"), logins))
        assert [line.decode().strip() for line in said] == [names[n % 3] for n in range(20)]
        assert len(wires()) == 20


def test_room_comes_back(remote: Remote) -> None:
    """Also of channels that nobody refers to when the host closes them."""
    session = remote.session()
    for _ in range(12):
        channel = session.open("exec sleep 60")
        channel.close()
        del channel
    hammer(session, 4, 5)
    assert remote.connection().made == 1


# -- connections --------------------------------------------------------------------------------


def test_one_connection_for_all_homes(remote: Remote) -> None:
    first, second = remote.session(), remote.session(home="/tmp")
    assert run(first, "echo 1") + run(second, "echo 2") == b"1\n2\n"
    assert (first.home, second.home) == ("", "/tmp")
    assert len(wires()) == 1


def test_a_key_that_is_on_record_needs_no_new_connection(remote: Remote) -> None:
    session = remote.session()
    run(session, "true")
    assert session.host_key == remote.host.known_hosts_line.split(" ", 1)[1]
    pinned = remote.session(remote.login(server_key=session.host_key))
    run(pinned, "true")
    assert len(wires()) == 1


def test_what_nothing_uses_is_disconnected_and_connected_again(remote: Remote) -> None:
    session, connection = remote.session(), remote.connection()
    channel = session.open("echo up; exec sleep 60")
    assert next(iter(channel.lines()), b"") == b"up"
    connection.rest(0.0)
    assert (connection.standing, len(wires())) == ("open", 1), "a channel is open"
    channel.close()
    connection.rest(60.0)
    assert connection.standing == "open", "it was used lately"

    def disconnected() -> bool:  # once the host has closed the channel too
        connection.rest(0.0)
        return not connection.alive and not wires()

    until(disconnected)
    assert connection.standing == ""
    assert run(session, "echo again") == b"again\n"
    assert (connection.standing, connection.made) == ("open", 2)


def test_closing(remote: Remote) -> None:
    session = remote.session()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(execute, session)
        until(lambda: [p for p in remote.host.processes() if p.args == "sleep 60"])
        session.close()
        with pytest.raises(HostError):
            future.result(5)
    assert session.closed
    with pytest.raises(HostError, match="closed"):
        session.execute("true", deadline=soon())


def test_closing_while_connecting(remote: Remote) -> None:
    address, port = remote.bed.silent_port()
    login = Login(address, port=port)
    session = remote.session(login)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(execute, session)
        until(wires)
        session.close()
        # Not what it would have said if it had gone on until its time was over.
        with pytest.raises(HostError, match="closed"):
            future.result(20)
    until(lambda: not wires())


def test_others_do_not_wait_for_who_connects(remote: Remote) -> None:
    address, port = remote.bed.silent_port()
    session = remote.session(Login(address, port=port, connect_timeout=4.0))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(execute, session)
        until(wires)
        with pytest.raises(HostUnreachable, match="still connecting"):
            session.execute("true", deadline=soon())
        assert not first.done()
        with pytest.raises(HostUnreachable, match="no SSH greeting"):
            first.result(10)


def test_new_keys_under_way(remote: Remote) -> None:
    """sshd asks for new keys after each MB, while data flows both ways in two channels."""
    with own_bed(RekeyLimit="1M") as there:
        session = connected(there)
        data = bytes(25 * MEGABYTE)
        with ThreadPoolExecutor(4) as pool:
            both = [pool.submit(run, session, "cat", data) for _ in range(2)]
            small = [pool.submit(run, session, "echo 1") for _ in range(30)]
            assert all(future.result(60) == data for future in both)
            assert {future.result(60) for future in small} == {b"1\n"}
        assert there.connection().made == 1


def cpu_ticks() -> int:
    """Clock ticks (proc(5)) that the threads of SSH connections have used."""
    total = 0
    for wire in wires():
        words = Path(f"/proc/self/task/{wire.native_id}/stat").read_text().rpartition(") ")[2]
        total += sum(map(int, words.split()[11:13]))
    return total


def switches() -> int:
    """How often the threads of SSH connections went to sleep."""
    total = 0
    for wire in wires():
        for line in Path(f"/proc/self/task/{wire.native_id}/status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def sleeps_for_a_second() -> bool:
    before = cpu_ticks(), switches()
    time.sleep(1.0)  # this is the time in which nothing may happen
    return (cpu_ticks(), switches()) == before


def test_idle_connections_sleep(remote: Remote) -> None:
    sessions = [remote.session(Login(host.name)) for host in remote.bed.hosts]
    watches = [session.open("exec sleep 60") for session in sessions]
    # What opening them brings is over when nothing happens for a second; who wakes up by a clock
    # never lets one pass.
    until(sleeps_for_a_second)
    for watch in watches:
        watch.close()
