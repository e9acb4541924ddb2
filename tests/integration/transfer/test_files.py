"""Files from the machine of a script to hosts and back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.transfer.conftest import Site
from tests.stand import until

from nepiq.controller.engine import Run
from nepiq.controller.engine.transfer import attempts, flow_control
from nepiq.controller.errors import (
    FileMissing,
    HostError,
    InvalidValue,
    NotAllowed,
    TraceNotFound,
    TransferSilent,
    UploadFailed,
)
from nepiq.controller.experiment import files

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

MIB = 1 << 20
SIZE = 48 * MIB


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that is larger than the window."""
    made = tmp_path / "source"
    made.write_bytes(os.urandom(SIZE))
    return made


def run_of(site: Site) -> Run:
    return site.stand.backend().run(site.ec.run_id)


@pytest.mark.parametrize(
    ("size", "name"), [(0, "empty"), (1, "a b"), (3 * MIB + 7, 'it\'s "so"\n*')]
)
def test_there_and_back(site: Site, tmp_path: Path, size: int, name: str) -> None:
    file = tmp_path / "x" / name
    file.parent.mkdir()
    file.write_bytes(os.urandom(size))
    file.chmod(0o750)
    site.ec.upload(site.nodes, file)
    for number, node in enumerate(site.nodes):
        arrived = site.run_dir(node, number) / name
        assert arrived.read_bytes() == file.read_bytes()
        assert arrived.stat().st_mode & 0o777 == 0o750
    site.ec.download("n0", name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    into = tmp_path / "into"
    into.mkdir()
    site.ec.download("n1", name, into)
    assert [path.name for path in into.iterdir()] == [name]
    with pytest.raises(FileMissing, match="No such file or directory"):
        site.ec.download("n1", name, f"{tmp_path}/none/")
    assert not (tmp_path / "none").exists()


def test_a_file_is_there_before_the_application_starts(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "tool"
    file.write_text("#!/bin/sh\necho from the tool\n")
    file.chmod(0o755)
    gate = site.app("true")
    app = site.app("./bin/tool")
    site.ec.register_condition(app, "start", gate, "STARTED")
    site.ec.deploy(app, wait_all_ready=False)
    site.ec.upload(app, file, "bin/tool")
    site.ec.deploy(gate)
    assert site.ec.wait_finished(app, timeout=30.0)
    assert site.ec.trace(app, "stdout") == "from the tool\n"


def test_traces_of_any_size(site: Site) -> None:
    app = site.app("head -c 3000000 /dev/zero | tr '\\0' x; printf end")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    redis = site.stand.backend().redis
    before = int(redis.info("stats")["total_net_input_bytes"])  # type: ignore[index]
    assert site.ec.trace(app, "stdout", "size") == 3_000_003
    assert site.ec.trace(app, "stdout", "stream", block=1000, offset=3000) == "end"
    assert site.ec.trace(app, "stdout", "stream", block=10, offset=0) == "x" * 10
    # Nothing but these blocks has passed through Redis.
    assert int(redis.info("stats")["total_net_input_bytes"]) - before < 100_000  # type: ignore[index]
    assert site.ec.trace(app, "stdout") == "x" * 3_000_000 + "end"


def test_what_is_refused_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"cannot read .*nosuch on this machine: No such file"):
        site.ec.upload("n0", tmp_path / "nosuch")
    with pytest.raises(InvalidValue, match="no regular file"):
        site.ec.upload("n0", "/dev/zero")
    late = site.ec.register_resource("linux::Node", label="late")
    with pytest.raises(NotAllowed, match="late: it is not deployed"):
        site.ec.upload(late, __file__)
    with pytest.raises(TraceNotFound, match="nosuch"):
        site.ec.download("n0", "nosuch", tmp_path / "x")
    with pytest.raises(FileMissing, match=r"cannot write .* on this machine"):
        site.ec.download("n0", "nosuch", tmp_path / "no" / "x")
    assert not list(tmp_path.glob("*.part"))


def test_one_of_two_hosts_cannot_take_it(site: Site, source: Path) -> None:
    site.run_dir(site.nodes[1], 1).mkdir(parents=True)
    (site.run_dir(site.nodes[1], 1) / "blocked").write_bytes(b"")
    with pytest.raises(UploadFailed) as caught:
        site.ec.upload(site.nodes, source, "blocked/it")
    assert caught.value.done == ("n0",)
    assert list(caught.value.failed) == ["n1"]
    assert "blocked/it: " in str(caught.value)
    assert (site.run_dir(site.nodes[0]) / "blocked/it").read_bytes() == source.read_bytes()
    with pytest.raises(HostError, match="n1: blocked/it: "):
        site.ec.upload("n1", source, "blocked/it")


def at(limit: int, act: Callable[[], None]) -> tuple[files.Progress, list[int]]:
    """Something to do once that much is through, and the counts that are told."""
    counts: list[int] = []

    def progress(count: int, total: int) -> None:
        if count >= limit and max(counts, default=0) < limit:
            act()
        counts.append(count)

    return progress, counts


def test_a_worker_is_killed_in_an_upload(
    own_site: Site, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    progress, counts = at(SIZE // 2, lambda: replace_worker(own_site))
    files.upload(run_of(own_site), own_site.nodes, source, "it", progress)
    for number, node in enumerate(own_site.nodes):
        assert (own_site.run_dir(node, number) / "it").read_bytes() == source.read_bytes()
        assert [path.name for path in own_site.run_dir(node, number).iterdir()] == ["it"]
    # It went on where it was: what was under way is all that went twice.
    assert sum(counts[n] - counts[n - 1] < 0 for n in range(1, len(counts))) <= 1
    assert len(counts) * MIB <= SIZE + 2 * flow_control.WINDOW * MIB


def test_a_worker_is_killed_in_a_download(
    own_site: Site, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "SILENCE", 5.0)
    own_site.ec.upload("n0", source, "it")
    redis = own_site.stand.backend().redis
    before = int(redis.info("stats")["total_net_input_bytes"])  # type: ignore[index]
    progress, counts = at(SIZE // 2, lambda: replace_worker(own_site))
    files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "back", progress)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert counts == sorted(counts)
    sent = int(redis.info("stats")["total_net_input_bytes"]) - before  # type: ignore[index]
    assert sent <= SIZE + 2 * flow_control.WINDOW * MIB


def replace_worker(site: Site) -> None:
    site.stand.workers[-1].signal(9)
    site.stand.workers[-1].ended()
    site.stand.start_worker(f"after-{len(site.stand.workers)}")


@pytest.mark.parametrize("upload", [True, False])
def test_connections_to_redis_are_killed(
    own_site: Site, source: Path, tmp_path: Path, upload: bool
) -> None:
    redis = own_site.stand.backend().redis
    if not upload:
        own_site.ec.upload("n0", source, "it")
    killed = 0

    def progress(count: int, total: int) -> None:
        nonlocal killed
        if count % (8 * MIB) == 0:
            killed += int(redis.client_kill_filter(_type="normal", skipme=True))  # type: ignore[arg-type]

    if upload:
        files.upload(run_of(own_site), own_site.nodes, source, "it", progress)
    else:
        files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "back", progress)
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert (own_site.run_dir(own_site.nodes[0]) / "it").read_bytes() == source.read_bytes()
    assert killed > 0


@pytest.mark.parametrize("upload", [True, False])
def test_redis_is_killed_and_restarted(
    own_site: Site, source: Path, tmp_path: Path, upload: bool
) -> None:
    if not upload:
        own_site.ec.upload("n0", source, "it")

    def restart() -> None:
        own_site.stand.stop_redis(9)
        own_site.stand.start_redis()

    progress, counts = at(SIZE // 2, restart)
    if upload:
        files.upload(run_of(own_site), own_site.nodes, source, "it", progress)
        assert (own_site.run_dir(own_site.nodes[1], 1) / "it").read_bytes() == source.read_bytes()
    else:
        files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "it", progress)
        assert (tmp_path / "it").read_bytes() == source.read_bytes()
    assert len(counts) == SIZE // MIB, "it was not begun again"


@pytest.mark.parametrize("upload", [True, False])
def test_redis_loses_messages(own_site: Site, source: Path, tmp_path: Path, upload: bool) -> None:
    redis = own_site.stand.backend().redis
    if not upload:
        own_site.ec.upload("n0", source, "it")

    def lose() -> None:
        for key in redis.keys("nepiq:*:blocks"):  # type: ignore[union-attr]
            redis.delete(key)

    progress, counts = at(SIZE // 2, lose)
    if upload:
        files.upload(run_of(own_site), own_site.nodes, source, "it", progress)
        assert (own_site.run_dir(own_site.nodes[1], 1) / "it").read_bytes() == source.read_bytes()
    else:
        files.download(run_of(own_site), own_site.nodes[0], "it", tmp_path / "it", progress)
        assert (tmp_path / "it").read_bytes() == source.read_bytes()
    assert len(counts) * MIB <= SIZE + 2 * flow_control.WINDOW * MIB, "it was not resumed"


def test_a_client_that_dies_is_noticed_and_its_part_goes(own_site: Site, source: Path) -> None:
    script = own_site.stand.script(
        "import os\n"
        "from nepiq.controller import ExperimentController\n"
        "from nepiq.controller.experiment import files\n"
        f"ec = ExperimentController.attach({own_site.ec.run_id!r})\n"
        "def die(count, total):\n"
        "    if count > total / 2: os.kill(os.getpid(), 9)\n"
        f"files.upload(ec._replica.link.run, {own_site.nodes!r}, {str(source)!r}, 'it', die)\n"
    )
    said = script.communicate(timeout=60.0)
    assert script.returncode == -9, said
    worker = own_site.stand.workers[0]
    until(lambda: "the client sent no heartbeat for" in worker.text(), 30.0, "nobody noticed")
    folder = own_site.run_dir(own_site.nodes[0])
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    own_site.ec.upload("n0", source, "it")
    assert [path.name for path in folder.iterdir()] == ["it"]


def test_a_file_that_changes_while_it_is_sent(site: Site, source: Path) -> None:
    progress, _ = at(SIZE // 2, lambda: os.truncate(source, SIZE // 2))
    with pytest.raises(HostError, match="source changed while it was read"):
        files.upload(run_of(site), site.nodes, source, "it", progress)
    folder = site.run_dir(site.nodes[0])
    until(lambda: not list(folder.iterdir()), 30.0, "a part was left")


def test_a_file_that_changes_while_it_is_fetched(site: Site, source: Path, tmp_path: Path) -> None:
    site.ec.upload("n0", source, "it")

    def change() -> None:
        with (site.run_dir(site.nodes[0]) / "it").open("r+b") as file:
            file.write(b"changed")

    progress, _ = at(SIZE // 2, change)
    with pytest.raises(HostError, match="it arrived other than it was sent"):
        files.download(run_of(site), site.nodes[0], "it", tmp_path / "back", progress)
    assert not list(tmp_path.glob("back*"))


def test_a_download_that_was_broken_off_is_gone_on_with(
    site: Site, source: Path, tmp_path: Path
) -> None:
    site.ec.upload("n0", source, "it")

    class BrokenOff(Exception):
        pass

    def break_off() -> None:
        raise BrokenOff

    stop, _ = at(SIZE // 2, break_off)
    with pytest.raises(BrokenOff):
        files.download(run_of(site), site.nodes[0], "it", tmp_path / "back", stop)
    (part,) = tmp_path.glob("back.*.part")
    had = part.stat().st_size
    progress, counts = at(SIZE + 1, lambda: None)
    files.download(run_of(site), site.nodes[0], "it", tmp_path / "back", progress)
    assert counts[0] > had >= SIZE // 2
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    # A part that is of something else is begun anew.
    part.write_bytes(b"something else")
    site.ec.download("n0", "it", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert not part.exists()


def test_nobody_serves_the_site(
    own_site: Site, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_control, "PATIENCE", 1.0)
    monkeypatch.setattr(attempts, "TRIES", 1)
    own_site.stand.workers[0].signal(19)
    try:
        with pytest.raises(TransferSilent, match=r"did not start the transfer within 1 s .*nepiq"):
            own_site.ec.upload("n0", source, "it")
    finally:
        own_site.stand.workers[0].signal(18)


def test_memory_is_flat(own_site: Site, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(MIB))
    pid = own_site.stand.workers[0].process.pid
    redis = own_site.stand.backend().redis
    own_site.ec.upload(own_site.nodes, tmp_path / "large", "warm")  # what is loaded once
    before, peak = rss(pid), 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, int(redis.info("memory")["used_memory"]))  # type: ignore[index]

    watching = threading.Thread(target=watch)
    watching.start()
    own_site.ec.upload(own_site.nodes, large, "it")
    own_site.ec.download("n0", "it", tmp_path / "back")
    over.set()
    watching.join()
    assert rss(pid) - before < 32 * MIB
    assert peak < 40 * MIB


def rss(pid: int) -> int:
    """The most memory that a process has had in RAM."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) * 1024
