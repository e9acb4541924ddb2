"""The page of a run's history: what its bars are, and that data in it is never markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nepiq.controller import ExperimentController
from nepiq.controller.engine import Event
from nepiq.controller.engine.store.records import ResourceRecord
from nepiq.controller.reports.page.page import page
from nepiq.controller.reports.page.story import KINDS, PageData, info_text, page_data

EVIL = "</script><script>alert('x')</script><!-- \" ' & \u2028 \ud800 \u202e <!--data-->"
SHOWN = EVIL
for character in "\u2028\u202e\ud800":
    SHOWN = SHOWN.replace(character, f"\\u{ord(character):04x}")


def record(guid: int, label: str, host: int | None = None, **more: Any) -> ResourceRecord:
    given: dict[str, Any] = {
        "guid": guid,
        "label": label,
        "rtype": "linux::Application",
        "state": "STARTED",
        "milestones": {},
        "occ": 1,
        "token": 1,
        "running": "",
        "critical": True,
        "batch": False,
        "queue": "nepiq",
        "host": host,
        "peers": {},
        "attributes": {},
        "error": None,
        "group": None,
        "held": False,
        "is_host": False,
        "local": False,
        "site": "",
        "limit": None,
        "gone": None,
        **more,
    }
    return ResourceRecord(**given)


def event(
    time: float, guid: int, what: str, step: str = "", attempt: int = 0, **info: Any
) -> Event:
    worker = "w1" if step else ""
    return Event(f"{time}-0", 100 + time, guid, what, step, attempt, worker, info or None)


HISTORY = [
    event(0, 2, "claim", "2.start", 1),
    event(1, 2, "again", "2.start", 1, type="HostError", message="busy", hint="wait"),
    event(3, 2, "claim", "2.start", 2),
    event(4, 2, "lost", "2.start", 2),
    event(6, 2, "claim", "2.start", 3),
    event(7, 2, "STARTED", "2.start", 3),
    event(9, 2, "FAILED", type="CommandError", message=EVIL, code=3),
]


def told(events: list[Event], *records: ResourceRecord) -> PageData:
    return page_data("x", "run1", None, records, events, 200.0)


class Elements(HTMLParser):
    """Which elements a page has, and what is in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.titles: list[str] = []
        self._within: str = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._within = tag

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "title"):
            {"script": self.scripts, "title": self.titles}[self._within].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


def test_each_attempt_is_a_bar_with_the_waits_between() -> None:
    bars = told(HISTORY, record(2, "app")).bars
    assert [(KINDS[bar[1]], *bar[2:6]) for bar in bars] == [
        ("start", 0, 1, 1, "again"),
        ("wait", 1, 3, 1, "start: retried"),
        ("start", 3, 4, 2, "lost"),
        ("wait", 4, 6, 2, "start: its worker was lost"),
        ("start", 6, 7, 3, "STARTED"),
        ("run", 7, 9, 0, "FAILED"),
    ]
    assert [bar[7] for bar in bars] == [3, 0, 2, 0, 0, 1]


def test_a_bar_tells_its_error() -> None:
    made = told(HISTORY, record(2, "app"))
    assert made.texts[made.bars[0][8]] == "HostError: busy\nwait"
    assert made.texts[made.bars[-1][8]] == f"CommandError: {SHOWN}\ncode: 3"
    assert made.workers == ["w1"]


def test_what_waits_for_another_try_has_no_end() -> None:
    last = told(HISTORY[:2], record(2, "app")).bars[-1]
    assert (KINDS[last[1]], last[3]) == ("wait", None)


def test_rows_are_grouped_by_host() -> None:
    rows = told(
        [],
        record(1, "n1", 1, is_host=True),
        record(2, "alone"),
        record(3, "n2", 3, is_host=True),
        record(4, "on-n1", 1),
        record(5, "on-n2", 3),
    ).rows
    assert [(row[1], row[3]) for row in rows] == [
        ("n1", -1),
        ("on-n1", 0),
        ("n2", -1),
        ("on-n2", 2),
        ("alone", -1),
    ]


def test_resources_without_work_are_marked() -> None:
    made = told([event(1, 1, "READY"), event(2, 1, "STARTED")], record(1, "null"))
    # Running is a bar; only what has none at all is marked.
    assert (made.marks, len(made.bars)) == ([], 1)
    made = told([event(1, 1, "READY")], record(1, "null"))
    assert made.marks == [[0, 0, "READY"]]


def test_nothing_breaks_out_of_the_page() -> None:
    made = told(HISTORY, record(2, EVIL, error={"message": EVIL}))
    made.name = EVIL
    text = page(made)
    text.encode()
    found = Elements(text)
    assert found.tags.count("script") == 2
    data, _ = found.scripts
    assert json.loads(data)["rows"][0][1] == EVIL
    assert "".join(found.titles).startswith("</script>")
    assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_the_page_needs_nothing_else() -> None:
    found = Elements(page(told(HISTORY, record(2, "app"))))
    assert not [value for name, value in found.attributes if name in ("src", "href")]
    assert "link" not in found.tags
    policies = [value for _, value in found.attributes if value and "default-src" in value]
    assert [policy.split(";")[0] for policy in policies] == ["default-src 'none'"]


def test_a_thousand_resources_stay_small() -> None:
    events = [
        item
        for guid in range(1, 1001)
        for item in (
            event(guid / 10, guid, "claim", f"{guid}.deploy", 1),
            event(guid / 10 + 1, guid, "READY", f"{guid}.deploy", 1),
            event(guid / 10 + 2, guid, "claim", f"{guid}.start", 1),
            event(guid / 10 + 3, guid, "STARTED", f"{guid}.start", 1),
            event(guid / 10 + 9, guid, "FINISHED"),
        )
    ]
    made = told(events, *(record(guid, f"r{guid}") for guid in range(1, 1001)))
    assert (len(made.rows), len(made.bars)) == (1000, 3000)
    assert len(page(made)) < 300_000


def test_without_a_run_there_is_a_page_and_no_text(tmp_path: Path) -> None:
    ec = ExperimentController("quiet")
    assert ec.timeline() == ""
    assert ec.timeline(tmp_path) == str(tmp_path / "quiet.html")
    assert "not deployed" in (tmp_path / "quiet.html").read_text()


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (None, ""),
        ({"code": 0}, "code: 0"),
        ({"type": "X", "message": ""}, "X"),
        ({"message": "m", "where": "host a", "stderr": "e"}, "m\nhost a\nstderr: e"),
        ({"message": "m" * 9000}, "m" * 4000 + "…"),
    ],
)
def test_infos_in_words(info: dict[str, Any] | None, text: str) -> None:
    assert info_text(info) == text
