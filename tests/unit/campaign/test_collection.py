"""Files of an ended run are collected with all that hinders it on record."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nepiq.controller.campaign.collection import Collection
from nepiq.controller.campaign.file_store import FileStore
from nepiq.controller.campaign.metric_views import CollectedView
from nepiq.controller.engine.run import Run
from nepiq.controller.engine.transfer.directories import MATCH, Gathered
from nepiq.controller.engine.transfer.outputs import Outputs
from nepiq.controller.errors import HostError, HostUnreachable, TraceNotFound


class Records:
    """A run of two applications, on a host each, and of one that was never deployed."""

    run_id = "r1"

    def record(self, guid: int) -> Any:
        ready = {} if guid == 3 else {"READY": 1.0, "STARTED": 2.0, "RELEASED": 3.0}
        return SimpleNamespace(
            guid=guid, label=f"app{guid}", rtype="linux::Application", occ=1, host=10 + guid,
            milestones=ready, state="RELEASED", attributes={},
        )  # fmt: skip

    def output(self, guid: int, name: str, occ: int) -> bytes | None:
        return b"kept" if name == "stdout" else None

    @property
    def store(self) -> Any:
        return SimpleNamespace(outputs=lambda guid: {})


class Reader:
    """Hosts: one of them does not answer.

    Attributes:
        requests: what was requested of which.
    """

    def __init__(self, archive: bytes = b"") -> None:
        self.archive = archive
        self.requests: list[tuple[int, str]] = []

    def fetch(self, run: Run, guid: int, path: str, **how: Any) -> Iterator[bytes]:
        self.requests.append((guid, path))
        if guid == 2:
            raise HostUnreachable("no answer")
        yield b"content of "
        if path == "torn":
            raise HostError("it changed")
        yield path.encode()

    def gather(
        self,
        run: Run,
        guid: int,
        path: str,
        *,
        listing: bool = False,
        on_facts: Callable[[Gathered], None],
    ) -> Generator[bytes, None, None]:
        on_facts(Gathered(MATCH))
        yield self.archive


def archive(*names: bytes) -> bytes:
    """An archive of files whose content is their name."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for name in names:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size = len(name)
            made.addfile(info, io.BytesIO(name))
    return file.getvalue()


def collection(tmp_path: Path, reader: Reader) -> Collection:
    run = cast("Run", Records())
    guids = {f"app{guid}": guid for guid in (1, 2, 3)}
    return Collection(FileStore(tmp_path), Outputs(run, reader), guids)


def test_a_host_that_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    reader = Reader()
    made = collection(tmp_path, reader)
    made.bring({"app2": ["one", "two"], "app1": ["stdout", "one", "torn"], "app3": ["one"]})
    assert reader.requests == [(2, "one"), (1, "one"), (1, "torn")]
    found = {(file.label, file.name): file for file in made.store.files("r1")}
    for name in ("one", "two"):
        assert "no answer" in found["app2", name].error
    assert "it changed" in found["app1", "torn"].error
    assert "unknown trace 'one'" in found["app3", "one"].error
    assert made.store.path("r1", "app1", "stdout").read_bytes() == b"kept"
    assert made.store.path("r1", "app1", "one").read_bytes() == b"content of one"

    view = CollectedView(SimpleNamespace(phase="RELEASED"), made)
    assert view.phase == "RELEASED"
    assert view.trace(1, "one") == view.trace("app1", "one") == "content of one"
    assert view.trace("app1", "one", "size") == 14
    assert view.trace("app1", "one", "stream", 4, 1, text=False) == b"ent "
    with pytest.raises(HostUnreachable):
        view.trace("app2", "two")
    with pytest.raises(TraceNotFound):
        view.trace("app3", "one")


def test_names_of_a_pattern(tmp_path: Path) -> None:
    """Those that are not UTF-8 are written with escapes; a file is stored once."""
    made = collection(tmp_path, Reader(archive(b"a.log", b"sub/b.log", b"\xff.log")))
    made.bring({"app1": ["logs/a.log", "logs/*.log"]})
    names = [file.name for file in FileStore(tmp_path).files("r1")]
    assert names == ["logs/a.log", "logs/sub/b.log", r"logs/\xff.log"]
    assert made.store.path("r1", "app1", "logs/sub/b.log").read_bytes() == b"sub/b.log"


def test_an_archive_that_leads_out_or_breaks_off(tmp_path: Path) -> None:
    whole = archive(b"a.log", b"b.log")
    for number, data in enumerate((archive(b"../up"), whole[:700])):
        made = collection(tmp_path / str(number), Reader(data))
        made.bring({"app1": ["*.log"]})
        assert made.files[-1].name == "*.log"
        assert "cannot be unpacked" in made.files[-1].error
