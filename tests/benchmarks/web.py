"""``python -m tests.benchmarks.web``: memory of the live pages and their server over many updates.

A browser shows the list of runs, a campaign with 50 runs at a time, and a run whose resources are
stopped and started. Runs do nothing, and changes are sent after 0.02 s instead of 0.2 s: minutes
have the updates of an hour. With ``--real`` they take the hour.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.stand import Stand

from nepiq.controller import Campaign, ExperimentController, Space

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "chromium-headless-shell"
PARALLEL = 50
RESOURCES = 20
PAGES = ("list", "campaign", "run")

#: Seconds that the updates stand for.
HOUR = 3600

_SERVER = """
from nepiq.controller.web import messages
messages.FLUSH = {flush}
from nepiq.controller.cli import main
main(["web", "--port", "0", "--no-browser"])
"""


class Memory(NamedTuple):
    """Memory at one moment.

    Attributes:
        ended: runs of the campaign that have ended.
        changes: stops and starts of resources of the run.
        server: resident bytes of the server.
        heaps: bytes of JavaScript of each page, after a collection of garbage.
        nodes: elements and texts of each page.
    """

    ended: int
    changes: int
    server: int
    heaps: tuple[int, ...]
    nodes: tuple[int, ...]

    def __str__(self) -> str:
        pages = [
            f"{name} {heap / 1e6:.1f} MB, {nodes} nodes"
            for name, heap, nodes in zip(PAGES, self.heaps, self.nodes, strict=True)
        ]
        head = f"{self.ended} runs ended, {self.changes} changes: server {self.server / 1e6:.1f} MB"
        return "; ".join([head, *pages])


class Changes(threading.Thread):
    """Stops and starts the resources of a run, again and again.

    Args:
        ec: the experiment.
        most: number of changes.
        seconds: over which they are spread.
    """

    def __init__(self, ec: ExperimentController, most: int, seconds: float) -> None:
        super().__init__(name="changes", daemon=True)
        self.done = 0
        self._ec, self._most, self._seconds = ec, most, seconds
        self._labels = [f"r{number}" for number in range(RESOURCES)]

    def run(self) -> None:
        """Carry out the changes."""
        began = time.monotonic()
        while self.done < self._most:
            time.sleep(max(0, began + self.done / self._most * self._seconds - time.monotonic()))
            for label in self._labels:
                self._ec.stop(label)
            self._ec.wait(self._labels, "STOPPED")
            for label in self._labels:
                self._ec.start(label)
            self._ec.wait(self._labels, "STARTED")
            self.done += 2 * RESOURCES


@contextmanager
def served(stand: Stand, flush: float) -> Iterator[tuple[int, str, str]]:
    """Serve the pages; yield the server's process, its address, and the token."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(flush=flush)],
        env=stand.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        link = re.search(r"(http://[\d.:]+)/\?token=(\S+)", process.stderr.readline())
        assert link
        yield process.pid, link[1], link[2]
    finally:
        process.terminate()
        process.communicate()


def memory(server: int, pages: list[Page], ended: int, changes: int) -> Memory:
    """Return the memory at this moment."""
    heaps, nodes = [], []
    for page in pages:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        metrics = session.send("Performance.getMetrics")["metrics"]
        found = {metric["name"]: int(metric["value"]) for metric in metrics}
        heaps.append(found["JSHeapUsedSize"])
        nodes.append(found["Nodes"])
        session.detach()
    status = Path(f"/proc/{server}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident
    return Memory(ended, changes, int(resident[1]) * 1024, tuple(heaps), tuple(nodes))


def measure(runs: int, changes: int, *, real: bool) -> Iterator[Memory]:
    """Yield the memory at the start, and after each tenth of the updates."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory(prefix="nepiq-web-") as folder,
        Stand(Path(folder)) as stand,
        sync_playwright() as driver,
    ):
        stand.start_worker()
        ec = stand.experiment("changing", quiet=True)
        for number in range(RESOURCES):
            ec.register_resource("nepiq::Null", label=f"r{number}")
        ec.deploy()
        ec.wait_started()
        described = stand.experiment("load")
        described.register_resource("nepiq::Null", label="first", ends=True)
        described.register_resource("nepiq::Null", label="last", ends=True)
        if real:
            lasts = f"{HOUR * PARALLEL / runs:g}s"
            described.register_condition("last", "START", "first", "FINISHED", lasts)
        space = Space.grid(n=list(range(runs // 10)))
        options = {"repetitions": 10, "parallel": PARALLEL, "settings": stand.settings}
        campaign = stand.owned(Campaign(described, space, **options))
        campaign.submit()
        with served(stand, 0.2 if real else 0.02) as (server, address, token):
            browser = driver.chromium.launch(executable_path=shutil.which(CHROMIUM))
            context = browser.new_context()
            pages = []
            for path in ("/", "/campaigns/load", f"/runs/{ec.run_id}"):
                page = context.new_page()
                page.goto(f"{address}{path}?token={token}")
                page.wait_for_selector("#connection.live")
                pages.append(page)
            changing = Changes(ec, changes, HOUR if real else 0)
            changing.start()
            for tenth in range(11):
                while (ended := campaign.status().done) < runs * tenth / 10 or (
                    changing.done < changes * tenth / 10 and changing.is_alive()
                ):
                    time.sleep(0.5)
                yield memory(server, pages, ended, changing.done)
            changing.join()
            browser.close()
        ec.release()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=18_000)
    parser.add_argument("--changes", type=int, default=3_600)
    parser.add_argument("--real", action="store_true", help="spread the updates over an hour")
    arguments = parser.parse_args()
    for found in measure(arguments.runs, arguments.changes, real=arguments.real):
        print(found, flush=True)


if __name__ == "__main__":
    main()
