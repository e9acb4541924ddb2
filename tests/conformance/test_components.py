"""Cases 30, 33 and 34, and D12: what an application is made of."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.conformance.conftest import Make

from nepiq.controller import ExperimentController, ResourceState

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", "gcc", "curl"),
    pytest.mark.timeout(120),
]

HELLO = """
#include <stdio.h>

int
main (void)
{
    printf ("Hello, world!\\n");
    return 0;
}
"""


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


def application(ec: ExperimentController, **options: object) -> int:
    node = ec.register_resource("linux::Node")
    return ec.register_resource("linux::Application", connectedTo=node, **options)


def test_case_30_code_in_c(ec: ExperimentController) -> None:
    app = application(
        ec,
        code=HELLO,
        build="gcc -Wall -x c ${APP_HOME}/code -o hello",
        command="${RUN_HOME}/hello",
    )
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    assert ec.trace(app, "stdout") == "Hello, world!\n"
    assert ec.trace(app, "build_exitcode") == "0\n"


def test_case_33_sources_of_http(ec: ExperimentController, site: tuple[Path, str]) -> None:
    folder, url = site
    for name in ("one.tgz", "two.tgz"):
        (folder / name).write_text(name)
    digest = hashlib.sha256(b"two.tgz").hexdigest()
    app = application(
        ec, sources=f"{url}/one.tgz;{url}/two.tgz#sha256={digest}", command="ls ${SRC}"
    )
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    assert set(ec.trace(app, "stdout").split()) >= {"one.tgz", "two.tgz"}
    assert ec.trace(app, "deploy_exitcode").strip() == "0"
    assert {"src/one.tgz:", "src/two.tgz:"} <= set(ec.trace(app, "deploy_stdout").split())


def test_case_34_copied_files(ec: ExperimentController, tmp_path: Path) -> None:
    (tmp_path / "dir/below").mkdir(parents=True)
    (tmp_path / "dir/below/file").write_text("below")
    (tmp_path / "alone").write_text("alone")
    app = application(
        ec,
        sources=f"{tmp_path}/dir;{tmp_path}/alone",
        command="ls ${SRC}; cat ${SRC}/dir/below/file ${SRC}/alone",
    )
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    words = ec.trace(app, "stdout").split()
    assert {"dir", "alone"} <= set(words)
    assert words[-1] == "belowalone"


def test_d12_a_changed_file_arrives(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for word in ("A", "B"):
        file.write_text(word)
        ec = make("again")
        app = application(ec, files=str(file), command="cat ${SHARE}/file")
        ec.deploy()
        assert ec.wait_finished(app, timeout=60), ec.failures
        assert ec.trace(app, "stdout") == word


def test_an_application_that_installs_only(ec: ExperimentController) -> None:
    app = application(ec, install="echo built; touch ${APP_HOME}/installed")
    ec.deploy()
    assert ec.wait_finished(app, timeout=60), ec.failures
    assert ec.state(app) is ResourceState.FINISHED
    assert ec.trace(app, "install_stdout") == "built\n"
