"""The cache of contents on a host: carried once, resumed, checked, and cleaned."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import FencedError, HostError
from nepiq.controller.model import Content

from .rig import Rig

pytestmark = pytest.mark.needs("flock", "setsid")

DATA = os.urandom(300_000)
CONTENT = Content(hashlib.sha256(DATA).hexdigest(), len(DATA))


class Source:
    """Bytes of a content in pieces, and from where on they were asked for.

    Args:
        data: all of it.
        end: the source fails there; 0 for never.
    """

    def __init__(self, data: bytes = DATA, end: int = 0) -> None:
        self.data, self.end = data, end
        self.offsets: list[int] = []

    def __call__(self, sha256: str, offset: int) -> Iterator[bytes]:
        assert sha256 == CONTENT.sha256
        self.offsets.append(offset)
        for place in range(offset, len(self.data), 10_000):
            if self.end and place >= self.end:
                raise HostError("the source is gone")
            yield self.data[place : place + 10_000]


def usr(rig: Rig) -> Path:
    return rig.home / ".nepiq/.usr"


def parts(rig: Rig) -> list[str]:
    return [path.name for path in (usr(rig) / "part").iterdir()]


def test_it_is_brought_once(rig: Rig) -> None:
    source = Source()
    path = rig.host(5, pieces=source).keep(CONTENT)
    assert path == str(usr(rig) / "content" / CONTENT.sha256)
    assert Path(path).read_bytes() == DATA
    assert rig.host(6, pieces=source).keep(CONTENT) == path
    assert source.offsets == [0]
    assert parts(rig) == []


def test_it_is_resumed(rig: Rig) -> None:
    source = Source(end=200_000)
    with pytest.raises(HostError, match="the source is gone"):
        rig.host(5, pieces=source).keep(CONTENT)
    assert parts(rig) == [CONTENT.sha256]
    source.end = 0
    path = rig.host(6, pieces=source).keep(CONTENT)
    assert path is not None
    assert Path(path).read_bytes() == DATA
    assert source.offsets[0] == 0
    assert 0 < source.offsets[1] <= 200_000


def test_one_brings_it_and_another_does_not_wait(rig: Rig) -> None:
    asked, go = threading.Event(), threading.Event()

    def slow(sha256: str, offset: int) -> Iterator[bytes]:
        asked.set()
        assert go.wait(20.0)
        yield DATA

    first: list[str | None] = []
    thread = threading.Thread(target=lambda: first.append(rig.host(5, pieces=slow).keep(CONTENT)))
    thread.start()
    assert asked.wait(20.0)
    assert rig.host(6, pieces=Source()).keep(CONTENT) is None
    go.set()
    thread.join(20.0)
    assert rig.host(6, pieces=Source()).keep(CONTENT) == first[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DATA[:-1] + bytes([DATA[-1] ^ 1]), "a content arrived changed"),
        (DATA[:-1], "Redis has 299999 of 300000 bytes"),
    ],
    ids=["changed", "short"],
)
def test_another_content_is_refused(rig: Rig, data: bytes, message: str) -> None:
    with pytest.raises(HostError, match=message):
        rig.host(5, pieces=Source(data)).keep(CONTENT)
    assert list((usr(rig) / "content").iterdir()) == []
    # What is wrong in the part does not stay in its way.
    source = Source()
    host = rig.host(5, pieces=source)
    assert host.keep(CONTENT) is not None


def test_an_older_attempt_is_refused(rig: Rig) -> None:
    older = rig.host(5, pieces=Source())
    rig.host(5, pieces=Source()).run("true")
    with pytest.raises(FencedError):
        older.keep(CONTENT)


def test_a_release_removes_what_nobody_finishes(rig: Rig) -> None:
    with pytest.raises(HostError):
        rig.host(5, pieces=Source(end=100_000)).keep(CONTENT)
    for name in ("whole", "broken", "held"):
        (usr(rig) / "build" / name).mkdir(parents=True)
    (usr(rig) / "build/whole/ready").touch()
    held = subprocess.Popen(
        ["flock", str(usr(rig) / "lock/held"), "sh", "-c", "echo; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout is not None
    held.stdout.readline()
    try:
        rig.host(1).dismantle()
        assert parts(rig) == []
        assert {path.name for path in (usr(rig) / "build").iterdir()} == {"whole", "held"}
    finally:
        held.communicate()


def test_entries_that_nobody_used_for_a_month_make_room(rig: Rig) -> None:
    old = usr(rig) / "content" / ("0" * 64)
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    assert rig.host(5, pieces=Source()).keep(CONTENT) is not None
    assert not old.exists()


def test_clean_home_removes_the_cache(rig: Rig) -> None:
    assert rig.host(5, pieces=Source()).keep(CONTENT) is not None
    rig.prepare(clean_experiment=True)
    assert (usr(rig) / "content" / CONTENT.sha256).exists()
    (usr(rig) / "src/closed/below").mkdir(parents=True)
    (usr(rig) / "src/closed").chmod(0o500)  # as Go's caches are
    rig.prepare(clean_home=True)
    assert not usr(rig).exists()
