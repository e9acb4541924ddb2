"""``nepiq web``: the live page of runs."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated

import typer

from ..experiment.connect import Access
from ..web import PORT


def web(
    run_name: Annotated[
        str, typer.Argument(metavar="[RUN]", help="The run to open; the list of runs by default.")
    ] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = PORT,
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is one.")] = True,
) -> None:
    """Serve a live page of all runs to browsers of this machine until ctrl-C.

    The link that it prints has a token, without which the page shows nothing.
    """
    from ..web.server import WebServer

    access = Access()
    try:
        path = f"/runs/{access.backend.run(run_name).run_id}" if run_name else "/"
        server = WebServer(access.settings, port)
        link = server.link(path)
        sys.stderr.write(f"{link}\n")
        sys.stderr.flush()
        if browser and sys.stderr.isatty():
            webbrowser.open(link)
        server.serve()
    finally:
        access.close()
