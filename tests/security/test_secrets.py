"""Passwords and passphrases stay where they were given: a run that uses them leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from tests.integration.hosts.keys import agent, make_key
from tests.net import free_port
from tests.security import scan
from tests.security.site import Site
from tests.testbed import Testbed

from nepiq.controller import ExperimentController

pytestmark = [
    pytest.mark.needs("redis-server", "ssh-keygen", "ssh-agent", "ssh-add", "sudo", "openssl"),
    pytest.mark.timeout(180),
]

SUDO = "sudo-7hQ2-password of student"
WRONG = "wrong-3kP9-password"
PASSPHRASE = "phrase-5tX8-of-the-key"
USER, HOST = "student", 0


@contextmanager
def prepared(bed: Testbed, folder: Path) -> Iterator[dict[str, str]]:
    """A host whose user has that password, a key with that passphrase; the worker's variables."""
    host = bed.hosts[HOST]
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=SUDO,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    shadow = host.run("cat /etc/shadow", user="root").stdout
    keys = host.run("cat /etc/ssh/authorized_keys", user="root").stdout
    key = folder / "key"
    public = make_key(key, passphrase=PASSPHRASE)
    make_key(folder / "locked", passphrase=PASSPHRASE)
    lines = [
        ":".join([USER, hashed, *line.split(":")[2:]]) if line.startswith(USER + ":") else line
        for line in shadow.splitlines()
    ]
    with ExitStack() as stack:
        stack.callback(host.run, "cat >/etc/shadow", user="root", text=shadow)
        stack.callback(host.run, "cat >/etc/ssh/authorized_keys", user="root", text=keys)
        host.run("cat >/etc/shadow", user="root", text="\n".join(lines) + "\n")
        host.run("cat >>/etc/ssh/authorized_keys", user="root", text=public)
        host.configure(PasswordAuthentication="yes")
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nq")))
        config = folder / "config"
        config.write_text(
            f"Host *\n  UserKnownHostsFile {bed.known_hosts}\n  IdentitiesOnly yes\n"
            f"Host {host.name}\n  HostName {host.address}\n"
        )
        yield {
            "SSH_AUTH_SOCK": stack.enter_context(agent(short, key, passphrase=PASSPHRASE)),
            "NEPIQ_SSH_CONFIG": str(config),
            "LAB_PASSWORD": SUDO,
            "WRONG_PASSWORD": WRONG,
        }


@contextmanager
def flower(site: Site, folder: Path) -> Iterator[str]:
    """Flower, for whoever comes; its URL."""
    port = free_port()
    user = site.user(folder, FLOWER_UNAUTHENTICATED_API="true")
    process = user.start(
        *(sys.executable, "-m", "celery", "-A", "nepiq.workers.flower_app", "flower"),
        *("--address=127.0.0.1", f"--port={port}"),
    )
    try:
        process.wrote("Visit me at", 40.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.signal(15)
        process.ended()


def ask(url: str) -> bytes:
    """What a page of Flower has; that of an error too."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return bytes(error.read())


def pages(url: str) -> Iterator[tuple[str, bytes]]:
    """What Flower tells of workers, their settings, the broker and tasks."""
    workers = json.loads(ask(f"{url}/api/workers?refresh=1"))
    assert workers
    paths = ["/api/tasks", "/workers", "/tasks", "/broker", "/metrics"]
    for page in [*paths, *(f"/worker/{name}" for name in workers)]:
        yield f"Flower {page}", ask(url + page)
    yield "Flower /api/workers", json.dumps(workers).encode()


def describe(ec: ExperimentController, folder: Path, host: str) -> dict[str, int]:
    """What uses the secrets, rightly and wrongly."""

    def node(label: str, **how: Any) -> int:
        made = {"hostname": host, "username": USER, "identity": str(folder / "key"), **how}
        return ec.register_resource("linux::Node", label=label, critical=False, **made)

    def app(label: str, where: int, command: str, **how: Any) -> int:
        made = {"connectedTo": where, "command": command, "critical": False, **how}
        return ec.register_resource("linux::Application", label=label, **made)

    good = node("good", sudoPassword="env:LAB_PASSWORD")
    bad = node("bad", sudoPassword="env:WRONG_PASSWORD")
    known = node("known", identity="", password="env:LAB_PASSWORD")
    here = ec.register_resource("linux::Node", label="here")
    return {
        "root": app("root", good, "id -un; env", sudo=True),
        "fails": app("fails", good, "env >&2; exit 3", sudo=True),
        "asleep": app("asleep", good, "exec sleep 300", sudo=True),
        "refused": app("refused", bad, "id -un", sudo=True),
        "locked": node("locked", identity=str(folder / "locked")),
        "by password": app("by-password", known, "id -un; env; cat /proc/self/environ"),
        "unknown": node("unknown", identity="", password="env:WRONG_PASSWORD"),
        "local": app("local", here, "env; cat /proc/self/environ"),
    }


def test_nothing_is_found_anywhere(testbed: Testbed, tmp_path: Path) -> None:  # noqa: PLR0915
    host = testbed.hosts[HOST].name
    secret, watched = tmp_path / "secret", tmp_path / "watched"
    secret.mkdir()
    watched.mkdir()
    with prepared(testbed, secret) as variables, Site(watched, **variables) as site:
        worker = site.start_worker()
        key = (secret / "key").read_text().splitlines()
        secrets = {
            "the password of sudo": SUDO,
            "the wrong password": WRONG,
            "the passphrase": PASSPHRASE,
            "the key": key[3],
            "the password of Redis": site.password,
        }
        user = site.user(watched)
        with flower(site, watched) as url, site.experiment("secrets") as ec:
            ask(f"{url}/api/workers?refresh=1")
            events = user.start(
                *(sys.executable, "-m", "celery", "-A", "nepiq.workers.app", "events", "--dump")
            )
            guids = describe(ec, secret, host)
            ec.deploy()
            ended = [guids[it] for it in ("root", "fails", "refused", "local", "by password")]
            assert ec.wait_finished(ended, timeout=60)
            assert ec.trace(guids["root"], "stdout").split()[0] == "root"
            local = ec.trace(guids["local"], "stdout")
            assert "NEPIQ_MACHINE=here" in local  # commands inherit the rest
            assert "NEPIQ_STATE_URL" not in local
            told = {failure.label: str(failure) for failure in ec.failures}
            assert {"fails", "refused", "locked", "unknown"} <= set(told)
            assert "refuses the password of student" in told["unknown"]
            assert "env:WRONG_PASSWORD" in told["unknown"]
            assert ec.trace(guids["by password"], "stdout").split()[0] == USER
            assert "env:WRONG_PASSWORD" in told["refused"]
            assert "has a passphrase" in told["locked"]
            assert ec.wait_started(guids["asleep"], timeout=30)
            # While it runs: what ps shows, here and on the host.
            assert scan.leaks(secrets, scan.command_lines()) == set()
            said = [user.nepiq(*verb.split()) for verb in VERBS]
            wrong = user.nepiq("ls", **wrong_urls(site))
            assert wrong.code == 3
            said.append(wrong)
            shown = list(pages(url))
            events.signal(15)
            events.ended()
            outputs = [(f"output {n}", (d.out + d.err).encode()) for n, d in enumerate(said)]
            outputs.append(("errors", json.dumps(told).encode()))
            with site.operator(0) as broker, site.operator(1) as state:
                kept = chain(scan.records(broker), scan.records(state))
                found = scan.leaks(secrets, kept)
        # Deployments and releases of two nodes: one try.
        assert testbed.hosts[HOST].log().count("Failed password for student") == 1
        # The append-only file has all that was ever written, messages of Celery among it.
        written = scan.files(watched, site._short / "data")
        places = chain(shown, outputs, written, [("worker", worker.text().encode())])
        found |= scan.leaks(secrets, places)
        assert found == set()


VERBS = ["doctor", "status last --json", "timeline last"]


def wrong_urls(site: Site) -> dict[str, str]:
    """The URLs for somebody who mistakes the user."""
    return {
        name: site.environment[name].replace("//nepiq:", "//nepig:")
        for name in ("NEPIQ_BROKER_URL", "NEPIQ_STATE_URL")
    }


def test_the_scan_finds_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"trying with {SUDO}")
    import base64

    (tmp_path / "coded").write_bytes(base64.b64encode(b"x" + PASSPHRASE.encode() + b"yy"))
    found = scan.leaks({"one": SUDO, "two": PASSPHRASE}, scan.files(tmp_path))
    assert {item.split()[0] for item in found} == {"one", "two"}
    command = [sys.executable, "-uc", "print(); input()", WRONG]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # ps shows no command line for a moment after a start
            assert scan.leaks({"three": WRONG}, scan.command_lines())
        finally:
            process.kill()
