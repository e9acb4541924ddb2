"""Logins by password, where a host knows no key."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from tests.testbed import Host

from nepiq.controller.errors import HostError, LoginRefused
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.workers.sessions.environment import without_secrets

from .keys import let_in, make_key
from .remote import Remote, own_bed

pytestmark = pytest.mark.needs("ssh-keygen", "openssl")

USER = "student"
#: UTF-8, quotes and blanks, none of which a shell or a file may change.
SECRET = "p wÁß'\"\\x$(id)"
_PAM = "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n"


@pytest.fixture(scope="module")
def there() -> Iterator[Remote]:
    """A host, and one behind a gateway, that take passwords of student, and keys in ``~/keys``."""
    with own_bed(1, 1, PasswordAuthentication="yes", AuthorizedKeysFile="/home/%u/keys") as remote:
        for host in remote.bed.every:
            set_password(host)
        yield remote


def set_password(host: Host) -> None:
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=SECRET,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    shadow = host.run("cat /etc/shadow", user="root").stdout
    lines = [
        f"{USER}:{hashed}:19000:0:99999:7:::" if line.startswith(f"{USER}:") else line
        for line in shadow.splitlines()
    ]
    host.run("cat >/etc/shadow", user="root", text="\n".join(lines) + "\n")


@pytest.fixture
def worker(there: Remote, tmp_path: Path) -> Iterator[Remote]:
    """A worker whose ssh_config names no keys."""
    config = f"Host *\nUserKnownHostsFile {there.bed.known_hosts}\n"
    for host in there.bed.every:
        config += f"Host {host.name}\nHostName {host.address}\n"
    (tmp_path / "config").write_text(config)
    made = Remote(there.bed, tmp_path / "config")
    yield made
    made.close()
    there.host.configure()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The file with the password."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return tmp_path / "secret"


def login(worker: Remote, secret: Path | str, **how: object) -> Login:
    place = f"file:{secret}" if isinstance(secret, Path) else secret
    return replace(Login(worker.host.name, USER, password=place), **how)  # type: ignore[arg-type]


def user_of(worker: Remote, login: Login) -> str:
    session = worker.session(login)
    done = session.execute("id -un", deadline=Deadline.after(20))
    assert done.code == 0
    return done.stdout.decode().strip()


class Log:
    """What a host's sshd has logged since this was made."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start = len(host.log())

    def count(self, text: str) -> int:
        return self._host.log()[self._start :].count(text)


def refusal(worker: Remote, login: Login) -> LoginRefused:
    with pytest.raises(HostError) as caught:
        user_of(worker, login)
    assert type(caught.value) is LoginRefused
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_password(worker: Remote, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(worker.host)
    assert user_of(worker, login(worker, secret)) == USER
    assert log.count("Accepted password for student") == 1
    monkeypatch.setenv("LAB_SECRET", SECRET)
    assert user_of(worker, login(worker, "env:LAB_SECRET")) == USER
    assert "LAB_SECRET" not in without_secrets({"LAB_SECRET": SECRET})
    assert log.count("publickey") == log.count("Failed") == 0


def test_a_key_comes_first(worker: Remote, secret: Path, tmp_path: Path) -> None:
    let_in(worker.host, make_key(tmp_path / "key"), USER)
    secret.write_text("not it\n")
    log = Log(worker.host)
    assert user_of(worker, login(worker, secret, identity=str(tmp_path / "key"))) == USER
    assert log.count("Accepted publickey for student") == 1
    assert log.count("password") == 0


def test_a_password_after_a_key(worker: Remote, secret: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    log = Log(worker.host)
    assert user_of(worker, login(worker, secret, identity=str(tmp_path / "key"))) == USER
    assert log.count("Accepted password for student") == 1


def test_a_key_and_a_password(worker: Remote, secret: Path, tmp_path: Path) -> None:
    let_in(worker.host, make_key(tmp_path / "key"), USER)
    worker.host.configure(AuthenticationMethods="publickey,password")
    key = str(tmp_path / "key")
    assert user_of(worker, login(worker, secret, identity=key)) == USER
    assert (
        "does not let student in with"
        in refusal(worker, Login("host-1", USER, identity=key)).message
    )


def test_a_wrong_password_is_tried_once(worker: Remote, secret: Path) -> None:
    secret.write_text("not it\n")
    log = Log(worker.host)
    error = refusal(worker, login(worker, secret))
    assert error.message == (
        f"student@{worker.host.address} (host-1) refuses the password of student "
        "on worker machine lab-1"
    )
    assert f"password file:{secret} does not hold the password" in error.hint
    assert "tried once" in error.hint
    again = login(worker, secret, connect_timeout=5.0)  # another connection to the same machine
    for _ in range(3):
        assert "has refused the password of student" in refusal(worker, again).message
    assert log.count("Failed password for student") == 1
    secret.write_text(f"{SECRET}\n")
    assert user_of(worker, again) == USER


def test_a_server_that_hangs_up_at_a_wrong_password(worker: Remote, secret: Path) -> None:
    worker.host.configure(MaxAuthTries="1")
    secret.write_text("not it either\n")
    log = Log(worker.host)
    assert "refuses the password" in refusal(worker, login(worker, secret)).message
    assert "has refused" in refusal(worker, login(worker, secret)).message
    assert log.count("Failed password for student") == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), ("", "is empty"), ("a\0b", "holds a NUL")],
)
def test_a_reference_to_nothing(
    worker: Remote, secret: Path, content: str | None, why: str
) -> None:
    secret.unlink()
    if content is not None:
        secret.write_text(content)
    log = Log(worker.host)
    error = refusal(worker, login(worker, secret))
    assert "there is no password to log in to student@" in error.message
    assert why in error.hint
    assert log.count("Failed") == 0


def test_a_server_that_takes_no_passwords(worker: Remote, secret: Path) -> None:
    worker.host.configure(PasswordAuthentication="no")
    error = refusal(worker, login(worker, secret))
    assert (
        "does not accept passwords of student on worker machine lab-1, but publickey"
        in error.message
    )
    assert "PasswordAuthentication yes" in error.hint


def by_prompts(host: Host, pam: str) -> None:
    host.run("cat >/etc/pam.d/sshd", user="root", text=pam)
    host.configure(PasswordAuthentication="no", KbdInteractiveAuthentication="yes", UsePAM="yes")


def test_a_server_that_asks_for_it(worker: Remote, secret: Path) -> None:
    by_prompts(worker.host, _PAM)
    log = Log(worker.host)
    assert user_of(worker, login(worker, secret)) == USER
    assert log.count("Accepted keyboard-interactive/pam for student") == 1
    secret.write_text("wrong at the prompt\n")
    other = login(worker, secret, connect_timeout=7.0)
    assert "refuses the password" in refusal(worker, other).message
    assert "has refused" in refusal(worker, other).message


def test_a_server_that_asks_for_more(worker: Remote, secret: Path) -> None:
    by_prompts(worker.host, _PAM)
    worker.host.configure(
        AuthenticationMethods="password,keyboard-interactive",
        KbdInteractiveAuthentication="yes",
        UsePAM="yes",
    )
    error = refusal(worker, login(worker, secret, connect_timeout=8.0))
    assert error.message.endswith("asks for more than a password on worker machine lab-1")
    assert "second factor" in error.hint


class TwoPrompts(paramiko.ServerInterface):
    """A server that asks for a code after the password."""

    asked = 0

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive"

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        self.asked += 1
        return paramiko.InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(
        self, responses: list[str]
    ) -> int | paramiko.InteractiveQuery:
        return paramiko.InteractiveQuery("", "", ("Code: ", True))


def test_a_server_with_two_prompts(worker: Remote, secret: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    asked = TwoPrompts()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address, port = listener.getsockname()

        def serve() -> None:
            transport = paramiko.Transport(listener.accept()[0])
            transport.add_server_key(key)
            # With an event it does not raise if the client has left before it looks.
            transport.start_server(event=threading.Event(), server=asked)
            transport.join(20.0)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            there = replace(
                login(worker, secret),
                hostname=address,
                port=port,
                server_key=f"{key.get_name()} {key.get_base64()}",
            )
            error = refusal(worker, there)
        finally:
            thread.join(30.0)
    assert not thread.is_alive()
    assert error.message.endswith("on worker machine lab-1: 'Password: ' 'Code: '")
    assert asked.asked == 1


def test_a_gateway(worker: Remote, secret: Path) -> None:
    assert worker.bed.gateway is not None
    gateway = Login("gateway", USER, password=f"file:{secret}")
    log, inner = Log(worker.bed.gateway), Log(worker.bed.private[0])
    far = login(worker, secret, hostname=worker.bed.private[0].address, gateway=gateway)
    assert user_of(worker, far) == USER
    assert log.count("Accepted password for student") == 1
    assert inner.count("Accepted password for student") == 1
    secret.write_text("not it\n")
    wrong = replace(far, gateway=replace(gateway, connect_timeout=6.0))
    error = refusal(worker, wrong)
    assert f"student@{worker.bed.gateway.address} (gateway) refuses the password" in error.message
    assert inner.count("Failed") == 0
