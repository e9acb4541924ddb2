"""Files of runs are kept once, whole, and only where there is room."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nepiq.controller import CampaignError, InvalidValue, TraceNotFound
from nepiq.controller.campaign.file_store import FileStore, Keep, StoredFile, blocks_of
from nepiq.controller.errors import FileMissing


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "results")


def contents(store: FileStore) -> list[Path]:
    return sorted(path for path in (store.folder / "files").rglob("*") if path.is_file())


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_same_content_is_stored_once(store: FileStore, tmp_path: Path) -> None:
    for run in ("r1", "r2"):
        stored = store.add(
            run,
            [
                ("app", "stdout", [b"sa", b"me"]),
                ("app", "logs/other", [b"same"]),
                ("ping", "stdout", [run.encode()]),
                ("ping", "stderr", []),
            ],
        )
        assert stored[0] == StoredFile("app", "stdout", sha(b"same"), 4)
        assert store.files(run) == stored
    names = sorted(sha(data) for data in (b"same", b"r1", b"r2", b""))
    assert [path.name for path in contents(store)] == names
    assert all(path.parent.name == path.name[:2] for path in contents(store))
    assert store.runs() == ["r1", "r2"]
    assert store.path("r2", "ping", "stdout").read_bytes() == b"r2"
    assert [(run, path.read_bytes()) for run, path in store.traces("ping", "stdout")] == [
        ("r1", b"r1"),
        ("r2", b"r2"),
    ]
    store.export("r1", tmp_path / "copy")
    assert (tmp_path / "copy" / "app" / "logs" / "other").read_bytes() == b"same"
    (tmp_path / "copy" / "app" / "stdout").write_text("changed")
    assert store.damaged() == []


def test_a_run_is_replaced_as_a_whole(store: FileStore) -> None:
    store.add("r1", [("app", "a", [b"1"]), ("app", "b", [b"2"])])
    store.add("r1", [("app", "a", [b"3"])])
    assert [file.name for file in store.files("r1")] == ["a"]
    assert store.path("r1", "app", "a").read_bytes() == b"3"
    assert store.prune() == 2
    assert [path.name for path in contents(store)] == [sha(b"3")]


def test_contents_stay_as_long_as_a_run_has_them(store: FileStore) -> None:
    for run in ("r1", "r2"):
        store.add(run, [("app", "a", [b"same"]), ("app", "b", [run.encode()])])
    store.remove("r1")
    assert store.prune() == 2
    assert store.path("r2", "app", "a").read_bytes() == b"same"
    store.remove("r2")
    store.remove("r2")
    assert store.prune() == 6
    assert contents(store) == []


def unreadable() -> Iterator[bytes]:
    yield b"half"
    raise TraceNotFound("stdout", ["stderr"])


def test_a_file_that_cannot_be_read_is_noted_and_leaves_the_others(store: FileStore) -> None:
    stored = store.add(
        "r1", [("app", "stdout", unreadable()), ("app", "b", blocks_of(store.folder / "none"))]
    )
    assert [file.sha256 for file in stored] == ["", ""]
    assert "unknown trace 'stdout'" in stored[0].error
    assert "No such file" in stored[1].error
    assert contents(store) == []
    with pytest.raises(TraceNotFound, match="run r1: unknown trace 'app/stdout': unknown trace"):
        store.path("r1", "app", "stdout")


def test_near_misses_of_a_file(store: FileStore) -> None:
    store.add("r1", [("app", "stdout", [b""])])
    with pytest.raises(TraceNotFound, match="did you mean 'app/stdout'"):
        store.path("r1", "app", "stdou")
    with pytest.raises(TraceNotFound, match="run r9: unknown trace"):
        store.path("r9", "app", "stdout")


def test_damage_is_found(store: FileStore) -> None:
    store.add("r1", [("app", "a", [b"one"]), ("app", "b", [b"two"]), ("app", "c", [b"three"])])
    store.path("r1", "app", "a").write_bytes(b"changed")
    store.path("r1", "app", "b").unlink()
    assert store.damaged() == sorted([sha(b"one"), sha(b"two")])
    with (store.folder / "runs.jsonl").open("a") as manifest:
        manifest.write("{}\n")
    with pytest.raises(CampaignError, match=r"runs\.jsonl: the manifest is damaged"):
        store.files("r1")


@pytest.mark.parametrize("file", [{"label": "app", "name": "a"}, [], ["app", "a"], "text", None])
def test_what_is_no_file_is_refused(store: FileStore, file: object) -> None:
    (store.folder / "runs.jsonl").write_text(json.dumps({"run": "r1", "files": [file]}) + "\n")
    with pytest.raises(CampaignError, match=r"not a file of a run: .*another version"):
        store.files("r1")


@pytest.mark.parametrize(
    ("keep", "kept"), [("all", [True, True]), ("failed", [False, True]), ("none", [False, False])]
)
def test_which_runs_are_kept(keep: Keep, kept: list[bool], tmp_path: Path) -> None:
    store = FileStore(tmp_path, keep)
    assert [store.keeps(outcome) for outcome in ("finished", "failed")] == kept


def test_no_campaign_begins_without_room(store: FileStore) -> None:
    store.require(0)
    with pytest.raises(
        CampaignError, match=r"results: the disk has .*B, the campaign needs 1e\+06 TB"
    ):
        store.require(10**18)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../b", "nul\0"])
def test_names_stay_in_the_folder(name: str, store: FileStore) -> None:
    with pytest.raises(InvalidValue, match="cannot be the name of a file"):
        store.add("r1", [("app", name, [b""])])
    for run, label in (("../r", "app"), ("r1", "../app")):
        with pytest.raises(InvalidValue, match="cannot be used as"):
            store.add(run, [(label, "a", [b""])])
    assert store.runs() == []
    assert contents(store) == []


def test_values_that_are_wrong_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="keep cannot be 'some'"):
        FileStore(tmp_path, "some")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileMissing, match="cannot write into"):
        FileStore(tmp_path / "file" / "results")


def test_a_disk_that_fills_up_leaves_no_half_file(store: FileStore) -> None:
    """A limit on the size of files stands for a full disk: both fail in write(2)."""
    store.add("r1", [("app", "a", [b"one"])])
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(FileMissing, match=r"cannot write into .*: File too large"):
            store.add("r2", [("app", "b", [b"x" * (2 << 20)])])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert store.runs() == ["r1"]
    assert [path.name for path in contents(store)] == [sha(b"one")]


def test_many_writers_and_one_that_prunes(store: FileStore) -> None:
    def add(number: int) -> None:
        FileStore(store.folder).add(f"r{number}", [("app", str(n), [b"%d" % n]) for n in range(5)])
        if number % 10 == 0:
            store.prune()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    assert len(store.runs()) == 60
    assert len(contents(store)) == 5
    assert store.damaged() == []


WRITER = """
import sys
from nepiq.controller.campaign.file_store import FileStore

def endless():
    yield b"x" * (1 << 20)
    print("writing", flush=True)
    sys.stdin.read()

FileStore(sys.argv[1]).add("r2", [("app", "whole", [b"1"]), ("app", "half", endless())])
"""


def test_a_writer_that_is_killed_leaves_nothing_that_counts(store: FileStore) -> None:
    store.add("r1", [("app", "a", [b"one"])])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, store.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()
    assert store.runs() == ["r1"]
    assert len(contents(store)) == 3
    assert store.prune() == 1 + (1 << 20)
    assert [path.name for path in contents(store)] == [sha(b"one")]
