"""What programs print is seen while they run, with unbuffered=True."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.transfer.conftest import Site

pytestmark = [pytest.mark.needs("redis-server", "flock", "setsid"), pytest.mark.timeout(120)]

PYTHON = f"""exec {sys.executable} -c "
import os, time
print('from python')
while not os.path.exists('heard'): time.sleep(0.02)
print('it''s the end')
"
"""
PLAIN = "{ echo from cut; while [ ! -e heard ]; do sleep 0.02; done; echo end; } | cut -c 1-20"


@pytest.fixture(scope="module", autouse=True)
def _of_no_help() -> Iterator[None]:
    """Workers hand on their environment; it comes before that of a site is made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        yield


@pytest.mark.parametrize(("command", "line"), [(PYTHON, "from python"), (PLAIN, "from cut")])
def test_lines_are_seen_while_it_runs(site: Site, command: str, line: str) -> None:
    app = site.app(command, label="app", unbuffered=True)
    site.ec.deploy()
    heard = []
    # It ends only when its line has been heard.
    for _, stream, text in site.ec.logs(app, follow=True):
        heard.append((stream, text))
        if text == line:
            assert site.ec.trace(app, "stdout") == f"{line}\n"
            (site.run_dir(app) / "heard").touch()
    assert heard[0] == ("stdout", line)
    assert len(heard) == 2
    assert site.ec.wait_finished(app, timeout=30.0)
    assert site.ec.trace(app, "stderr") == ""


def test_what_a_command_is_stays_the_same(site: Site) -> None:
    app = site.app(
        'echo $PYTHONUNBUFFERED $A; cat; echo "it\'s" >&2; exit 7',
        env="A=1 PYTHONUNBUFFERED=",
        stdin="input",
        okExitCodes=7,
        unbuffered=True,
    )
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    assert site.ec.get(app, "exitCode") == 7
    assert site.ec.trace(app, "stdout") == "1\ninput"
    assert site.ec.trace(app, "stderr") == "it's\n"


def test_a_host_without_stdbuf_says_so(site: Site, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for tool in Path(folder).iterdir():
            if tool.name != "stdbuf" and not (tools / tool.name).is_symlink():
                (tools / tool.name).symlink_to(tool)
    app = site.app("echo out", env=f"PATH={tools}", unbuffered=True)
    site.ec.deploy()
    assert site.ec.wait_finished(app, timeout=30.0)
    assert site.ec.trace(app, "stdout") == "out\n"
    assert "this host lacks stdbuf" in site.ec.trace(app, "stderr")
