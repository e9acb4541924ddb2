"""What a run directory holds, as scripts and errors tell it."""

from __future__ import annotations

import os

import pytest
from tests.integration.transfer.conftest import Site

from nepiq.controller import RunFile
from nepiq.controller.errors import HostError, TraceNotFound

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]


def test_files(site: Site) -> None:
    app = site.app("mkdir -p logs/deep; printf 123 >logs/deep/x; ln -s x logs/deep/link; echo it")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    made = site.run_dir(app)
    for name in ("two\nlines", "caf\udce9", "-x"):
        (made / "logs" / name).write_bytes(b"")
    os.mkfifo(made / "pipe")
    (made / "logs/deep/x").chmod(0o640)
    os.utime(made / "logs/deep/x", (1, 1_600_000_000.25))
    found = {file.name: file for file in site.ec.files(app)}
    assert found["logs/deep/x"] == RunFile("logs/deep/x", "file", 3, 1_600_000_000.25, 0o640)
    assert {name: file.kind for name, file in found.items()} == {
        "logs": "directory",
        "logs/-x": "file",
        "logs/caf\udce9": "file",
        "logs/deep": "directory",
        "logs/deep/link": "link",
        "logs/deep/x": "file",
        "logs/two\nlines": "file",
        "pipe": "fifo",
        "stderr": "file",
        "stdout": "file",
    }
    assert list(found) == sorted(found)
    assert [file.name for file in site.ec.files(app, "logs/deep/")] == [
        "logs/deep/link",
        "logs/deep/x",
    ]
    assert site.ec.files("n0") == []
    with pytest.raises(HostError, match="more than 3 files"):
        site.ec.files(app, limit=3)
    for name in ("../..", "/etc", "nosuch", "stdout"):
        with pytest.raises(TraceNotFound):
            site.ec.files(app, name)


def test_what_is_not_there_names_what_is(site: Site) -> None:
    app = site.app("echo it >capture.pcap; mkdir logs; echo it >logs/a.log", label="app")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    with pytest.raises(TraceNotFound, match=r"app: .*did you mean 'capture\.pcap'\?"):
        site.ec.trace(app, "capture.cap")
    with pytest.raises(
        TraceNotFound, match=r"known: capture\.pcap, exitcode, logs, logs/a\.log, st"
    ):
        site.ec.trace(app, "zzz", "size")
    with pytest.raises(TraceNotFound, match=r"known: capture\.pcap") as caught:
        site.ec.download(app, "?", site.folder / "x")
    assert ".exit" not in str(caught.value)
    for number in range(300):
        (site.run_dir(app) / f"many {number}").touch()
    with pytest.raises(TraceNotFound) as caught:
        site.ec.trace(app, "zzz")
    assert len(str(caught.value)) < 500
