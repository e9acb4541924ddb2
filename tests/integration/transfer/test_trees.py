"""Directories and patterns, from the machine of a script to hosts and back."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from tests.integration.transfer.conftest import Site
from tests.integration.transfer.test_files import MIB, SIZE, at, replace_worker, rss, run_of
from tests.integration.transfer.test_kinds import make_socket
from tests.stand import until
from tests.trees import seen

from nepiq.controller.engine.transfer import flow_control
from nepiq.controller.errors import FileMissing, HostError, InvalidValue, TraceNotFound
from nepiq.controller.experiment import files

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid", "tar"), pytest.mark.timeout(120)]

#: Names as users have them: blanks, newlines, no ASCII, no UTF-8, what a shell or tar might read.
NAMES = [
    "plain",
    "a b",
    "two\nlines",
    "ü",
    "caf\udce9",
    "-x",
    "*",
    "$(id)",
    "back\\slash",
    "'\"",
    "x" * 200,
]


def plant(top: Path) -> None:
    """A tree with all that one can hold."""
    top.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        file = top / name
        file.write_bytes(name.encode("utf-8", "surrogateescape") * number)
        file.chmod(0o640 + number % 2)
        os.utime(file, ns=(1, 1_600_000_000_123_456_700 + number))
    deep = top / "deep" / "a b"
    deep.mkdir(parents=True)
    (deep / "large").write_bytes(os.urandom(3_000_000))
    (deep / "tool").write_text("#!/bin/sh\n")
    (deep / "tool").chmod(0o755)
    (top / "empty dir").mkdir()
    (top / "link").symlink_to("deep/a b/tool")
    (deep / "up").symlink_to("../../plain")
    for folder, mode in (("empty dir", 0o700), ("deep/a b", 0o755), ("deep", 0o711)):
        (top / folder).chmod(mode)
        os.utime(top / folder, ns=(1, 1_500_000_000_000_000_000))


def test_a_directory_there_and_back(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    plant(source)
    assert len(seen(source)) == len(NAMES) + 7
    site.ec.upload(site.nodes, source)
    for number, node in enumerate(site.nodes):
        assert seen(site.run_dir(node, number) / "source") == seen(source)
        assert [path.name for path in site.run_dir(node, number).iterdir()] == ["source"]
    assert site.ec.download("n0", "source", tmp_path / "back") == tmp_path / "back"
    assert seen(tmp_path / "back") == seen(source)
    into = tmp_path / "into"
    into.mkdir()
    assert site.ec.download("n1", "source", into) == into / "source"
    assert seen(into / "source") == seen(source)
    assert [path.name for path in into.iterdir()] == ["source"]


def test_patterns_both_ways(site: Site, tmp_path: Path) -> None:
    here = tmp_path / "here"
    for name in ("a/one.log", "a/two words.log", "b/one.log", "b/.hidden.log", "b/other"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (here / "b" / "dir.log").mkdir()
    (here / "b" / "dir.log" / "in it").write_text("deep")
    site.ec.upload("n0", f"{here}/*/*.log", "logs/of mine")
    there = site.run_dir(site.nodes[0]) / "logs/of mine"
    wanted = ["a", "a/one.log", "a/two words.log", "b", "b/dir.log", "b/dir.log/in it", "b/one.log"]
    assert sorted(str(path.relative_to(there)) for path in there.rglob("*")) == wanted
    site.ec.upload("n0", f"{here}/a/..")  # the name of a directory is its own
    assert (site.run_dir(site.nodes[0]) / "here/b/other").exists()
    site.ec.upload("n0", f"{here}/b/o*")
    assert (site.run_dir(site.nodes[0]) / "other").read_text() == "b/other"
    back = tmp_path / "back"
    assert site.ec.download("n0", "logs/of mine/*/*.log", back) == back
    assert sorted(str(path.relative_to(back)) for path in back.rglob("*")) == wanted
    assert (back / "b/dir.log/in it").read_text() == "deep"
    # A second time, into what is there.
    (back / "mine").write_text("mine")
    (there / "a/one.log").write_text("new")
    site.ec.download("n0", "logs/of mine/a/*", back / "a")
    assert (back / "a/one.log").read_text() == "new"
    assert (back / "mine").exists()


def test_a_file_whose_name_is_a_pattern(site: Site, tmp_path: Path) -> None:
    for name in ("a*b", "axb"):
        (tmp_path / name).write_text(name)
    site.ec.upload("n0", tmp_path / "a*b")
    assert [path.name for path in site.run_dir(site.nodes[0]).iterdir()] == ["a*b"]
    site.ec.upload("n0", tmp_path / "axb")
    assert site.ec.download("n0", "a*b", tmp_path / "back") == tmp_path / "back"
    assert (tmp_path / "back").read_text() == "a*b"


def test_the_whole_run_directory(site: Site, tmp_path: Path) -> None:
    """Without what the supervisor keeps there."""
    app = site.app("echo out; echo err >&2; mkdir .conf; echo it >.conf/x; echo mine >.stop.mine")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    assert site.ec.download(app, ".", tmp_path / "all") == tmp_path / "all"
    wanted = [".conf", ".conf/x", ".stop.mine", "stderr", "stdout"]
    found = [str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*")]
    assert sorted(found) == wanted
    site.ec.download(app, ".*", tmp_path / "hidden")
    assert sorted(path.name for path in (tmp_path / "hidden").iterdir()) == [".conf", ".stop.mine"]


def test_links_out_and_odd_kinds_are_told(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "it").write_text("it")
    (source / "in").symlink_to("it")
    (source / "out").symlink_to("../secret")
    (source / "absolute").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")
    (tmp_path / "secret").write_text("secret")
    site.ec.upload("n0", source)
    there = site.run_dir(site.nodes[0]) / "source"
    assert sorted(path.name for path in there.iterdir()) == ["in", "it"]
    assert "left out of " in caplog.text
    assert (
        "absolute: a link that leads out; out: a link that leads out; pipe: a FIFO" in caplog.text
    )
    caplog.clear()
    (there / "out").symlink_to("../../secret")
    os.mkfifo(there / "pipe")
    make_socket(there / "socket")
    site.ec.download("n0", "source", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["in", "it"]
    assert str((tmp_path / "back" / "in").readlink()) == "it"
    for told in ("out: a link that leads out", "pipe: not a regular file", "sockets: 1"):
        assert told in caplog.text


def test_what_is_refused(site: Site, tmp_path: Path) -> None:
    (site.run_dir(site.nodes[0]) / "dir").mkdir(parents=True)
    (site.run_dir(site.nodes[0]) / "file").write_text("")
    with pytest.raises(FileMissing, match="nothing on this machine matches"):
        site.ec.upload("n0", f"{tmp_path}/no*")
    with pytest.raises(TraceNotFound, match=r"no\*"):
        site.ec.download("n0", "no*", tmp_path / "x")
    with pytest.raises(TraceNotFound, match=r"dir/\*\*"):
        site.ec.download("n0", "dir/**", tmp_path / "x")
    for name in ("../*", "/etc/*", "dir/../../*"):
        with pytest.raises(TraceNotFound):
            site.ec.download("n0", name, tmp_path / "x")
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(InvalidValue, match="file is no directory"):
        site.ec.upload("n0", source, "file")
    (tmp_path / "text").write_text("")
    with pytest.raises(InvalidValue, match="text is not a directory"):
        site.ec.download("n0", "dir", tmp_path / "text")
    with pytest.raises(FileMissing, match="cannot write"):
        site.ec.download("n0", "dir", tmp_path / "no" / "where")
    assert not {"x", "no"} & {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.rglob("*.part"))


def test_a_host_without_tar(
    own_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    own_site.ec.upload("n0", source)
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for tool in Path(folder).iterdir():
            if tool.name != "tar" and not (tools / tool.name).is_symlink():
                (tools / tool.name).symlink_to(tool)
    own_site.stand.workers[0].signal(15)
    own_site.stand.workers[0].ended()
    monkeypatch.setenv("PATH", str(tools))
    own_site.stand.start_worker("poor")
    with pytest.raises(HostError, match="this host lacks tar: install the package tar"):
        own_site.ec.upload("n0", source, "again")
    with pytest.raises(HostError, match="this host lacks tar: install the package tar"):
        own_site.ec.download("n0", "source", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def large(top: Path) -> Path:
    """A tree that is larger than the window."""
    top.mkdir()
    for number in range(SIZE // MIB):
        (top / f"file {number}").write_bytes(os.urandom(MIB))
    return top


def test_a_worker_is_killed_on_the_way_there(
    own_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    source = large(tmp_path / "source")
    progress, counts = at(SIZE // 2, lambda: replace_worker(own_site))
    files.upload(run_of(own_site), own_site.nodes, source, "it", progress)
    for number, node in enumerate(own_site.nodes):
        assert seen(own_site.run_dir(node, number) / "it") == seen(source)
        assert [path.name for path in own_site.run_dir(node, number).iterdir()] == ["it"]
    # It went on where it was.
    assert len(counts) * MIB <= SIZE + 2 * flow_control.WINDOW * MIB


def test_a_worker_is_killed_on_the_way_back(
    own_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    source = large(tmp_path / "source")
    own_site.ec.upload("n0", source, "it")
    redis = own_site.stand.backend().redis
    before = int(redis.info("stats")["total_net_input_bytes"])  # type: ignore[index]
    progress, counts = at(SIZE // 2, lambda: replace_worker(own_site))
    files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "back", progress)
    assert seen(tmp_path / "back") == seen(source)
    assert counts == sorted(counts)
    sent = int(redis.info("stats")["total_net_input_bytes"]) - before  # type: ignore[index]
    assert sent <= SIZE + 2 * flow_control.WINDOW * MIB


def test_what_came_has_changed_when_the_next_worker_goes_on(
    own_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    own_site.ec.upload("n0", large(tmp_path / "source"), "it")

    def change() -> None:
        for path in (own_site.run_dir(own_site.nodes[0]) / "it").iterdir():
            path.write_bytes(os.urandom(MIB))
        replace_worker(own_site)

    progress, _ = at(SIZE // 2, change)
    with pytest.raises(HostError, match=r"it changed while it was read \(fetch it again"):
        files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "back", progress)
    assert not list(tmp_path.glob("back*"))
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_changes_on_the_way_there(site: Site, tmp_path: Path) -> None:
    source = large(tmp_path / "source")
    last = sorted(source.iterdir())[-1]
    progress, _ = at(SIZE // 2, lambda: os.truncate(last, 5))
    with pytest.raises(HostError, match="changed while it was read"):
        files.upload(run_of(site), site.nodes, source, "it", progress)
    until(lambda: not list(site.run_dir(site.nodes[0]).iterdir()), 30.0, "something of it was left")


def test_logs_that_grow_meanwhile(site: Site, tmp_path: Path) -> None:
    """What is there at the beginning comes; that they grow is no error."""
    app = site.app("mkdir logs; while :; do echo $n >>logs/a; echo $n >>logs/b; done")
    site.ec.deploy(app)
    until((site.run_dir(app) / "logs" / "b").exists, 30.0, "it wrote nothing")
    for number in range(3):
        site.ec.download(app, "logs", tmp_path / f"back {number}")
        assert {path.name for path in (tmp_path / f"back {number}").iterdir()} == {"a", "b"}


def test_memory_is_flat(own_site: Site, tmp_path: Path) -> None:
    own_site.ec.upload("n0", large(tmp_path / "warm"))
    own_site.ec.download("n0", "warm", tmp_path / "warm back")
    source = large(tmp_path / "source")
    for number in range(2):
        os.truncate(source / f"file {number}", 60 * MIB)
    pid = own_site.stand.workers[0].process.pid
    before = rss(pid)
    tracemalloc.start()
    try:
        own_site.ec.upload("n0", source)
        own_site.ec.download("n0", "source", tmp_path / "back")
        assert tracemalloc.get_traced_memory()[1] < 48 * MIB
    finally:
        tracemalloc.stop()
    assert rss(pid) - before < 32 * MIB
    assert seen(tmp_path / "back") == seen(source)
