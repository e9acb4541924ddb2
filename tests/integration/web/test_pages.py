"""The pages in a real browser: what their scripts make of a real Redis, worker and runs."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.web.conftest import EVIL, SHOWN, failing, judged
from tests.stand import Stand

from nepiq.controller import Campaign, ExperimentController
from nepiq.controller.web.server import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route
else:
    pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect, sync_playwright

CHROMIUM = "chromium-headless-shell"

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid", CHROMIUM),
    pytest.mark.xdist_group("web"),
    pytest.mark.timeout(120),
]

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser, started once."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab on a desktop, whose scripts must run without a complaint."""
    with chromium.new_context(viewport={"width": 1100, "height": 800}) as context:
        context.set_default_timeout(30_000)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        yield page
    # The browser itself reports answers like 503, while Redis is away.
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture(scope="module")
def campaign(stand: Stand) -> Campaign:
    """A campaign that has ended, with failures."""
    made = failing(stand, "ended").submit()
    assert made.wait(60.0).failed == 2
    judged(stand, "ended", {"code": 3, "text": EVIL})
    return made


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, selector: str) -> None:
    """Press tab until an element has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return
    raise AssertionError(f"tab does not reach {selector}")


def test_rows_appear_and_change(stand: Stand, server: WebServer, page: Page) -> None:
    page.goto(server.link("/"))
    expect(page.locator("#connection.live")).to_be_visible()
    with stand.experiment("appears", quiet=True) as ec:
        ec.register_resource("nepiq::Null", label="one")
        ec.deploy()
        row = page.locator("#active tr", has_text="appears")
        expect(row.locator(".states")).to_contain_text("1 STARTED")
        row.get_by_role("link").click()
        expect(page.locator("#name")).to_have_text("appears")
        page.get_by_role("tab", name="Resources").click()
        expect(page.locator("#table tbody tr")).to_contain_text("STARTED")
        ec.stop("one")
        expect(page.locator("#table tbody tr")).to_contain_text("STOPPED")
        page.get_by_role("button", name="one", exact=True).click()
        expect(page.locator("#resource .badge")).to_have_text("STOPPED")
        assert page.url.endswith(f"/runs/{ec.run_id}#1")
    expect(page.locator("#phase")).to_have_text("RELEASED")


def test_tabs_come_with_the_first_states(
    server: WebServer, ec: ExperimentController, page: Page
) -> None:
    """What arrives first moves them: a click before that would have missed them."""
    held: list[Route] = []
    page.route("**/events", lambda route: held.append(route))  # noqa: PLW0108 - no builtin
    page.goto(server.link(f"/runs/{ec.run_id}"))
    while not held:
        page.wait_for_timeout(10)
    expect(page.locator("#tabs")).to_be_attached()
    expect(page.locator("#tabs")).to_be_hidden()
    held[0].continue_()
    expect(page.get_by_role("tab", name="Resources")).to_be_visible()
    expect(page.locator("#trouble")).to_be_visible()


def test_text_of_others_is_text(
    server: WebServer, ec: ExperimentController, campaign: Campaign, page: Page
) -> None:
    page.goto(server.link(f"/runs/{ec.run_id}"))
    page.get_by_role("tab", name="Resources").click()
    expect(page.locator("#table")).to_contain_text(SHOWN)
    page.get_by_role("button", name="bad", exact=True).click()
    page.get_by_role("button", name="stdout").click()
    expect(page.locator("#resource pre")).to_have_text(SHOWN)
    expect(page.locator(".output p")).to_have_text(re.compile("bytes"))
    page.get_by_role("button", name="long", exact=True).click()
    page.get_by_role("button", name="stdout").click()
    expect(page.locator("#resource pre")).to_have_text("first")
    expect(page.locator(".output p")).to_have_text("live")
    page.goto(server.link(f"/campaigns/{campaign.name}"))
    page.locator("#rows-table a", has_text=SHOWN).first.click()
    expect(page.locator("#point h2")).to_have_text(f"code = 3, text = {SHOWN}")
    expect(page.locator("#point li").first).to_contain_text(SHOWN)
    expect(page.locator("#causes td.cause")).to_contain_text("<script>alert('x')</script>")
    expect(page.locator("#troubles tbody tr").first).to_contain_text(f"{SHOWN}is in quarantine")
    page.goto(server.link(f"/campaigns/{campaign.name}"))
    page.locator("#troubles a").click()  # the point at fault
    expect(page.locator("#point h2")).to_contain_text("code = 3")
    assert page.locator("main script").count() == 0


def test_the_keyboard_is_enough(server: WebServer, campaign: Campaign, page: Page) -> None:
    page.goto(server.link("/campaigns"))
    expect(page.locator("#campaigns tbody tr")).not_to_have_count(0)
    tab_to(page, f"#campaigns a[href$='/{campaign.name}']")
    press(page, "Enter")
    expect(page.locator("#legend")).to_have_text("2 finished2 failed")
    expect(page.locator("#rows-table tbody tr")).to_have_count(4)
    tab_to(page, "#grid")
    expect(page.locator("#point h2")).to_contain_text("code = 0")
    expect(page.locator("#point li")).to_have_count(2)
    press(page, "ArrowRight")
    expect(page.locator("#point h2")).to_contain_text("code = 3")
    press(page, "Home", "n")
    expect(page.locator("#point h2")).to_contain_text("code = 3")
    expect(page.locator("#point a")).to_have_count(2)
    # The grid leads to the runs of the point, and these to their pages.
    press(page, "Enter", "Enter")
    expect(page.locator("#campaign")).to_have_text(f"campaign {campaign.name}")
    tab_to(page, "#tab-graph")
    press(page, "ArrowRight")
    expect(page.locator("#table tbody tr")).to_have_count(2)
    tab_to(page, "#table [data-guid='2']")
    press(page, "Enter")
    expect(page.locator("#resource h2")).to_have_text("app")
    tab_to(page, ".outputs button")
    press(page, "Enter")
    expect(page.locator(".output")).to_contain_text("empty")
    tab_to(page, "#chart")
    press(page, "Home")
    expect(page.locator("#detail")).to_contain_text("here: ")


@pytest.mark.parametrize("path", ["/", "/campaigns", "/hosts", "/runs/shown", "/campaigns/ended"])
def test_a_phone_need_not_scroll_sideways(
    server: WebServer, ec: ExperimentController, campaign: Campaign, page: Page, path: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.link(path))
    expect(page.locator("#connection.live")).to_be_visible()
    expect(page.locator("canvas, #chart svg, tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_it_recovers_when_redis_was_killed(tmp_path: Path, page: Page) -> None:
    with Stand(tmp_path) as stand:
        stand.pretend_worker()
        ec = stand.experiment("kept", quiet=True)
        ec.register_resource("nepiq::Null", label="one")
        ec.deploy()
        with WebServer(stand.settings, port=0).beside() as server:
            listed = page.context.new_page()
            for tab, path in ((page, f"/runs/{ec.run_id}"), (listed, "/campaigns")):
                tab.goto(server.link(path))
                expect(tab.locator("#connection.live")).to_be_visible()
            stand.stop_redis(signal.SIGKILL)
            for tab in (page, listed):
                expect(tab.locator("#connection.away")).to_contain_text("does not answer")
            stand.start_redis()
            for tab in (page, listed):
                expect(tab.locator("#connection.live")).to_have_text("live")
        ec.detach()
