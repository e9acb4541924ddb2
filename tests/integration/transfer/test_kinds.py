"""FIFOs, sockets, devices and directories, where a file is meant: told at once, on both sides."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.transfer.conftest import Site
from tests.stand import until

from nepiq.controller.errors import HostError, InvalidValue, NepiqError
from nepiq.controller.reports.results import collect

# Whoever opened a FIFO here would wait until the test is ended.
pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(45)]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        place = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may have 107 bytes
        try:
            made.bind(path.name)
        finally:
            os.chdir(place)


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("behind"))
    path.symlink_to("behind")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "socket": make_socket,
    "link": link_to_fifo,
    "device": device,
}


@pytest.fixture(params=KINDS)
def odd(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """Makes something that is no regular file."""

    def made(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        KINDS[request.param](path)
        return path

    return made


def test_on_the_host(site: Site, tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    made = odd(site.run_dir(site.nodes[0]) / "it")
    for asked in (
        lambda: site.ec.trace("n0", "it"),
        lambda: site.ec.trace("n0", "it", "size"),
        lambda: site.ec.trace("n0", "it", "stream"),
        lambda: site.ec.download("n0", "it", tmp_path / "back"),
    ):
        with pytest.raises(HostError, match=r"cannot read it: it is a .*no regular file"):
            asked()
    source = tmp_path / "source"
    source.write_text("text")
    before = made.lstat()
    with pytest.raises(InvalidValue, match="it is no regular file"):
        site.ec.upload("n0", source, "it")
    assert made.lstat() == before
    assert not list(tmp_path.glob("back*"))


def test_on_this_machine(site: Site, tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    made = odd(tmp_path / "here" / "it")
    with pytest.raises(InvalidValue, match=r"it is a \w+, no regular file"):
        site.ec.upload("n0", made)
    source = tmp_path / "source"
    source.write_text("text")
    site.ec.upload("n0", source)
    with pytest.raises(InvalidValue, match=r"it is a \w+, no regular file"):
        site.ec.download("n0", "source", made)
    assert made.is_symlink() or not made.is_file()


def test_in_results(site: Site, tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    app = site.app("seq 10000", label="app")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    (site.run_dir(app) / "stdout").unlink()
    odd(site.run_dir(app) / "stdout")
    run = site.stand.backend().run(site.ec.run_id)
    saved = {item.name: item.error for item in collect(run, tmp_path / "results")}
    assert "no regular file" in saved["stdout"]
    assert saved["stderr"] == ""
    odd(tmp_path / "other" / "app" / "stderr")
    with pytest.raises(InvalidValue, match=r"stderr is a \w+, no regular file"):
        collect(run, tmp_path / "other")
    odd(tmp_path / "third" / "manifest.json")
    with pytest.raises(InvalidValue, match="manifest"):
        collect(run, tmp_path / "third")


def test_an_exit_is_told_again(site: Site, odd: Callable[[Path], Path]) -> None:
    """What lies in the place of an output is not told to be an empty one."""
    app = site.app("seq 10000", label="app")
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    told, output = site.run_dir(app) / ".told", site.run_dir(app) / "stdout"
    until(told.exists, 10.0, "the exit was not marked as told")
    output.unlink()
    odd(output)
    told.unlink()
    until(told.exists, 30.0, "no audit has told the exit again")
    later = site.app("true")
    site.ec.deploy(later)
    assert site.ec.wait_finished(later, timeout=30.0)
    with pytest.raises(HostError, match="no regular file"):
        site.ec.trace(app, "stdout")


def test_for_a_collector(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: Callable[[Path], Path]
) -> None:
    app = site.app("true", label="app")
    site.ec.register_resource("Collector", traceName="it", connectedTo=app)
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    odd(site.run_dir(app) / "it")
    site.ec.release()
    assert "it of app was not collected: " in caplog.text
    assert "no regular file" in caplog.text


def test_a_directory_is_no_trace(site: Site) -> None:
    (site.run_dir(site.nodes[0]) / "logs").mkdir(parents=True)
    with pytest.raises(NepiqError, match="cannot read logs: it is a directory"):
        site.ec.trace("n0", "logs")
