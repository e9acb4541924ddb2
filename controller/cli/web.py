"""``nepiq web``: live pages of runs and campaigns."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from ..errors import UnknownCampaign
from ..experiment.connect import Access
from ..web import PORT


def web(
    run_name: Annotated[
        str, typer.Argument(metavar="[RUN]", help="The run to open; the list of runs by default.")
    ] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = PORT,
    campaign: Annotated[str, typer.Option(metavar="NAME", help="The campaign to open.")] = "",
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is one.")] = True,
) -> None:
    """Serve live pages of all runs and campaigns to browsers of this machine until ctrl-C.

    The link that it prints has a token, without which the pages show nothing.
    """
    from ..web.server import WebServer

    access = Access()
    try:
        path = _path(access, run_name, campaign)
        server = WebServer(access.settings, port)
        link = server.link(path)
        sys.stderr.write(f"{link}\n")
        sys.stderr.flush()
        if browser and sys.stderr.isatty():
            webbrowser.open(link)
        server.serve()
    finally:
        access.close()


def _path(access: Access, run_name: str, campaign: str) -> str:
    """Return the path of the page to open."""
    if run_name and campaign:
        raise typer.BadParameter("a run and a campaign cannot both be opened")
    if campaign:
        backend = access.backend
        if backend.campaign(campaign).record() is None:
            raise UnknownCampaign(campaign, backend.campaigns())
        return f"/campaigns/{quote(campaign)}"
    return f"/runs/{access.backend.run(run_name).run_id}" if run_name else "/"
