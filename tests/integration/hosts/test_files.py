"""Commands that are waited for, files, and channels."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nepiq.controller.errors import (
    Cancelled,
    CommandError,
    DeadlineError,
    FileMissing,
    HostError,
    InvalidValue,
)

from .rig import Rig

BYTES = bytes(range(256)) * 20


def test_run(rig: Rig) -> None:
    result = rig.host(5).run("cat; echo err >&2", stdin=BYTES)
    assert (result.code, result.stdout, result.stderr) == (0, BYTES, b"err\n")
    assert rig.host(5).run("echo ' ü '").text == "ü"


@pytest.mark.parametrize("mutates", [True, False])
def test_where_and_with_what_it_runs(rig: Rig, mutates: bool) -> None:
    host = rig.host(5)
    home = rig.host(5).facts.home
    assert host.run("pwd", mutates=mutates).text == home
    host.write("sub/file", b"")
    assert host.run("pwd", mutates=mutates).text == str(rig.run_dir(5))
    assert host.run("pwd", cwd="sub", mutates=mutates).text == str(rig.run_dir(5) / "sub")
    assert host.run("pwd", cwd="/usr", mutates=mutates).text == "/usr"
    value = 'it\'s "$(so)"\n`x` ü'
    assert host.run('printf %s "$V"', env={"V": value}, mutates=mutates).text == value
    with pytest.raises(CommandError):
        host.run("pwd", cwd="/nowhere", mutates=mutates)


@pytest.mark.parametrize("mutates", [True, False])
@pytest.mark.parametrize("text", ["x" * 200_000, "'" * 60_000], ids=["long", "quotes"])
def test_long_commands(rig: Rig, text: str, mutates: bool) -> None:
    result = rig.host(5).run(f"cat <<'END'\n{text}\nEND\ncat", stdin=b"the input", mutates=mutates)
    assert result.stdout == f"{text}\nthe input".encode()


def test_codes(rig: Rig) -> None:
    assert rig.host(5).run("exit 3", check=False).code == 3
    with pytest.raises(CommandError) as caught:
        rig.host(5).run("echo why >&2; exit 3")
    assert (caught.value.code, caught.value.stderr) == (3, "why\n")
    assert str(caught.value) == "app-5: command 'echo why >&2; exit 3' exited with 3: why"
    with pytest.raises(CommandError, match="command not found on that host"):
        rig.host(5).run("nosuch", mutates=False)
    with pytest.raises(InvalidValue):
        rig.host(5).run("a\0b")


def test_time_and_wish(rig: Rig) -> None:
    with pytest.raises(DeadlineError, match="app-5"):
        rig.host(5).run("exec sleep 60", timeout=0.1)
    with pytest.raises(DeadlineError):
        rig.host(5, timeout=0.1).run("exec sleep 60", timeout=30)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="app-5"):
        rig.host(5, cancel=cancel).run("exec sleep 60")


def test_write_and_read(rig: Rig) -> None:
    host = rig.host(5)
    for path in ("file", "deep/er/a 'file'", "-x", "*", str(rig.home / "absolute")):
        host.write(path, BYTES, mode=0o640)
        assert host.read(path) == BYTES
        assert (rig.run_dir(5) / path).stat().st_mode & 0o777 == 0o640
    host.write("file", b"shorter")
    assert host.read("file") == b"shorter"
    assert host.listdir() == ["*", "-x", "deep", "file"]


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 10), (10, None), (10, 10), (5110, 100), (9999, 10), (9999, None), (3, 0)],
)
def test_read_a_part(rig: Rig, offset: int, length: int | None) -> None:
    rig.host(5).write("file", BYTES)
    end = None if length is None else offset + length
    assert rig.host(5).read("file", offset=offset, length=length) == BYTES[offset:end]


def test_a_write_that_is_cut_changes_nothing(rig: Rig) -> None:
    host = rig.host(5)
    host.write("file", b"before")
    asked = host.attempt.command("write", 5, 1, host.attempt.token, "file", "644", 100)
    done = rig.session.execute(asked, stdin=b"x" * 99, deadline=host.attempt.deadline)
    with pytest.raises(HostError, match="did not arrive whole"):
        host.attempt.answer(done)
    assert host.read("file") == b"before"


def test_what_cannot_be_read_or_written(rig: Rig) -> None:
    host = rig.host(5)
    for look in (
        lambda: host.read("nosuch"),
        lambda: host.read("nosuch", offset=1, length=1),
        lambda: host.listdir("nosuch"),
    ):
        with pytest.raises(FileMissing, match=r"app-5: .*nosuch"):
            look()
    host.write("dir/file", b"")
    for fail in (
        lambda: host.read("dir"),
        lambda: host.write("/proc/nosuch", b""),
        lambda: host.write("dir/file/below", b""),
        lambda: host.write("dir", b""),
    ):
        with pytest.raises((HostError, InvalidValue), match="app-5: "):
            fail()
    with pytest.raises(FileMissing):
        host.listdir("dir/file")


def test_put_and_get(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nepiq.workers.hosts.host_files.BLOCK", 1000)
    source, target = tmp_path / "source", tmp_path / "target"
    for size in (0, 999, 1000, 1001, 5120):
        source.write_bytes(BYTES[:size])
        rig.host(5).put(str(source), "there/it", mode=0o755)
        rig.host(5).get("there/it", str(target))
        assert target.read_bytes() == BYTES[:size]
    assert (rig.run_dir(5) / "there" / "it").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (rig.run_dir(5) / "there").iterdir()] == ["it"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a home", "source", "target"]


def test_put_and_get_that_fail(rig: Rig, tmp_path: Path) -> None:
    host = rig.host(5)
    with pytest.raises(FileMissing, match=r"app-5: .*nosuch on the worker machine"):
        host.put(str(tmp_path / "nosuch"), "x")
    with pytest.raises(FileMissing, match="nosuch"):
        host.get("nosuch", str(tmp_path / "target"))
    host.write("file", b"")
    with pytest.raises(FileMissing, match="on the worker machine"):
        host.get("file", str(tmp_path / "no" / "target"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a home"]


def test_listing_leaves_out_our_own(rig: Rig) -> None:
    host = rig.host(5)
    host.write(".hidden", b"")
    host.supervise("ln -s nowhere link; exec sleep 60", stdin=b"", env={"A": "1"})
    while "link" not in host.listdir():
        pass
    assert host.listdir() == [".hidden", "link", "stderr", "stdout"]
    assert rig.run_id in host.listdir(str(rig.home / ".nepiq"))


def test_open(rig: Rig) -> None:
    host = rig.host(5)
    channel = host.open('echo $NEPIQ_ID; while read -r line; do echo "<$line>"; done')
    lines = channel.lines()
    assert next(lines).decode() == f"{rig.run_id}.5"
    channel.send(b"hello")
    assert next(lines) == b"<hello>"
    channel.close()
    assert rig.bearers() == {}


def test_open_ends_by_the_deadline(rig: Rig) -> None:
    channel = rig.host(5, timeout=0.3).open("exec sleep 60")
    with pytest.raises(DeadlineError):
        next(channel.lines())
    channel.close()
