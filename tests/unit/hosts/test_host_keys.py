"""Which keys of machines are accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import paramiko
import pytest

from nepiq.controller.errors import HostKeyError
from nepiq.controller.model.login import Login
from nepiq.workers.sessions.ssh.known_hosts import KnownKeys
from nepiq.workers.sessions.ssh.target import resolve

RSA, OTHER_RSA = paramiko.RSAKey.generate(1024), paramiko.RSAKey.generate(1024)
ECDSA = paramiko.ECDSAKey.generate()


def line(hosts: str, key: paramiko.PKey, marker: str = "") -> str:
    return f"{marker} {hosts} {key.get_name()} {key.get_base64()} comment\n".lstrip()


def hashed(name: str) -> str:
    salt = b"twenty bytes of salt"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


class Desk:
    """A known_hosts file, and what is made of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "known_hosts"
        self.config = folder / "config"
        self.config.write_text(f"UserKnownHostsFile {self.file}\nGlobalKnownHostsFile none\n")

    def keys(self, *lines: str, login: Login) -> KnownKeys:
        self.file.write_text("".join(lines))
        return KnownKeys(resolve(login, str(self.config)), "lab-1")

    def check(self, *lines: str, key: paramiko.PKey = RSA, login: Login = Login("h")) -> str:  # noqa: B008
        """Empty if the key is accepted, else the error, which says where to mend it."""
        try:
            self.keys(*lines, login=login).check(key)
        except HostKeyError as error:
            return f"{error.message}, {error.hint}"
        return ""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    "hosts",
    ["h", "x,h", "H", "*", "?", "x,h*,!hx", pytest.param(hashed("h"), id="hashed")],
)
def test_it_is_known(desk: Desk, hosts: str) -> None:
    assert desk.check(line(hosts, RSA)) == ""


@pytest.mark.parametrize(
    "hosts",
    [
        "x",
        "h,!h",
        "[h]",
        "[h]:22",
        "h.*",
        pytest.param(hashed("x"), id="hashed"),
        "|1|broken",
        "|1|a|b|c",
        "|2|a|b",
    ],
)
def test_it_is_not_known(desk: Desk, hosts: str) -> None:
    refused = desk.check(line(hosts, RSA))
    assert "is not known: ssh-rsa SHA256:" in refused
    assert "add it to known_hosts on worker machine lab-1" in refused


def test_another_key(desk: Desk) -> None:
    assert "has another key than is known" in desk.check(line("h", OTHER_RSA))
    changed = desk.check(line("h", OTHER_RSA), login=Login("h", accept_new=True))
    assert "has another key than is known" in changed
    assert "ssh-keygen -R 'h' on worker machine lab-1" in changed


def test_several_keys_of_one_kind(desk: Desk) -> None:
    both = [line("h", OTHER_RSA), line("*", RSA)]
    assert desk.check(*both) == desk.check(*both, key=OTHER_RSA) == ""


def test_several_kinds(desk: Desk) -> None:
    both = [line("h", RSA), line("h", ECDSA)]
    assert desk.check(*both) == desk.check(*both, key=ECDSA) == ""


def test_a_key_of_another_kind_is_not_new(desk: Desk) -> None:
    """It could be sent by somebody in between who has the key of no kind that is known."""
    refused = desk.check(line("h", ECDSA), login=Login("h", accept_new=True))
    assert "is not known" in refused


def test_the_known_kind_is_asked_for(desk: Desk) -> None:
    offered = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
    for key, first in ((RSA, "rsa-sha2-512"), (ECDSA, "ecdsa-sha2-nistp256")):
        assert desk.keys(line("h", key), login=Login("h")).preferred(offered)[0] == first
    assert desk.keys(login=Login("h")).preferred(offered) == offered


def test_ports(desk: Desk) -> None:
    at_port = Login("h", port=7)
    assert desk.check(line("[h]:7", RSA), login=at_port) == ""
    assert desk.check(line(hashed("[h]:7"), RSA), login=at_port) == ""
    assert "is not known" in desk.check(line("[h]:7", RSA))
    assert "is not known" in desk.check(line("[h]:8", RSA), login=at_port)


def test_a_key_without_port(desk: Desk) -> None:
    """As with ssh(1): good for any port, but no proof that the key there is wrong."""
    at_port = Login("h", port=7)
    assert desk.check(line("h", RSA), login=at_port) == ""
    assert "is not known" in desk.check(line("h", OTHER_RSA), login=at_port)


@pytest.mark.parametrize("accept_new", [False, True])
def test_revoked(desk: Desk, accept_new: bool) -> None:
    lines = [line("h", RSA), line("*", RSA, "@revoked"), line("h", ECDSA)]
    login = Login("h", accept_new=accept_new)
    assert "is revoked: ssh-rsa SHA256:" in desk.check(*lines, login=login)
    assert desk.check(*lines, key=ECDSA, login=login) == ""


def test_revoked_though_it_was_given(desk: Desk) -> None:
    given = Login("h", server_key=f"ssh-rsa {RSA.get_base64()}")
    assert "is revoked" in desk.check(line("h", RSA, "@revoked"), login=given)


def test_authorities_are_no_keys(desk: Desk) -> None:
    assert "is not known" in desk.check(line("h", RSA, "@cert-authority"))


def test_broken_lines_hide_nothing(desk: Desk) -> None:
    broken = [
        "\n",
        "# h\n",
        "#h ssh-rsa AAAA\n",
        "h\n",
        "h ssh-rsa\n",
        "@revoked h ssh-rsa\n",
        "\udcff\n",
    ]
    broken += ["h ssh-rsa not!base64\n", "@\n", "h 1024 35 1234567\n"]
    text = "".join([*broken, line("h", RSA)]).encode("utf-8", "surrogateescape")
    desk.file.write_bytes(text)
    known = KnownKeys(resolve(Login("h"), str(desk.config)), "lab-1")
    known.check(RSA)
    with pytest.raises(HostKeyError, match="has another key than is known for it"):
        known.check(OTHER_RSA)


def test_a_changed_file_is_read_again(desk: Desk) -> None:
    assert desk.check(line("h", OTHER_RSA))
    assert desk.check(line("h", RSA)) == ""


def test_accept_new(desk: Desk) -> None:
    assert desk.check(login=Login("h", accept_new=True)) == ""


def test_no_files(desk: Desk) -> None:
    with pytest.raises(HostKeyError, match="is not known"):
        KnownKeys(resolve(Login("h"), str(desk.config)), "lab-1").check(RSA)


def test_a_given_key(desk: Desk) -> None:
    given = Login("h", server_key=f"  ssh-rsa {RSA.get_base64()}  comment")
    assert desk.check(line("h", OTHER_RSA), login=given) == ""
    for key in (OTHER_RSA, ECDSA):
        assert "another key" in desk.check(line("h", key), key=key, login=given)


@pytest.mark.parametrize("text", ["x", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa !", "what AAAA"])
def test_what_is_no_key(desk: Desk, text: str) -> None:
    assert " is no public key" in desk.check(login=Login("h", server_key=text))
