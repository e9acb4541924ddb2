"""Settings of the documentation site, for Sphinx; ``make docs`` builds it in ``build/site``.

Its source folder is the root of the tree, so that the links between pages, examples and other
files are the same here and on a code host. Pages are plain Markdown: the navigation is that of
``docs/index.md``, and the pages of a folder are below the page with the name of the folder.
``tools/reference.py`` writes the reference into its pages while they are read.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / ".typing")]

import reference  # noqa: E402 - from the folder above

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "nepiq"
author = "nepiq contributors"
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**", "examples/**"]
# Sphinx walks through every folder that is not named here.
exclude_patterns = ["README.md", "**/__pycache__"] + [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "examples")
]

myst_heading_anchors = 4
smartquotes_action = "D"
# Methods in the list beside a page take a seventh of the time of a build.
toc_object_entries = True
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True

html_theme = "furo"
html_title = "nepiq"
html_show_sphinx = False
html_copy_source = False

DECISIONS = "docs/decisions"
_LINK = re.compile(r"^- \[[^]]+\]\(([^)#\s:]+)\.md\)", re.MULTILINE)


def _read(app: Sphinx, page: str, text: list[str]) -> None:
    """Add to a page what only the site shows: its place in the navigation, and references."""
    if page == root_doc:
        for part in re.split(r"^## ", text[0], flags=re.MULTILINE)[1:]:
            caption = part.partition("\n")[0]
            text[0] += _toctree(_LINK.findall(part), f":caption: {caption}")
    elif page == DECISIONS:
        paths = sorted((ROOT / page).glob("*.md"))
        text[0] += "\n".join(f"- [](decisions/{path.name})" for path in paths)
    elif page.startswith(f"{DECISIONS}/"):
        # So many would bury the other pages in the navigation.
        text[0] = "---\norphan: true\n---\n" + text[0]
    elif any((ROOT / page).glob("*.md")):
        text[0] += _toctree([f"{page.rpartition('/')[2]}/*"], ":glob:")
    elif page.endswith("/README") and any((ROOT / page).parent.glob("*/README.md")):
        text[0] += _toctree(["*/README"], ":glob:")
    written = reference.PAGES.get(page)
    if written:
        text[0] += "\n" + written()


def _toctree(entries: list[str], option: str) -> str:
    return "\n".join(
        ["\n\n```{toctree}", ":hidden:", ":titlesonly:", option, "", *entries, "```\n"]
    )


def _written(*_: object) -> list[str]:
    """Return the pages to read again in any case, since more than their file decides."""
    return [DECISIONS, *reference.PAGES]


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Lead from the folder of the site to its first page."""
    if error is None:
        refresh = f'<meta http-equiv="refresh" content="0;url={root_doc}.html">'
        Path(app.outdir, "index.html").write_text(f"<!doctype html><title>nepiq</title>{refresh}\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above."""
    app.connect("source-read", _read)
    app.connect("env-get-outdated", _written)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
