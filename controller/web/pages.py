"""The pages as HTML: one frame, and what each page has in it."""

from __future__ import annotations

from functools import cached_property, lru_cache
from importlib.resources import files

from ..reports.page.page import timeline

#: Files of the timeline that the page of a run shares with the page that ``nepiq timeline`` writes.
_SHARED = frozenset({"page.css", "page.js"})
#: Pages that all others link to.
_LINKS = {"/": "Runs", "/campaigns": "Campaigns", "/hosts": "Hosts"}


class Page:
    """A page.

    Args:
        file: what stands in the frame.
        kind: class of the body, ``list`` or ``live``.
        title: until a script sets another one.
        scripts: files, besides ``common.js``.
        path: of the page, if it is one that the others link to.
    """

    def __init__(
        self, file: str, kind: str, title: str, scripts: tuple[str, ...], path: str = ""
    ) -> None:
        self._file, self._kind, self._title = file, kind, title
        self._scripts, self._path = ("common.js", *scripts), path

    @cached_property
    def html(self) -> str:
        """The page."""
        links = [
            f'<a href="{place}"{" aria-current=page" if place == self._path else ""}>{text}</a>'
            for place, text in _LINKS.items()
        ]
        parts = {
            "title": self._title,
            "kind": self._kind,
            "links": "\n".join(links),
            "heading": "nepiq" if self._path else "",
            "content": static(self._file).replace("<!--timeline-->", timeline()),
            "scripts": "\n".join(
                f'<script src="/static/{name}"></script>' for name in self._scripts
            ),
        }
        text = static("frame.html")
        for name, part in parts.items():
            text = text.replace(f"<!--{name}-->", part)
        return text


@lru_cache
def static(name: str) -> str:
    """Return a file of the pages.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    if name in _SHARED:
        return files("nepiq.controller.reports.page").joinpath(name).read_text("utf-8")
    for file in files("nepiq.controller.web.static").iterdir():
        if file.name == name and name.endswith((".html", ".css", ".js")):
            return file.read_text("utf-8")
    raise FileNotFoundError(name)


RUNS = Page("runs.html", "list", "Runs", ("runs.js",), "/")
RUN = Page("run.html", "live", "Run", ("page.js", "network.js", "resource.js", "run.js"))
CAMPAIGNS = Page("campaigns.html", "list", "Campaigns", ("campaigns.js",), "/campaigns")
CAMPAIGN = Page("campaign.html", "list", "Campaign", ("grid.js", "campaign.js"))
HOSTS = Page("hosts.html", "list", "Hosts", ("hosts.js",), "/hosts")
