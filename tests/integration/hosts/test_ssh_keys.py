"""With which keys a worker logs in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import LoginRefused
from nepiq.controller.model.durations import Deadline
from nepiq.controller.model.login import Login
from nepiq.workers.sessions.ssh import SshSession

from .keys import agent, certify, let_in, make_key
from .remote import Remote, own_bed

pytestmark = pytest.mark.needs("ssh-keygen", "ssh-agent", "ssh-add")


def user_of(session: SshSession) -> str:
    done = session.execute("id -un", deadline=Deadline.after(20))
    assert done.code == 0
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def there() -> Iterator[Remote]:
    """A host that lets in the keys in ``~/keys``."""
    with own_bed(AuthorizedKeysFile="/home/%u/keys") as remote:
        yield remote


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="nq") as folder:
        yield Path(folder)


def worker(remote: Remote, folder: Path, *lines: str) -> Remote:
    """A worker with an ssh_config of its own."""
    (folder / "config").write_text(
        f"Host host-1\nHostName {remote.host.address}\nUser lab\n"
        f"UserKnownHostsFile {remote.bed.known_hosts}\n" + "".join(f"{line}\n" for line in lines)
    )
    return Remote(remote.bed, folder / "config")


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_kinds_of_keys(there: Remote, tmp_path: Path, kind: str) -> None:
    let_in(there.host, make_key(tmp_path / "key", kind))
    made = worker(there, tmp_path)
    assert user_of(made.session(Login("host-1", identity=str(tmp_path / "key")))) == "lab"
    made.close()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_certificates(there: Remote, tmp_path: Path, kind: str) -> None:
    authority = make_key(tmp_path / "authority")
    there.host.run("cat >/etc/ssh/authority", user="root", text=authority)
    there.host.configure(TrustedUserCAKeys="/etc/ssh/authority")
    make_key(tmp_path / "key", kind)
    made = worker(there, tmp_path)
    login = Login("host-1", identity=str(tmp_path / "key"))
    with pytest.raises(LoginRefused):
        user_of(made.session(login))
    certify(tmp_path / "authority", tmp_path / "key", "lab")
    assert user_of(made.session(login)) == "lab"
    made.close()


def test_a_certificate_that_is_not_trusted_hides_no_key(there: Remote, tmp_path: Path) -> None:
    let_in(there.host, make_key(tmp_path / "key"))
    make_key(tmp_path / "authority")
    certify(tmp_path / "authority", tmp_path / "key", "lab")
    made = worker(there, tmp_path)
    assert user_of(made.session(Login("host-1", identity=str(tmp_path / "key")))) == "lab"
    made.close()


def test_one_of_several(there: Remote, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    let_in(there.host, make_key(tmp_path / "key"))
    names = [tmp_path / "none", tmp_path / "other", tmp_path / "key"]
    made = worker(there, tmp_path, *(f"IdentityFile {name}" for name in names))
    assert user_of(made.session(Login("host-1"))) == "lab"
    made.close()


def test_only_in_the_agent(
    there: Remote, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in(there.host, make_key(tmp_path / "key", "rsa"))
    with agent(short, tmp_path / "key") as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        made = worker(there, tmp_path, "IdentityFile none")
        assert user_of(made.session(Login("host-1"))) == "lab"
        made.close()
        made = worker(there, tmp_path, "IdentityFile none", "IdentitiesOnly yes")
        with pytest.raises(LoginRefused, match="there is no key"):
            user_of(made.session(Login("host-1")))
        made.close()


@pytest.mark.parametrize("by", ["attribute", "ssh_config"])
def test_the_agent_knows_the_passphrase(
    there: Remote, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    key = tmp_path / "key"
    let_in(there.host, make_key(key, passphrase="secret"))
    others = [tmp_path / f"other-{number}" for number in range(6)]
    for other in others:
        make_key(other)
    lines = ["IdentitiesOnly yes", f"IdentityFile {key}"] if by == "ssh_config" else []
    made = worker(there, tmp_path, *lines)
    login = Login("host-1", identity=str(key) if by == "attribute" else "")
    with agent(short, *others, key) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        assert user_of(made.session(login)) == "lab"
    made.close()
