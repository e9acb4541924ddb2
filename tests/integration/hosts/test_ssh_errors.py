"""What goes wrong on the way to a host, or there: which error, what it says, and how soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nepiq.controller.errors import (
    DeadlineError,
    HostError,
    HostKeyError,
    HostUnreachable,
    LoginRefused,
)
from nepiq.controller.model.login import Login
from nepiq.workers.hosts import ShellHost

from .keys import make_key
from .remote import MACHINE, Remote, own_bed


def error_of(shell: ShellHost, kind: type[HostError], within: float = 5.0) -> HostError:
    """The error of a deployment: of exactly this kind, in time, and it says where."""
    began = time.monotonic()
    with pytest.raises(HostError) as caught:
        shell.prepare()
    assert time.monotonic() - began < within
    assert type(caught.value) is kind
    assert caught.value.where == "node-1"
    return caught.value


def says(error: HostError, message: str, hint: str) -> None:
    """The error names the worker machine, what happened, and what to do."""
    assert MACHINE in f"{error.message} {error.hint}"
    assert message in error.message
    assert hint in error.hint


# -- the network --------------------------------------------------------------------------------


def test_a_name_that_nobody_knows(remote: Remote) -> None:
    error = error_of(remote.shell(Login("no-such-host.invalid")), HostUnreachable)
    says(error, "cannot reach lab@no-such-host.invalid from worker machine lab-1: ", "spelt right")


def test_no_route(remote: Remote) -> None:
    nobody = remote.bed.unreachable.rpartition(".")[0] + ".77"  # the kernel asks for it in vain
    error = error_of(remote.shell(Login(nobody)), HostUnreachable)
    says(error, f"{nobody} from worker machine lab-1: no route to host", "is it up")


def test_refused(remote: Remote) -> None:
    error = error_of(remote.shell(remote.login(port=4)), HostUnreachable)
    says(
        error,
        f"{remote.host.address}:4 (host-1) from worker machine lab-1: connection refused",
        "port 4",
    )


def test_no_answer_to_syn(remote: Remote) -> None:
    login = Login(remote.bed.unreachable, connect_timeout=1.0)
    error = error_of(remote.shell(login), HostUnreachable, within=2.0)
    says(
        error,
        f"{remote.bed.unreachable} from worker machine lab-1: no answer within 1 s",
        "firewall",
    )


def test_accepts_and_never_answers(remote: Remote) -> None:
    address, port = remote.bed.silent_port()
    login = Login(address, port=port, connect_timeout=1.0)
    error = error_of(remote.shell(login), HostUnreachable, within=2.5)
    says(error, "no SSH greeting within 1 s", "is it sshd")


def test_the_time_of_the_step_comes_first(remote: Remote) -> None:
    shell = remote.shell(Login(remote.bed.unreachable), timeout=0.5)
    error = error_of(shell, DeadlineError, within=2.0)
    assert "no answer when the time of the step was over" in error.message
    assert "firewall" in error.hint


# -- the login ----------------------------------------------------------------------------------


def test_a_wrong_key(remote: Remote, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    error = error_of(remote.shell(remote.login(identity=str(tmp_path / "key"))), LoginRefused)
    says(
        error,
        f"(host-1) does not let lab in with {tmp_path}/key on worker machine",
        "authorized_keys",
    )


def test_a_user_who_is_not_there(remote: Remote) -> None:
    error = error_of(remote.shell(remote.login(username="nobody-known")), LoginRefused)
    says(error, "does not let nobody-known in", "~nobody-known/.ssh/authorized_keys")


def test_a_key_that_is_missing(remote: Remote, tmp_path: Path) -> None:
    error = error_of(remote.shell(remote.login(identity=str(tmp_path / "key"))), LoginRefused)
    says(
        error,
        f"the key {tmp_path}/key on worker machine lab-1 does not exist",
        "on the worker machine",
    )


def test_a_key_with_a_passphrase(remote: Remote, tmp_path: Path) -> None:
    make_key(tmp_path / "key", passphrase="secret")
    error = error_of(remote.shell(remote.login(identity=str(tmp_path / "key"))), LoginRefused)
    says(error, "on worker machine lab-1 has a passphrase", "ssh-add")


def test_a_file_that_is_no_key(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key\n")
    error = error_of(remote.shell(remote.login(identity=str(tmp_path / "key"))), LoginRefused)
    says(error, "cannot be used", "ssh-keygen")


def test_no_key_at_all(remote: Remote, tmp_path: Path) -> None:
    text = remote.bed.ssh_config.read_text().replace(str(remote.bed.identity), "/no/key")
    (tmp_path / "config").write_text(text)
    worker = Remote(remote.bed, tmp_path / "config")
    says(
        error_of(worker.shell(), LoginRefused),
        "there is no key to log in to lab@10.77.",
        "identity=",
    )


# -- the machine's key --------------------------------------------------------------------------


def other_key(tmp_path: Path) -> str:
    return make_key(tmp_path / "other").rsplit(" ", 1)[0]


def known(remote: Remote, folder: Path, text: str) -> Remote:
    """A worker whose known_hosts has that."""
    (folder / "known_hosts").write_text(text)
    config = remote.bed.ssh_config.read_text()
    config = config.replace(str(remote.bed.known_hosts), str(folder / "known_hosts"))
    (folder / "config").write_text(config)
    return Remote(remote.bed, folder / "config")


def test_a_changed_host_key(remote: Remote, tmp_path: Path) -> None:
    worker = known(remote, tmp_path, f"{remote.host.address} {other_key(tmp_path)}\n")
    error = error_of(worker.shell(), HostKeyError)
    says(
        error,
        "(host-1) has another key than is known for it on worker machine lab-1: ssh-ed25519 ",
        f"ssh-keygen -R '{remote.host.address}'",
    )
    accepting = worker.shell(worker.login(accept_new=True))
    says(error_of(accepting, HostKeyError), "another key", "ssh-keygen -R")


def test_a_revoked_host_key(remote: Remote, tmp_path: Path) -> None:
    line = remote.host.known_hosts_line
    worker = known(remote, tmp_path, f"{line}\n@revoked {line}\n")
    says(error_of(worker.shell(), HostKeyError), "is revoked", "new key")


def test_an_unknown_host_key(remote: Remote, tmp_path: Path) -> None:
    error = error_of(known(remote, tmp_path, "").shell(), HostKeyError)
    says(error, "(host-1) is not known: ssh-ed25519 SHA256:", 'strictHostKeyChecking="accept-new"')


def test_accept_new_tells_the_key(remote: Remote, tmp_path: Path) -> None:
    """It is pinned for the run: linux::Node keeps it as serverKey."""
    worker = known(remote, tmp_path, "")
    shell = worker.shell(worker.login(accept_new=True))
    shell.prepare()
    assert f"{remote.host.address} {shell.facts.host_key}" == remote.host.known_hosts_line
    worker.close()
    pinned = worker.login(accept_new=True, server_key=other_key(tmp_path))
    again = known(remote, tmp_path, "")
    error = error_of(again.shell(pinned), HostKeyError)
    assert "(host-1) has another key" in error.message
    assert "correct serverKey" in error.hint


def test_a_server_key(remote: Remote, tmp_path: Path) -> None:
    worker = known(remote, tmp_path, "")
    right = remote.host.known_hosts_line.split(" ", 1)[1]
    worker.shell(worker.login(server_key=right)).prepare()
    worker.close()
    no_key = worker.login(server_key="ssh-ed25519 AAAA")
    error = error_of(known(remote, tmp_path, "").shell(no_key), HostKeyError)
    assert "serverKey of" in error.message


# -- the account --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "said"),
    [("/usr/sbin/nologin", "This account is currently not available."), ("/bin/false", "nothing")],
)
def test_a_login_shell_that_is_none(shell: str, said: str) -> None:
    with own_bed() as remote:
        edit = (
            f"sed '/^lab:/s,:[^:]*$,:{shell},' /etc/passwd >/tmp/new && cat /tmp/new >/etc/passwd"
        )
        remote.host.run(edit, user="root")
        error = error_of(remote.shell(), HostError)
        assert "of host-1 from worker machine lab-1 did not run a command" in error.message
        assert f"it said {said} and exited with 1" in error.message
        assert "POSIX" in error.hint


def test_another_kind_of_shell() -> None:
    """One that takes other commands than POSIX: here it stands for csh and fish."""
    with own_bed() as remote:
        odd = "#!/bin/sh\ncase $2 in *'$(('*) echo 'Illegal variable name.' >&2; exit 1 ;; esac\n"
        remote.host.run("cat >/home/odd && chmod 755 /home/odd", user="root", text=odd)
        edit = (
            "sed '/^lab:/s,:[^:]*$,:/home/odd,' /etc/passwd >/tmp/new && cat /tmp/new >/etc/passwd"
        )
        remote.host.run(edit, user="root")
        assert "it said Illegal variable name. and" in error_of(remote.shell(), HostError).message


def test_noise_is_survived(remote: Remote, tmp_path: Path) -> None:
    """A banner of sshd, and what .bashrc prints, also without a newline at the end."""
    remote.host.configure(Banner="/etc/passwd")
    remote.host.run("cat >.bashrc", text="echo welcome; echo careful >&2; seq 20000; printf end")
    shell = remote.shell()
    shell.prepare()
    shell.write("file", bytes(range(256)))
    assert shell.read("file") == bytes(range(256))
    assert shell.run("echo out").stdout == b"out\n"
    assert next(shell.open("echo line; cat").lines()) == b"line"


def test_a_full_disk(remote: Remote) -> None:
    remote.host.run(
        "mount -t tmpfs -o size=8k,mode=755,uid=2001 none /home/lab && "
        "dd if=/dev/zero of=/home/lab/full bs=4k count=1 status=none",
        user="root",
    )
    error = error_of(remote.shell(), HostError)
    assert "No space left on device" in error.message
    assert "make room" in error.hint


def test_a_home_that_cannot_be_written_to(remote: Remote) -> None:
    remote.host.run(
        "mount --bind /home/lab /home/lab && mount -o remount,bind,ro /home/lab", user="root"
    )
    error = error_of(remote.shell(), HostError)
    assert "Read-only file system" in error.message
    assert "home=" in error.hint
    remote.shell(home="/tmp/elsewhere").prepare()


def test_a_home_that_is_not_there(remote: Remote) -> None:
    error = error_of(remote.shell(home="/no/such/home"), HostError)
    assert "/no" in error.message


@pytest.mark.parametrize("tool", ["setsid", "flock"])
def test_a_missing_tool(remote: Remote, tool: str) -> None:
    remote.host.run(
        "mkdir bin && ln -s /usr/bin/* bin/ 2>/dev/null; ln -sf /bin/* bin/ 2>/dev/null; "
        f"rm bin/{tool}; echo 'PATH=$HOME/bin' >.bashrc"
    )
    assert f"this host lacks: {tool}" in error_of(remote.shell(), HostError).message


def test_no_proc() -> None:
    with own_bed() as remote:
        remote.host.run("mount -t tmpfs none /proc", user="root")
        assert "/proc" in error_of(remote.shell(), HostError).message
