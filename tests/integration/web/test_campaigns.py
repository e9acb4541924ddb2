"""The pages of campaigns on a real Redis, with a real worker and runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.web.browser import Browser, Stream
from tests.integration.web.conftest import EVIL, SHOWN, failing, judged
from tests.stand import Stand

from nepiq.controller import Campaign, Space
from nepiq.controller.engine.store import keys

pytestmark = [
    pytest.mark.needs("redis-server", "flock", "setsid"),
    pytest.mark.xdist_group("web"),
    pytest.mark.timeout(120),
]


def held(stand: Stand, name: str) -> Campaign:
    """A campaign of three points, twice each, whose runs end when they are released."""
    ec = stand.experiment(name)
    ec.register_resource("nepiq::Null", label="one")
    space = Space.grid(n=[1, 2, 3])
    return stand.owned(Campaign(ec, space, repetitions=2, parallel=1, settings=stand.settings))


def cells(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Yield the letters of a campaign's runs, as a page has them, and each message.

    The numbers in a message may be newer than its letters: then another message follows.
    """
    letters: list[str] = []
    for kind, data in stream.events():
        assert kind == "campaign"
        if data["letters"] is not None:
            letters = list(data["letters"])
        for cell, letter in data["changed"]:
            letters[cell] = letter
        yield "".join(letters), data


def is_cancelled(data: dict[str, Any]) -> bool:
    return bool(data["phase"] == "cancelled" and not data["active"])


def is_repeated(data: dict[str, Any]) -> bool:
    return bool(data["begun"] == 6 and data["done"] == 4)


def test_runs_are_seen_while_they_are_under_way(stand: Stand, browser: Browser) -> None:
    campaign = held(stand, "held")
    with browser.stream("/campaigns/events") as listed:
        listed.until("campaigns")
        campaign.submit()
        listed.until("campaigns", lambda data: data["campaigns"][0]["name"] == "held")
        with browser.stream("/campaigns/held/events") as stream:
            messages = cells(stream)
            _, data = next(item for item in messages if item[0].count("a") == 1)
            assert (data["phase"], data["shape"], data["total"]) == ("running", [[3, 2]], 6)
            [run] = campaign.active()
            [first, *_] = browser.get("/campaigns/held/points/0").data["runs"]
            assert (first["run"], first["state"], first["kept"]) == (run, "a", True)
            with browser.stream(f"/runs/{run}/events") as shown:
                assert shown.until("rows")["campaign"] == "held"
            judged(stand, "held", {"n": 1})
            again = keys.campaign("held") + "repeated"
            stand.backend().redis.hset(again, f"HostUnreachable: {EVIL}", f"2|{run}|fit01:22")
            campaign.set(priority=2)  # a worker looks, and so does the page
            _, data = next(
                item for item in messages if item[1]["priority"] == 2 and item[1]["repeats"]
            )
            host, point = data["troubles"]
            assert (host["host"], host["point"], point["host"], point["point"]) == (
                SHOWN,
                None,
                "",
                0,
            )
            assert "is in quarantine until" in host["text"]
            [repeat] = data["repeats"]
            assert repeat["cause"] == f"HostUnreachable: {SHOWN}"
            assert (repeat["runs"], repeat["hosts"]) == (2, ["fit01:22"])
            assert (repeat["example"], repeat["kept"]) == (run, True)
            with browser.stream("/hosts/events") as hosts:
                told = hosts.until("pools", lambda data: data["pools"])["pools"]
            [found] = [host for pool in told for host in pool["hosts"]]
            assert (found["host"], found["lease"]) == (SHOWN, None)
            [trouble] = found["troubles"]
            assert trouble["campaign"] == "held"
            campaign.cancel()
            _, data = next(
                item for item in messages if is_cancelled(item[1]) and item[0] == "......"
            )
        ended = listed.until("campaigns", lambda data: data["campaigns"][0]["phase"] == "cancelled")
        assert ended["campaigns"][0]["done"] == 0


def test_a_campaign_with_failures(stand: Stand, browser: Browser) -> None:
    campaign = failing(stand, "failing").submit()
    with browser.stream("/campaigns/failing/events") as stream:
        messages = cells(stream)
        _, data = next(
            item for item in messages if item[1]["phase"] == "finished" and item[0] == "ffxx"
        )
        assert data["metrics"] == ["exit"]
        [cause] = data["causes"]
        assert (cause["runs"], cause["kept"]) == (2, True)
        assert cause["cause"].startswith("CommandError app: exited with 3")
        row = next(row for row in data["latest"] if row["run"] == cause["example"])
        assert (row["outcome"], row["point"]) == ("failed", 1)
        # Text of others is text, without characters that a terminal or a browser obeys.
        assert row["parameters"] == {"code": 3, "text": SHOWN}
        assert SHOWN in row["why"]
        told = browser.get("/campaigns/failing/points").data
        assert told == {"names": ["code", "text"], "points": [[0, "plain"], [3, SHOWN]]}
        runs = browser.get("/campaigns/failing/points/0").data["runs"]
        assert [(run["state"], run["metrics"]) for run in runs] == [("f", {"exit": 0})] * 2
        assert browser.get("/campaigns/failing/points/7").status == 404

        # The rows of runs that are begun again go.
        assert campaign.retry() == 2
        _, data = next(item for item in messages if is_repeated(item[1]) and item[0] == "ffxx")
        assert [cause["runs"] for cause in data["causes"]] == [2]
    assert browser.get("/campaigns/failing/points").status == 404  # nobody looks


def test_a_missing_campaign(stand: Stand, browser: Browser) -> None:
    reply = browser.get("/campaigns/<b>missing")
    assert reply.status == 404
    assert "unknown campaign &#x27;&lt;b&gt;missing&#x27;" in reply.text
    with browser.stream("/campaigns/missing/events") as stream:
        assert "missing" in stream.until("gone")["message"]


def test_the_command_refuses_what_it_cannot_open(stand: Stand) -> None:
    for words, complaint in (
        (("missing",), "unknown campaign 'missing'"),
        (("missing", "last"), "a run and a campaign cannot both be opened"),
    ):
        assert complaint in stand.command("web", "--port", "0", "--campaign", *words)
