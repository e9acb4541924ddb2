"""URLs that a host fetches itself, by whichever program it has."""

from __future__ import annotations

import hashlib
import http.server
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import Need

from nepiq.controller.errors import HostError
from nepiq.controller.model import Context, Deadline
from nepiq.controller.resources.linux.assembly import Assembly, Part
from nepiq.controller.resources.linux.origins import Origin
from nepiq.workers.hosts import LocalSession

from .rig import Rig

pytestmark = pytest.mark.needs("flock", "setsid", "git")

TOOLS = ("curl", "wget", "python3")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL at which it is served."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Be quiet."""

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def with_only(rig: Rig, folder: Path, tool: str) -> None:
    """Let the host have one of the tools that fetch, or none, and everything else."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for path in Path(place).glob("*"):
            if path.name not in TOOLS and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    if tool:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    rig.session.close()
    rig.session = LocalSession(home=str(rig.home), env={"PATH": str(folder)})


def put_together(rig: Rig, text: str) -> None:
    """Have the host fetch a file for ${SRC}, as the deployment of an application does."""
    part = Part.of("src", Origin.parse(text), {}, executable=False)
    log = logging.getLogger("nepiq.test")
    announced = ""
    for _ in range(5):
        context = Context(rig.host(5), {}, 1, Deadline.after(30.0), log)
        done = Assembly([part]).put_together(context, announced)
        if done.later is None:
            return
        announced = done.activity
    raise AssertionError(announced)


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_fetches(
    rig: Rig, tmp_path: Path, need: Need, site: tuple[Path, str], tool: str
) -> None:
    need(tool, shutil.which(tool), "not on PATH")
    folder, url = site
    (folder / "file").write_bytes(b"content")
    with_only(rig, tmp_path / "tools", tool)
    put_together(rig, f"{url}/file#sha256={hashlib.sha256(b'content').hexdigest()}")
    assert (rig.home / ".nepiq/.usr/src/file").read_bytes() == b"content"
    with pytest.raises(HostError, match=rf"cannot fetch {url}/absent: .*404") as caught:
        put_together(rig, f"{url}/absent")
    assert "deploy_stderr" in caught.value.hint
    assert not list((rig.home / ".nepiq/.usr/part").iterdir())


def test_a_host_without_any(rig: Rig, tmp_path: Path, site: tuple[Path, str]) -> None:
    _, url = site
    with_only(rig, tmp_path / "tools", "")
    with pytest.raises(HostError, match=f"no curl, wget or python3 to fetch {url}/file"):
        put_together(rig, f"{url}/file")
    with pytest.raises(HostError, match=r"cannot fetch commit 1234567 of http"):
        put_together(rig, f"git+{url}/project@1234567")
