"""The HTML page of a timeline: one file that contains its style, script and data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors.text import escaped
from ..files import write
from ..history import history
from .story import KINDS, PageData, page_data

if TYPE_CHECKING:
    from ...engine import Run


def story(run: Run | None, name: str) -> PageData:
    """Return the data of the page of a run.

    Args:
        run: the run; None gives an empty page.
        name: name of the experiment.
    """
    if run is None:
        return PageData(name)
    store = run.store
    return page_data(name, run.run_id, store.meta(), run.records(), list(history(run)), store.now())


def save(data: PageData, path: str | os.PathLike[str]) -> str:
    """Write a page; return its absolute path.

    Args:
        data: the data of the page.
        path: the file, or a directory for ``<experiment>.html`` in it.

    Raises:
        FileMissing: the file cannot be written.
    """
    file = Path(path)
    is_directory = file.is_dir() or str(path).endswith(("/", os.sep))
    return write(file / f"{data.name}.html" if is_directory else file, page(data).encode())


def page(data: PageData) -> str:
    """Return the page as text."""
    parts = {
        "title": escape(escaped(f"{data.name} · {data.run_id}" if data.run_id else data.name)),
        "style": _part("page.css"),
        "timeline": timeline(),
        "script": _part("page.js"),
        "data": embedded({**asdict(data), "kinds": KINDS}),
    }
    text = _part("page.html")
    for name in ("title", "style", "timeline", "script", "data"):
        before, placeholder, after = text.partition(f"<!--{name}-->")
        if not placeholder:
            raise AssertionError(f"page.html has no placeholder for {name}")
        text = before + parts[name] + after
    return text


def timeline() -> str:
    """Return the elements of a timeline, its tools and its keys, which ``page.js`` fills."""
    return _part("timeline.html")


def embedded(data: object) -> str:
    """Return JSON for a script element, with all characters escaped that could end the element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _encodable(text)


def _encodable(text: str) -> str:
    """Return text with characters escaped that UTF-8 cannot encode, such as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _part(name: str) -> str:
    from importlib.resources import files

    return files(__package__).joinpath(name).read_text("utf-8")
