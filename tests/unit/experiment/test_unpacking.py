"""Archives from hosts, also from hostile ones: nothing is written outside of the directory."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.experiment import unpacking
from nepiq.controller.experiment.unpacking import Unpacking

Member = tuple[str, bytes, dict[str, object]]


def archive(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name, content, more in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            for field, value in more.items():
                setattr(info, field, value)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def file(name: str, content: bytes = b"x", **more: object) -> Member:
    return name, content, more


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return name, b"", {"type": kind, "linkname": target}


def folder(name: str, mode: int = 0o755) -> Member:
    return name, b"", {"type": tarfile.DIRTYPE, "mode": mode}


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def take(tmp_path: Path, data: bytes) -> tuple[Path, list[str]]:
    """Unpack it; where it is, and what was left out."""
    stage, goal = tmp_path / "stage", tmp_path / "goal"
    stage.mkdir()
    made = Unpacking(pieces(data), stage, lambda count: None)
    made.unpack()
    made.move(goal)
    return goal, made.skipped


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_is_unpacked(tmp_path: Path, form: int) -> None:
    data = archive(
        folder("./"),
        file("./a", b"a" * 1500, mtime=1_500_000_000),
        folder("./d", 0o500),
        file("./d/x", mode=0o4755),
        link("./d/up", "../a"),
        file("./not/announced", b""),
        form=form,
    )
    goal, skipped = take(tmp_path, data)
    assert skipped == []
    assert (goal / "a").read_bytes() == b"a" * 1500
    assert (goal / "a").stat().st_mtime == 1_500_000_000
    assert (goal / "d").stat().st_mode & 0o7777 == 0o500
    assert (goal / "d/x").stat().st_mode & 0o7777 == 0o755
    assert str((goal / "d/up").readlink()) == "../a"
    assert (goal / "not/announced").read_bytes() == b""


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "..", "../x", "d/../../x", "self/../../x", "", "a\0b" * 99]
)
def test_links_that_lead_out_are_left_out(tmp_path: Path, target: str) -> None:
    goal, skipped = take(tmp_path, archive(file("./a"), link("./it", target), link("./ok", "a")))
    assert not os.path.lexists(goal / "it")
    assert skipped == ["it: a link that leads out"]
    assert (goal / "ok").read_bytes() == b"x"


def test_links_that_lead_out_by_way_of_others_are_left_out(tmp_path: Path) -> None:
    data = archive(
        folder("./a/b"),
        link("./a/b/top", "../.."),
        # By its text it stays in a/b; where it leads is beside the whole directory.
        link("./out", "a/b/top/../beside"),
        link("./chain", "out"),
    )
    goal, skipped = take(tmp_path, data)
    assert sorted(skipped) == ["chain: a link that leads out", "out: a link that leads out"]
    assert str((goal / "a/b/top").readlink()) == "../.."
    assert not os.path.lexists(goal / "out")


@pytest.mark.parametrize(
    "members",
    [
        [file("../out")],
        [file("./a/../../out")],
        [file("/tmp/out")],
        [folder("../out")],
        [link("../out", "x")],
        [file("./a"), file("./a")],
        [file("./a"), file("./a/b")],
        [file("./" + "d/" * 201 + "x")],
        [file("./")],
    ],
)
def test_what_is_refused(tmp_path: Path, members: list[Member]) -> None:
    with pytest.raises((HostError, OSError)):
        take(tmp_path, archive(*members))
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name, target in (("in", "real"), ("away", str(outside)), ("up", "../outside")):
        data = archive(folder("./real"), link(f"./{name}", target), file(f"./{name}/x"))
        stage = tmp_path / f"stage {name}"
        stage.mkdir()
        made = Unpacking(pieces(data), stage, lambda count: None)
        # The link may have the name of a directory that is there.
        with contextlib.suppress(FileExistsError):
            made.unpack()
        assert not list(outside.iterdir())
        assert not list((stage / "real").iterdir())


def test_other_kinds_are_left_out(tmp_path: Path) -> None:
    kinds = {
        "fifo": tarfile.FIFOTYPE,
        "char": tarfile.CHRTYPE,
        "block": tarfile.BLKTYPE,
        "hard": tarfile.LNKTYPE,
    }
    members = [link(f"./{name}", "/etc/passwd", kind) for name, kind in kinds.items()]
    goal, skipped = take(tmp_path, archive(*members, file("./a")))
    assert [path.name for path in goal.iterdir()] == ["a"]
    assert skipped == [f"{name}: not a regular file" for name in kinds]


def huge_header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("./x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_cannot_fill_our_memory(tmp_path: Path, kind: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield huge_header(kind, 8_000_000_000)
        while True:
            yield bytes(1 << 20)

    tracemalloc.start()
    try:
        with pytest.raises(HostError, match="cannot be unpacked: a header is too long"):
            Unpacking(endless(), tmp_path, lambda count: None).unpack()
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_headers_of_headers(tmp_path: Path) -> None:
    one = huge_header(tarfile.XHDTYPE, 10) + b"9 path=x\n\n".ljust(512, b"\0")
    with pytest.raises(HostError, match="a header is too long"):
        Unpacking(pieces(one * 10_000), tmp_path, lambda count: None).unpack()


def test_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST", 10)
    monkeypatch.setattr(unpacking, "MOST_KEPT", 5)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with pytest.raises(HostError, match="more than 10 files"):
        take(tmp_path / "one", archive(*(file(f"./{n}") for n in range(11))))
    with pytest.raises(HostError, match="more than 5 directories and links"):
        take(tmp_path / "two", archive(*(link(f"./{n}", "x") for n in range(6))))


@pytest.mark.parametrize("cut", [0, 100, 512, 600, 1024, 1700, 2100])
def test_it_breaks_off(tmp_path: Path, cut: int) -> None:
    data = archive(file("./a", b"a" * 700), file("./b"), form=tarfile.GNU_FORMAT)
    with pytest.raises(HostError, match="cannot be unpacked"):
        take(tmp_path, data[:cut])


@pytest.mark.parametrize("at", [0, 1536])
def test_a_header_that_is_damaged(tmp_path: Path, at: int) -> None:
    data = bytearray(archive(file("./a", b"a" * 700), file("./b"), form=tarfile.GNU_FORMAT))
    data[at + 150] ^= 1
    with pytest.raises(HostError, match="cannot be unpacked"):
        take(tmp_path, bytes(data))


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"0000000nope\0"])
def test_sizes_that_are_none(tmp_path: Path, size: bytes) -> None:
    header = bytearray(archive(file("./a", b""), form=tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    with pytest.raises(HostError):
        take(tmp_path, bytes(header))


@pytest.mark.parametrize("mtime", ["nonsense", "1e400", "9" * 40, "-5.5", "nan", ""])
def test_times_that_are_none(tmp_path: Path, mtime: str) -> None:
    data = archive(file("./a", pax_headers={"mtime": mtime}))
    with contextlib.suppress(HostError):
        take(tmp_path, data)


def test_what_is_there_is_added_to(tmp_path: Path) -> None:
    goal = tmp_path / "goal"
    (goal / "d").mkdir(parents=True)
    (goal / "d").chmod(0o750)
    (goal / "d" / "old").write_text("old")
    (goal / "d" / "x").write_text("old")
    (tmp_path / "secret").write_text("secret")
    (goal / "l").symlink_to("../secret")
    data = archive(folder("./d", 0o700), file("./d/x"), file("./l"), folder("./e", 0o700))
    take(tmp_path, data)
    assert (goal / "d/old").read_text() == "old"
    assert (goal / "d/x").read_bytes() == b"x"
    assert (goal / "l").read_bytes() == b"x"
    assert (tmp_path / "secret").read_text() == "secret"
    assert (goal / "d").stat().st_mode & 0o777 == 0o750
    assert (goal / "e").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("there", "comes"), [("dir", "file"), ("file", "dir"), ("link", "dir")])
def test_what_is_in_the_way(tmp_path: Path, there: str, comes: str) -> None:
    (tmp_path / "goal").mkdir()
    (tmp_path / "outside").mkdir()
    old = tmp_path / "goal" / "it"
    if there == "dir":
        old.mkdir()
    elif there == "link":
        old.symlink_to("../outside")
    else:
        old.write_text("old")
    data = archive(file("./it") if comes == "file" else folder("./it"), file("./z"))
    if comes == "dir":
        data = archive(file("./it/x"))
    with pytest.raises(InvalidValue, match=r"it is (a|not a) directory"):
        take(tmp_path, data)
    assert not list((tmp_path / "outside").iterdir())
