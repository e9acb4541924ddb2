"""What is read in ssh_config, beside what ssh(1) itself reads there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import HostError
from nepiq.controller.model.login import Login
from nepiq.workers.sessions.ssh.target import resolve

ROOT = Path(__file__).parents[3]

# Name, files by name (`main` is read), host, user and port that are given.
CASES: list[tuple[str, dict[str, str], str, str, int | None]] = [
    ("nothing", {"main": ""}, "h", "", None),
    ("given user and port", {"main": "Host *\nUser x\nPort 1\n"}, "h", "me", 2222),
    (
        "first value wins",
        {"main": "User a\nHost h\nUser b\nPort 7\nHost *\nPort 8\n"},
        "h",
        "",
        None,
    ),
    ("equals sign", {"main": 'Host=h\nHostName = "a.b"\nPort=7\n'}, "h", "", None),
    ("keywords in any case", {"main": "hOST h\nHOSTNAME x\npORT 3\n"}, "h", "", None),
    ("patterns", {"main": "Host a* ?b !ab*\nUser u\nHost *\nPort 9\n"}, "abc", "", None),
    ("one character", {"main": "Host ?b\nUser u\n"}, "xb", "", None),
    ("brackets are no pattern", {"main": "Host [ab]\nUser u\n"}, "a", "", None),
    ("negated alone", {"main": "Host !x\nUser u\n"}, "h", "", None),
    ("host name with token", {"main": "Host h\nHostName %h.example.org\n"}, "h", "", None),
    ("comment after a value", {"main": "Host h # it\nUser u # me\nPort 7 #7\n"}, "h", "", None),
    ("no comment in a word", {"main": "IdentityFile /a#b\n"}, "h", "", None),
    (
        "identities",
        {
            "main": "Host h\nIdentityFile /a\nIdentityFile /b\n"
            "Host *\nIdentityFile /c\nIdentityFile /a\n"
        },
        "h",
        "",
        None,
    ),
    ("identity with blank", {"main": 'IdentityFile "/a b/c"\nIdentitiesOnly yes\n'}, "h", "", None),
    ("alias", {"main": "Host h\nHostKeyAlias other\nPort 7\n"}, "h", "", None),
    (
        "known hosts",
        {"main": 'UserKnownHostsFile /a "/b c"\nGlobalKnownHostsFile /d\n'},
        "h",
        "",
        None,
    ),
    (
        "known hosts, first counts",
        {"main": "UserKnownHostsFile /a\nUserKnownHostsFile /b\n"},
        "h",
        "",
        None,
    ),
    (
        "jump",
        {"main": "Host h\nProxyJump me@gw:2222,b\nHost *\nProxyCommand nc %h\n"},
        "h",
        "",
        None,
    ),
    ("jump none", {"main": "Host h\nProxyJump none\nHost *\nProxyJump gw\n"}, "h", "", None),
    (
        "no jump after none",
        {"main": "Host h\nProxyCommand none\nHost *\nProxyJump gw\n"},
        "h",
        "",
        None,
    ),
    (
        "command with tokens",
        {"main": "Host h\nHostName x\nProxyCommand nc -q '%h' %p %r %n %% # no comment\n"},
        "h",
        "",
        2022,
    ),
    ("match all", {"main": "Host x\nUser a\nMatch all\nUser b\n"}, "h", "", None),
    ("match host", {"main": "HostName X.example\nMatch host x.*\nUser u\n"}, "h", "", None),
    ("match host, not as named", {"main": "HostName x\nMatch host h\nUser u\n"}, "h", "", None),
    ("match originalhost", {"main": "HostName x\nMatch originalhost a,h\nUser u\n"}, "h", "", None),
    ("match user given", {"main": "Match user me\nPort 7\n"}, "h", "me", None),
    ("match user set", {"main": "User me\nMatch user m*,!mx\nPort 7\n"}, "h", "", None),
    (
        "match negated",
        {"main": "Match !host h\nPort 7\nMatch !host x user me\nPort 8\n"},
        "h",
        "me",
        None,
    ),
    (
        "match exec",
        {"main": 'Match exec "test %h = x"\nPort 7\nMatch exec "test %n = h"\nPort 8\n'},
        "h",
        "",
        None,
    ),
    ("match exec negated", {"main": "Match !exec false\nPort 7\n"}, "h", "", None),
    ("match localuser", {"main": "Match localuser nobody-here\nPort 7\n"}, "h", "", None),
    (
        "match final",
        {"main": "Match final host x\nPort 7\nHost h\nHostName x\nUser u\n"},
        "h",
        "",
        None,
    ),
    ("include", {"main": "Include {dir}/one\nUser b\n", "one": "User a\n"}, "h", "", None),
    (
        "include goes on after",
        {"main": "Host h\nInclude {dir}/one\nPort 7\n", "one": "Host x\nUser a\n"},
        "h",
        "",
        None,
    ),
    (
        "include where nothing applies",
        {
            "main": "Host x\nInclude {dir}/one\nHost h\nPort 7\n",
            "one": "User a\nHost h\nUser b\nMatch all\nUser c\n",
        },
        "h",
        "",
        None,
    ),
    (
        "include in a block",
        {
            "main": "Host h\nInclude {dir}/one {dir}/two\n",
            "one": "Host h\nUser a\nHost x\n",
            "two": "Port 7\n",
        },
        "h",
        "",
        None,
    ),
    (
        "include in order of names",
        {"main": "Include {dir}/c.*\n", "c.2": "User b\n", "c.1": "User a\n"},
        "h",
        "",
        None,
    ),
    (
        "include nested and missing",
        {
            "main": "Include {dir}/one {dir}/none\n",
            "one": "Include {dir}/two\nUser b\n",
            "two": "User a\n",
        },
        "h",
        "",
        None,
    ),
]


@pytest.fixture
def ssh(need: Need) -> str:
    program = shutil.which("ssh")
    need("ssh", program, "not on PATH")
    return str(program)


def ours(login: Login, file: str = "") -> dict[str, str]:
    """What we decide, in the words of ``ssh -G``."""
    target = resolve(login, file)
    hops, hop = [], target.gateway
    while hop is not None:
        hops.insert(0, str(hop))
        hop = hop.gateway
    return {
        "hostname": target.address,
        "port": str(target.port),
        "user": target.user,
        "identityfile": " ".join(map(str, target.identities)),
        "identitiesonly": "no" if target.whole_agent else "yes",
        "proxyjump": ",".join(hops),
        "proxycommand": "given" if target.proxy_command else "",
        "knownhosts": " ".join(map(str, target.known_hosts)),
    }


def theirs(printed: str) -> dict[str, str]:
    """What ``ssh -G`` printed, of the same. It does not replace tokens in commands."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        option, _, value = line.partition(" ")
        found.setdefault(option, []).append(value)
    wanted = ("hostname", "port", "user", "identityfile", "identitiesonly", "proxyjump")
    known = [*found["userknownhostsfile"], *found["globalknownhostsfile"]]
    return {
        **{option: " ".join(found.get(option, [])) for option in wanted},
        "proxycommand": "given" if "proxycommand" in found else "",
        "knownhosts": " ".join(known),
    }


@pytest.mark.parametrize(
    ("files", "host", "user", "port"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_as_ssh_reads_it(
    ssh: str, tmp_path: Path, files: dict[str, str], host: str, user: str, port: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace("{dir}", str(tmp_path)))
    main = str(tmp_path / "main")
    command = [ssh, "-G", "-F", main, *(["-l", user] if user else [])]
    command += [*(["-p", str(port)] if port else []), host]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wanted, got = theirs(done.stdout), ours(Login(host, user, port), main)
    if "IdentityFile" not in str(files):
        # What is tried when nothing is said: Paramiko knows fewer kinds of keys.
        assert set(got.pop("identityfile").split()) < set(absolute(wanted.pop("identityfile")))
    if "KnownHostsFile" not in str(files):
        assert absolute(got.pop("knownhosts")) == absolute(wanted.pop("knownhosts"))
    assert got == wanted


def absolute(paths: str) -> list[str]:
    """Paths with the home of whoever runs the tests, which ssh takes from passwd(5)."""
    return [str(Path(path.replace("/root/", "~/")).expanduser()) for path in paths.split()]


def write(folder: Path, text: str) -> str:
    (folder / "config").write_text(text)
    return str(folder / "config")


def test_tokens_of_commands(tmp_path: Path) -> None:
    file = write(tmp_path, "Host h\nHostName x\nProxyCommand nc -q '%h' %p %r %n %% # all of it\n")
    target = resolve(Login("h", "me", 2022), file)
    assert target.proxy_command == "nc -q 'x' 2022 me h % # all of it"


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SITE", "lab")
    file = write(
        tmp_path,
        "Host h\nHostName x\nIdentityFile ~/.ssh/%r_%n_%h_%p\nIdentityFile %d/${SITE}\n"
        "UserKnownHostsFile ~/.ssh/%k none\nGlobalKnownHostsFile none\n",
    )
    target = resolve(Login("h", "me", 7), file)
    assert [str(path) for path in target.identities] == ["/home/me/.ssh/me_h_x_7", "/home/me/lab"]
    assert [str(path) for path in target.known_hosts] == ["/home/me/.ssh/x"]


def test_a_given_identity_is_the_only_one(tmp_path: Path) -> None:
    file = write(tmp_path, "IdentityFile /a\n")
    target = resolve(Login("h", identity="/mine"), file)
    assert (target.identities, target.demanded) == ((Path("/mine"),), True)
    assert not target.whole_agent


def test_no_identities(tmp_path: Path) -> None:
    assert resolve(Login("h"), write(tmp_path, "IdentityFile none\n")).identities == ()


def test_no_agent(tmp_path: Path) -> None:
    assert resolve(Login("h"), write(tmp_path, "")).agent
    assert not resolve(Login("h"), write(tmp_path, "IdentityAgent none\n")).agent


@pytest.mark.parametrize(
    ("said", "accepts"),
    [("yes", False), ("ask", False), ("accept-new", True), ("no", True), ("off", True)],
)
def test_unknown_machines(tmp_path: Path, said: str, accepts: bool) -> None:
    file = write(tmp_path, f"StrictHostKeyChecking {said}\n")
    assert resolve(Login("h"), file).accept_new is accepts
    assert resolve(Login("h", accept_new=True), file).accept_new


def test_names_in_known_hosts(tmp_path: Path) -> None:
    file = write(tmp_path, "Host a\nHostName A.Example\nHost b\nHostKeyAlias other\n")
    assert resolve(Login("a"), file).key_names == ("a.example",)
    assert resolve(Login("a", port=7), file).key_names == ("[a.example]:7", "a.example")
    assert resolve(Login("b", port=7), file).key_names == ("other",)


def test_gateways(tmp_path: Path) -> None:
    file = write(tmp_path, "Host h\nProxyJump u@a:7,b\nHost c\nProxyCommand nc %h %p\n")
    second = resolve(Login("h", connect_timeout=3.0), file).gateway
    assert second == Login(
        "b", gateway=Login("a", "u", 7, connect_timeout=3.0), connect_timeout=3.0
    )
    assert resolve(Login("h", direct=True), file).gateway is None
    assert resolve(Login("c", direct=True), file).proxy_command == ""
    given = resolve(Login("c", gateway=Login("a")), file)
    assert (given.gateway, given.proxy_command) == (Login("a"), "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Host h\nPort none\n", "'none' is no port"),
        ("\nHost\nUser\n Port 7\nHost *\nUser\n", "line 6: user without a value"),
        ("Match address 1\nUser u\n", "line 1: Match address is not supported"),
        ("Match host\n", "line 1: Match host without a value"),
        ('IdentityFile "/a\n', "line 1: a quote does not end"),
        ("IdentityFile ~/%x\n", "%x in '~/%x' is not supported"),
        ("IdentityFile ${NEPIQ_NOT_THERE}\n", "has no NEPIQ_NOT_THERE"),
        ("ProxyJump a:b:c@@\n", "ProxyJump 'a:b:c@@'"),
        ("ProxyJump h\n", "circles: h via h"),
        ("Host h\nProxyJump i\nHost i\nProxyJump h\n", "circles: h via i via h"),
        ("Include {dir}/config\n", "Include goes deeper than 16 files"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path, text.replace("{dir}", str(tmp_path)))
    with pytest.raises(HostError) as caught:
        resolve(Login("h"), file)
    assert says in caught.value.message
    assert caught.value.message.startswith("ssh_config of the worker machine cannot be used for h:")
    assert "ssh -G" in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        resolve(Login("h"), str(tmp_path / "none"))


def test_files_of_the_user_and_the_system(ssh: str, need: Need, tmp_path: Path) -> None:
    """Beside ssh(1), with a home and an /etc/ssh of our own by a mount namespace."""
    usable = os.geteuid() == 0 and not subprocess.call(["unshare", "--mount", "true"])
    need("root, who may make a mount namespace", usable)
    home = str(tmp_path / "home")
    files = {
        "home/.ssh/config": "Include conf.d/* ~/.ssh/more\nHost h\nUser b\n",
        "home/.ssh/conf.d/one": "Host h\nInclude conf.d/deep/*\nUser a\n",
        "home/.ssh/conf.d/deep/one": "Port 7\n",
        "home/.ssh/more": "Host h\nIdentityFile ~/.ssh/mine\n",
        "etc/ssh_config": "Include ssh_config.d/*\nHost *\nUser c\nPort 8\n",
        "etc/ssh_config.d/one": "HostName x\nIdentityFile /site\n",
    }
    files["passwd"] = f"root:x:0:0:root:{home}:/bin/sh\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said = {}
    for kind, program in {
        "theirs": f"{ssh} -G h",
        "ours": f"{sys.executable} -m tests.unit.hosts.test_ssh_config h",
    }.items():
        places = [str(tmp_path / "passwd"), "/etc/passwd", str(tmp_path / "etc"), "/etc/ssh"]
        script = f'mount --bind "$1" "$2" && mount --bind "$3" "$4" && exec {program}'
        said[kind] = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *places],
            env={**os.environ, "HOME": home, "PYTHONPATH": f"{ROOT}/.typing:{ROOT}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    got, wanted = json.loads(said["ours"]), theirs(said["theirs"])
    wanted["identityfile"] = wanted["identityfile"].replace("~", home)
    assert got == wanted
    assert (got["user"], got["port"], got["hostname"]) == ("a", "7", "x")
    assert got["identityfile"] == f"{home}/.ssh/mine /site"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ours(Login(sys.argv[1]))))
