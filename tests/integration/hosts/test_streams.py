"""Files that stream to and from a host: checked, resumed, and what is left when they fail."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import FencedError, FileMissing, HostError, InvalidValue
from nepiq.workers.hosts import Incoming

from .rig import Rig, until

# A transfer ends earlier ones of its id anywhere on the machine, so none may run beside another.
pytestmark = pytest.mark.xdist_group("hosts-streams")

BYTES = os.urandom(300_000)
SUM = hashlib.sha256(BYTES).hexdigest()


def arrive(
    stream: Incoming, data: bytes = BYTES, end: int | None = None, *, finish: bool = False
) -> None:
    """Give a stream what it does not have yet."""
    stream.write(data[stream.offset : end])
    if finish:
        stream.finish(hashlib.sha256(data).hexdigest())


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_there_and_back(rig: Rig, size: int) -> None:
    data = BYTES[:size]
    with rig.host(5).files.receive("deep/er/it", length=size, mode=0o750) as stream:
        assert stream.offset == 0
        stream.write(data)
        stream.finish(hashlib.sha256(data).hexdigest())
    target = rig.run_dir(5) / "deep/er/it"
    assert target.read_bytes() == data
    assert target.stat().st_mode & 0o777 == 0o750
    assert parts(rig.home) == []
    with rig.host(5).files.send("deep/er/it") as out:
        assert b"".join(out) == data
        assert out.sha256 in ("", hashlib.sha256(data).hexdigest())
        assert out.facts.size == size


@pytest.mark.parametrize("name", ["a b", 'it\'s "so"', "line\nbreak\n", "-x", "*", "$(id)", "ü"])
def test_names(rig: Rig, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(BYTES)
    rig.host(5).put(str(source), f"dir {name}/{name}")
    assert (rig.run_dir(5) / f"dir {name}" / name).read_bytes() == BYTES
    rig.host(5).get(f"dir {name}/{name}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == BYTES


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (7, None), (299_999, 9), (400_000, None)])
def test_a_part(rig: Rig, offset: int, length: int | None) -> None:
    rig.host(5).write("it", BYTES)
    end = None if length is None else offset + length
    with rig.host(5).files.send("it", offset=offset, length=length) as out:
        data = b"".join(out)
    assert data == BYTES[offset:end]
    assert out.sha256 == hashlib.sha256(data).hexdigest()


def test_the_checksum_may_begin_earlier(rig: Rig) -> None:
    rig.host(5).write("it", BYTES)
    with rig.host(5).files.send("it", offset=200_000, since=0) as out:
        assert b"".join(out) == BYTES[200_000:]
    assert out.sha256 == SUM


def test_a_file_without_a_size(rig: Rig) -> None:
    with rig.host(5).files.send("/proc/cpuinfo") as out:
        assert b"processor" in b"".join(out)


def test_what_cannot_be_sent(rig: Rig) -> None:
    rig.host(5).write("dir/it", b"")
    with pytest.raises(FileMissing, match="nosuch"):
        rig.host(5).files.send("nosuch")
    with pytest.raises(HostError, match="it is a directory"):
        rig.host(5).files.send("dir")


def test_it_goes_on_where_it_was_broken_off(rig: Rig) -> None:
    first = rig.host(5).files.receive("it", length=len(BYTES), transfer="t1")
    arrive(first, end=200_000)
    first.close()
    assert not (rig.run_dir(5) / "it").exists()
    with rig.host(5).files.receive("it", length=len(BYTES), transfer="t1") as second:
        assert 0 < second.offset <= 200_000
        arrive(second)
        second.finish(SUM)
    assert (rig.run_dir(5) / "it").read_bytes() == BYTES
    assert parts(rig.home) == []


def test_a_go_whose_sender_is_lost_is_ended(rig: Rig) -> None:
    first = rig.host(5).files.receive("it", length=len(BYTES), transfer="t1")
    arrive(first, end=100_000)
    # The first still has its connection, and nobody who writes to it.
    with rig.host(5).files.receive("it", length=len(BYTES), transfer="t1") as second:
        arrive(second)
        second.finish(SUM)
    assert (rig.run_dir(5) / "it").read_bytes() == BYTES
    with pytest.raises(HostError):
        first.finish(SUM)
    first.close()


def test_what_is_left_goes_with_the_next_transfer_to_the_same_path(rig: Rig) -> None:
    for number, path in enumerate(["it", "it\n", "other", "it"]):
        stream = rig.host(5).files.receive(path, length=len(BYTES), transfer=f"t{number}")
        arrive(stream, end=100)
        stream.close()
    until(lambda: rig.bearers() == {})
    assert sorted(parts(rig.home)) == [f".nepiq.t{number}.part" for number in (1, 2, 3)]
    assert rig.host(5).listdir() == []


def test_what_is_left_goes_with_the_release(rig: Rig) -> None:
    away = rig.home / "away" / "it"
    stream = rig.host(5).files.receive(str(away), length=len(BYTES))
    arrive(stream, end=100)
    until(lambda: parts(rig.home))
    rig.host(1).dismantle()
    assert parts(rig.home) == []
    with pytest.raises(HostError):
        stream.finish(SUM)
    stream.close()
    with pytest.raises(FencedError):
        rig.host(5).files.receive("it", length=1)


def test_a_newer_attempt_shuts_it_out(rig: Rig) -> None:
    old, new = rig.host(5), rig.host(5)
    new.write("x", b"")
    with pytest.raises(FencedError, match="app-5"):
        old.files.receive("it", length=1)


def test_a_wrong_checksum_leaves_nothing(rig: Rig) -> None:
    rig.host(5).write("it", b"before")
    with rig.host(5).files.receive("it", length=len(BYTES)) as stream:
        arrive(stream)
        with pytest.raises(HostError, match="app-5: it arrived changed"):
            stream.finish(hashlib.sha256(b"else").hexdigest())
    assert rig.host(5).read("it") == b"before"
    assert parts(rig.home) == []


def test_a_sender_may_change_his_mind(rig: Rig) -> None:
    stream = rig.host(5).files.receive("it", length=len(BYTES))
    arrive(stream, end=100_000)
    stream.give_up()
    assert parts(rig.home) == []
    assert list((rig.root() / "transfer").iterdir()) == []


def test_a_directory_is_no_goal(rig: Rig) -> None:
    rig.host(5).write("dir/x", b"")
    with pytest.raises(InvalidValue, match="dir is a directory"):
        rig.host(5).files.receive("dir", length=1)


@pytest.fixture
def small_disk(tmp_path: Path, need: Need) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "nepiq", str(place)]
    mounted = subprocess.run(command, check=False).returncode == 0
    need("mount", mounted, "only root may")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(rig: Rig, small_disk: Path) -> None:
    goal = small_disk / "it"
    data = bytes(4 << 20)
    stream = rig.host(5).files.receive(str(goal), length=len(data))
    with pytest.raises(HostError, match=r"app-5: .*small/it: No space left on device"):
        arrive(stream, data, finish=True)
    stream.close()
    assert list(small_disk.iterdir()) == []
    with pytest.raises(HostError, match="No space left"):
        rig.host(5).write(str(goal), data)
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_may_only_be_read(rig: Rig, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (small_disk / "it", small_disk / "dir" / "it"):
        with pytest.raises(HostError, match=r"app-5: .*it: Read-only file system"):
            rig.host(5).files.receive(str(path), length=1)


def test_without_the_tools_for_checksums(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for tool in Path(folder).glob("*"):
            if tool.name not in ("sha256sum", "openssl") and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    rig.session._env["PATH"] = str(tools)
    rig.prepare()
    with rig.host(5).files.receive("it", length=len(BYTES)) as stream:
        arrive(stream)
        stream.finish(SUM)
    with rig.host(5).files.send("it") as out:
        assert b"".join(out) == BYTES
        assert out.sha256 == ""
    rig.close()


def test_a_file_that_changes_while_it_is_sent(rig: Rig) -> None:
    rig.host(5).write("it", bytes(1 << 20))
    digest = hashlib.sha256()
    with rig.host(5).files.send("it") as out, (rig.run_dir(5) / "it").open("r+b") as file:
        for block in out:
            digest.update(block)
            file.write(b"changed")
            file.flush()
    assert out.sha256 not in ("", digest.hexdigest())


def test_a_file_that_becomes_shorter_while_it_is_sent(rig: Rig) -> None:
    rig.host(5).write("it", bytes(1 << 20))
    with rig.host(5).files.send("it") as out:
        blocks = iter(out)
        next(blocks)
        os.truncate(rig.run_dir(5) / "it", 0)
        with pytest.raises(HostError, match="it became shorter while it was read"):
            list(blocks)


def test_follow(rig: Rig) -> None:
    """Pieces say their place; nothing comes twice, and what is known is not told again."""
    rig.host(5).write("stdout", b"known new")
    channel = rig.host(1).files.follow([("5/1/stdout", 6), ("6/1/stderr", 0)])
    said = b""

    def heard(piece: bytes) -> None:
        nonlocal said
        while piece not in said:
            said += channel.read()

    heard(b"data 5/1/stdout 6 3\nnew")
    rig.run_dir(6).mkdir(parents=True)
    with (rig.run_dir(6) / "stderr").open("ab") as file:
        for number in range(3):
            file.write(b"\0" * 10)
            file.flush()
            heard(b"data 6/1/stderr %d 10\n" % (10 * number))
    heard(b"beat")
    assert said.count(b"data") == 4
    closing = threading.Thread(target=channel.close)
    closing.start()
    closing.join(5.0)
    assert not closing.is_alive()
    until(
        lambda: (
            "follow"
            not in subprocess.run(
                ["ps", "-eo", "args"], capture_output=True, text=True, check=True
            ).stdout.split(str(rig.home), 1)[-1]
        )
    )


def test_what_becomes_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    """It was a file when it was looked at, and is a FIFO when it is opened."""
    rig = Rig(tmp_path, "/bin/sh")
    rig.prepare()
    rig.host(5).write("it", BYTES)
    path = rig.run_dir(5) / "it"
    tool = tmp_path / "bin" / "stat"
    tool.write_text(
        f"#!/bin/sh\n/usr/bin/stat \"$@\"\nrm -f '{path}'; mkfifo '{path}'\n", encoding="utf-8"
    )
    tool.chmod(0o755)
    with pytest.raises(HostError, match="cannot read it"), rig.host(5).files.send("it") as out:
        list(out)
    tool.unlink()
    with pytest.raises(HostError, match="it is a fifo, no regular file"):
        rig.host(5).files.send("it")
    with pytest.raises(HostError, match="cannot read it: it is a FIFO"):
        rig.host(5).read("it")
    with pytest.raises(InvalidValue, match="it is no regular file"):
        rig.host(5).write("it", b"")
    with pytest.raises(InvalidValue, match="it is a FIFO, no regular file"):
        rig.host(5).put(str(path), "there")
    rig.close()
