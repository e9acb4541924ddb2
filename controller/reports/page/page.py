"""The page itself: one file of HTML with its style, its script and its data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors.text import harmless
from ..files import write
from ..history import history
from .story import KINDS, Story
from .story import story as told

if TYPE_CHECKING:
    from ...engine import Run


def story(run: Run | None, name: str) -> Story:
    """What happened in a run; nothing if there is none.

    Args:
        run: the run.
        name: name of the experiment.
    """
    if run is None:
        return Story(name)
    store = run.store
    return told(name, run.run_id, store.meta(), run.records(), list(history(run)), store.now())


def save(what: Story, path: str | os.PathLike[str]) -> str:
    """Write a page; return its absolute path.

    Args:
        what: what it tells.
        path: the file, or a directory for ``<experiment>.html``.

    Raises:
        FileMissing: the file cannot be written.
    """
    place = Path(path)
    folder = place.is_dir() or str(path).endswith(("/", os.sep))
    return write(place / f"{what.name}.html" if folder else place, page(what).encode())


def page(what: Story) -> str:
    """The page as text."""
    parts = {
        "title": escape(harmless(f"{what.name} · {what.run_id}" if what.run_id else what.name)),
        "style": _part("page.css"),
        "script": _part("page.js"),
        "data": embedded({**asdict(what), "kinds": KINDS}),
    }
    text = _part("page.html")
    for name in ("title", "style", "script", "data"):
        before, mark, after = text.partition(f"<!--{name}-->")
        if not mark:
            raise AssertionError(f"page.html has no place for {name}")
        text = before + parts[name] + after
    return text


def embedded(data: object) -> str:
    """JSON that can stand in a script element: nothing in it is taken for markup."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _sound(text)


def _sound(text: str) -> str:
    """The text without what could not be written, such as half of a pair of surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _part(name: str) -> str:
    from importlib.resources import files

    return files(__package__).joinpath(name).read_text("utf-8")
