"""The live page on a real Redis, with a real worker and runs."""

from __future__ import annotations

import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import Installation
from tests.integration.web.browser import Browser
from tests.integration.web.conftest import SHOWN
from tests.stand import Stand

from nepiq.controller import ExperimentController
from nepiq.controller.web.server import WebServer

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.xdist_group("web"),
    pytest.mark.timeout(120),
]

LINK = re.compile(r"http://127\.0\.0\.1:(\d+)(/runs/\d+)\?token=(\S+)\n")


@pytest.fixture
def user(stand: Stand, tmp_path: Path) -> Iterator[Installation]:
    urls = {name: url for name, url in stand.environment.items() if name.endswith("_URL")}
    made = Installation(tmp_path, **urls)
    yield made
    made.close()


def by_label(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for row in data["rows"].values()}


class TestEntrance:
    PATHS = ("/", "/events", "/runs/last", "/runs/1/events", "/runs/1/graph", "/campaigns")

    @pytest.mark.parametrize("path", [*PATHS, "/static/run.js", "/runs/1/resources/1"])
    def test_nothing_is_shown_without_the_token(self, server: WebServer, path: str) -> None:
        guest = Browser(server.port)
        for cookie in ("", f"nepiq-{server.port}=wrong", f"nepiq-{server.port}="):
            guest.cookie = cookie
            for query in ("", "?token=", "?token=wrong"):
                reply = guest.get(path + query)
                assert reply.status == 401
                assert "Set-Cookie" not in reply.headers

    def test_the_link_leads_to_the_page_without_the_token(self, server: WebServer) -> None:
        reply = Browser(server.port).get(f"/runs/last?token={server.token}&x=%3C")
        assert 'content="0;url=/runs/last?x=%3C"' in reply.text
        assert server.token not in reply.text
        cookie = reply.headers["Set-Cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie

    def test_a_link_leads_to_this_server_only(self, server: WebServer) -> None:
        reply = Browser(server.port).get(f"//other.example/?token={server.token}")
        assert 'url=/other.example/"' in reply.text

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
    def test_other_names_are_refused(self, browser: Browser, host: str) -> None:
        assert browser.get("/", Host=host).status == 421

    @pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:9000", "[::1]:80", "LOCALHOST"])
    def test_a_tunnel_may_change_the_port(self, browser: Browser, host: str) -> None:
        assert browser.get("/", Host=host).status == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_it_is_read_only(self, browser: Browser, method: str) -> None:
        assert browser.get("/", method).status == 405

    def test_only_files_of_the_page_are_served(self, browser: Browser) -> None:
        assert browser.get("/static/run.js").status == 200
        for name in ("../server.py", "..%2Fserver.py", "__init__.py", "page.html"):
            assert browser.get(f"/static/{name}").status == 404

    def test_a_page_runs_nothing_but_its_own_files(self, browser: Browser) -> None:
        policy = browser.get("/").headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy


class Scripts(HTMLParser):
    """The scripts and handlers in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str | None] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.sources.append(dict(attrs).get("src"))
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("path", ["/", "/campaigns", "/hosts", "/runs/shown"])
def test_scripts_of_pages_are_files(browser: Browser, ec: ExperimentController, path: str) -> None:
    reply = browser.get(path.replace("shown", ec.run_id))
    assert reply.status == 200
    scripts = Scripts(reply.text)
    assert scripts.sources
    assert scripts.handlers == []
    for source in scripts.sources:
        assert browser.get(str(source)).headers["Content-Type"].startswith("text/javascript")


class TestRun:
    def test_a_name_leads_to_its_run(self, browser: Browser, ec: ExperimentController) -> None:
        reply = browser.get("/runs/shown")
        assert (reply.status, reply.headers["Location"]) == (302, f"/runs/{ec.run_id}")

    def test_a_missing_run(self, browser: Browser) -> None:
        reply = browser.get("/runs/<b>missing")
        assert reply.status == 404
        assert "no run &#x27;&lt;b&gt;missing&#x27;" in reply.text
        assert browser.get("/runs/20201122061720000000/graph").status == 404
        with browser.stream("/runs/20201122061720000000/events") as stream:
            assert "20201122061720000000" in stream.until("gone")["message"]

    def test_changes_arrive(self, stand: Stand, browser: Browser) -> None:
        with stand.experiment("growing", quiet=True) as ec:
            ec.register_resource("nepiq::Null", label="one")
            ec.deploy()
            with browser.stream(f"/runs/{ec.run_id}/events") as stream:
                data = stream.until("rows", lambda data: data["all"])
                assert (data["name"], data["phase"]) == ("growing", "RUNNING")
                assert list(by_label(data)) == ["one"]
                ec.register_resource("nepiq::Null", label="two")
                ec.deploy()
                stream.until("rows", lambda data: data["all"] and "two" in by_label(data))
                ec.wait_started("two")
                ec.stop("two")
                stream.until(
                    "rows", lambda data: by_label(data).get("two", {}).get("state") == "STOPPED"
                )
                ec.release()
                data = stream.until("rows", lambda data: data["phase"] == "RELEASED")
                assert data["over"]

    def test_a_browser_stays_when_another_leaves(self, stand: Stand, browser: Browser) -> None:
        with stand.experiment("watched", quiet=True) as ec:
            ec.register_resource("nepiq::Null", label="one")
            ec.deploy()
            ec.wait_started()
            path = f"/runs/{ec.run_id}/events"
            with browser.stream(path) as stays:
                with browser.stream(path) as leaves:
                    leaves.until("rows")
                stays.until("rows")
                ec.stop("one")
                stays.until(
                    "rows", lambda data: by_label(data).get("one", {}).get("state") == "STOPPED"
                )

    def test_the_rows_of_a_run(self, browser: Browser, ec: ExperimentController) -> None:
        with browser.stream(f"/runs/{ec.run_id}/events") as stream:
            rows = by_label(stream.until("rows"))
        assert {label: row["state"] for label, row in rows.items()} == {
            "here": "STARTED",
            "long": "STARTED",
            "bad": "FAILED",
            "later": "READY",
            "evil": "FAILED",
        }
        assert rows["bad"]["host"] == rows["here"]["guid"]
        assert rows["bad"]["note"].startswith("exited with 3")
        failed = next(bar for bar in rows["bad"]["bars"] if bar[4] == "FAILED")
        assert failed[7].startswith("CommandError: exited with 3")
        # The page shows text of others as text; characters that a terminal obeys are escaped.
        assert rows["evil"]["note"] == rf"exited with 3: {SHOWN}"
        assert SHOWN in rows["evil"]["bars"][-1][7]

    def test_a_browser_that_comes_back_receives_what_has_changed(
        self, stand: Stand, browser: Browser
    ) -> None:
        with stand.experiment("resumed", quiet=True) as ec:
            for label in ("still", "moved"):
                ec.register_resource("nepiq::Null", label=label)
            ec.deploy()
            ec.wait_started()
            path = f"/runs/{ec.run_id}/events"
            with browser.stream(path) as stream:
                stream.until("rows")
            ec.stop("moved")
            with browser.stream(path, Last_Event_ID=stream.last) as stream:
                data = stream.until("rows")
            assert (data["all"], list(by_label(data))) == (False, ["moved"])
            with browser.stream(path, Last_Event_ID="nonsense") as stream:
                assert stream.until("rows")["all"]

    def test_a_resource(self, browser: Browser, ec: ExperimentController) -> None:
        bad, later = (ec.get_resource(label).guid for label in ("bad", "later"))  # type: ignore[union-attr]
        told = browser.get(f"/runs/{ec.run_id}/resources/{bad}").data
        assert told["outputs"] == ["stdout", "stderr"]
        assert ["exitCode", "3", ""] in told["attributes"]
        assert "okExitCodes" in told["reasons"][0]
        told = browser.get(f"/runs/{ec.run_id}/resources/{later}").data
        assert told["reasons"] == ["start waits for long STOPPED (it is STARTED)"]
        assert browser.get(f"/runs/{ec.run_id}/resources/99").status == 404

    def test_outputs(self, browser: Browser, ec: ExperimentController) -> None:
        def output(label: str, name: str) -> Any:
            guid = ec.get_resource(label).guid  # type: ignore[union-attr]
            with browser.stream(f"/runs/{ec.run_id}/resources/{guid}/outputs/{name}") as stream:
                return stream.until("text")

        # From the host: it still runs.
        assert output("long", "stdout") == {
            "text": "first\n",
            "size": 6,
            "running": True,
            "all": True,
        }
        assert output("bad", "stderr")["text"] == "oops\n"
        # Text as JSON, without characters that a terminal or a browser obeys.
        assert output("bad", "stdout")["text"] == SHOWN
        assert "unknown trace" in output("bad", "../../secret")["error"]

    def test_the_graph(self, browser: Browser, ec: ExperimentController) -> None:
        reply = browser.get(f"/runs/{ec.run_id}/graph")
        assert reply.headers["Content-Type"].startswith("image/svg+xml")
        picture = ET.fromstring(reply.text)
        assert not [part for part in picture.iter() if part.tag.endswith("script")]
        groups = picture.iterfind(".//*[@data-guid]")
        assert {group.get("data-guid") for group in groups} == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_while_a_browser_looks(
    stand: Stand, user: Installation, ec: ExperimentController, number: int
) -> None:
    process = user.begin("web", "shown", "--port", "0", "--no-browser")
    process.wrote("token=")
    link = LINK.search(process.err.read_text())
    assert link
    assert link[2] == f"/runs/{ec.run_id}"
    browser = Browser(int(link[1]), link[3])
    with browser.stream(f"{link[2]}/events") as run, browser.stream("/events") as runs:
        run.until("rows")
        runs.until("runs")
        process.signal(number)
        done = process.ended(20)
    assert (done.code, done.out) == (0, "")
    assert len(done.err.splitlines()) == 1  # the link, and no error


def test_a_script_is_shown_while_it_runs(stand: Stand, user: Installation) -> None:
    script = user.script("""
        with ExperimentController("scripted", quiet=True) as ec:
            ec.register_resource("nepiq::Null", label="one")
            ec.deploy()
            ec.wait(["one"], "STOPPED", timeout=60)
    """)
    process = user.begin("run", "--web", "-q", script)
    process.wrote("/runs/")
    process.wrote("\n")
    link = LINK.search(process.err.read_text())
    assert link
    browser = Browser(int(link[1]), link[3])
    with browser.stream(f"{link[2]}/events") as stream:
        stream.until("rows", lambda data: "one" in by_label(data))
        ec = stand.experiment_of("scripted")
        ec.wait_started()
        ec.stop("one")
        ec.detach()
        # The server ends with the script, but not before the page has the last state.
        stream.until("rows", lambda data: data["phase"] == "RELEASED")
    assert process.ended().code == 0


def test_the_list(stand: Stand, browser: Browser) -> None:
    runs = [stand.experiment(f"many-{number}", quiet=True) for number in range(5)]
    try:
        with browser.stream("/events") as stream:
            for ec in runs:
                ec.register_resource("nepiq::Null")
                ec.deploy()
            names = {f"many-{number}" for number in range(5)}
            listed = stream.until(
                "runs",
                lambda data: (
                    names
                    == {
                        run["name"]
                        for run in data["active"]
                        if run["states"] == {"STARTED": 1} and run["name"] in names
                    }
                ),
            )
            assert listed["workers"] == 1
            runs[0].release()
            stream.until("runs", lambda data: "many-0" in [run["name"] for run in data["ended"]])
        earlier = browser.get(f"/ended?before={runs[1].run_id}").data
        assert "many-0" in [run["name"] for run in earlier]
        assert "many-1" not in [run["name"] for run in earlier]
    finally:
        for ec in runs:
            ec.shutdown()


def test_redis_is_away_and_comes_back(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.pretend_worker()
        ec = stand.experiment("kept", quiet=True)
        ec.register_resource("nepiq::Null", label="one")
        ec.deploy()
        with WebServer(stand.settings, port=0).beside() as server:
            browser = Browser(server.port, server.token)
            with (
                browser.stream(f"/runs/{ec.run_id}/events") as run,
                browser.stream("/events") as runs,
                browser.stream("/campaigns/events") as campaigns,
            ):
                run.until("rows")
                runs.until("runs", lambda data: len(data["active"]) == 1)
                campaigns.until("campaigns")
                stand.stop_redis(signal.SIGKILL)
                assert "does not answer" in run.until("away")["message"]
                assert "does not answer" in runs.until("away")["message"]
                assert "does not answer" in campaigns.until("away")["message"]
                assert browser.get(f"/runs/{ec.run_id}/graph").status == 503
                stand.start_redis()
                assert list(by_label(run.until("rows", lambda data: data["all"]))) == ["one"]
                runs.until("runs", lambda data: len(data["active"]) == 1)
                campaigns.until("campaigns")
        ec.detach()
