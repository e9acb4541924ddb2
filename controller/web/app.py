"""The application of the live page: its pages, streams of events, and answers about resources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..engine.redis_errors import contact
from ..errors import NepiqError, UnknownCampaign, UnknownResource, UnknownRun
from ..errors.text import escaped
from . import answers, pages
from .campaign_feed import CampaignFeed, CampaignList
from .entrance import Entrance, notice
from .hosts import Hosts
from .run_feed import RunFeed
from .run_list import PAGE, RunList, ended_run
from .tail import TailFeed

if TYPE_CHECKING:
    from ..engine import Backend
    from .campaign_view import CampaignView
    from .messages import Feed

_T = TypeVar("_T")

#: Seconds to read the last state of runs, if Redis answers.
_FINISH = 2.0

_TYPES = {"css": "text/css", "js": "text/javascript"}


class Pages:
    """The live page of one installation.

    Args:
        backend: the installation.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._feeds: dict[str, Feed] = {}

    def app(self, token: str, cookie: str) -> Entrance:
        """Return the application, behind its entrance."""
        routes = [
            Route("/", self.runs),
            Route("/events", self.list_events),
            Route("/ended", self.ended),
            Route("/runs/{run}", self.run),
            Route("/runs/{run}/events", self.run_events),
            Route("/runs/{run}/graph", self.graph),
            Route("/runs/{run}/resources/{guid:int}", self.resource),
            Route("/runs/{run}/resources/{guid:int}/outputs/{name:path}", self.output_events),
            Route("/campaigns", self.campaigns),
            Route("/campaigns/events", self.campaign_list_events),
            Route("/campaigns/{name}", self.campaign),
            Route("/campaigns/{name}/events", self.campaign_events),
            Route("/campaigns/{name}/points", self.points),
            Route("/campaigns/{name}/points/{index:int}", self.point),
            Route("/hosts", self.hosts),
            Route("/hosts/events", self.hosts_events),
            Route("/static/{name}", static),
        ]
        handlers = {NepiqError: _failed}
        return Entrance(Starlette(routes=routes, exception_handlers=handlers), token, cookie)

    async def end(self) -> None:
        """End all streams; those of runs end with the state at this time."""
        runs = [feed for feed in self._feeds.values() if isinstance(feed, RunFeed)]
        finishing = [asyncio.create_task(feed.finish()) for feed in runs]
        if finishing:
            await asyncio.wait(finishing, timeout=_FINISH)
        for feed in self._feeds.values():
            feed.end()

    # -- pages --------------------------------------------------------------------------------

    async def runs(self, _request: Request) -> Response:
        """Return the page of all runs."""
        return HTMLResponse(pages.RUNS.html)

    async def campaigns(self, _request: Request) -> Response:
        """Return the page of all campaigns."""
        return HTMLResponse(pages.CAMPAIGNS.html)

    async def campaign(self, request: Request) -> Response:
        """Return the page of a campaign."""
        name = request.path_params["name"]
        if await _read(self._backend.campaign(name).record) is None:
            known = await _read(self._backend.campaigns)
            return notice("There is no such campaign", str(UnknownCampaign(name, known)), 404)
        return HTMLResponse(pages.CAMPAIGN.html)

    async def hosts(self, _request: Request) -> Response:
        """Return the page of pools, workers and queues."""
        return HTMLResponse(pages.HOSTS.html)

    async def run(self, request: Request) -> Response:
        """Return the page of a run, also by a name that ``nepiq status`` takes."""
        name = request.path_params["run"]
        try:
            run_id = await _read(lambda: self._backend.run(name).run_id)
        except UnknownRun as error:
            return notice("There is no such run", str(error), 404)
        if run_id != name:
            return Response(status_code=302, headers={"Location": f"/runs/{run_id}"})
        return HTMLResponse(pages.RUN.html)

    # -- streams ------------------------------------------------------------------------------

    async def list_events(self, _request: Request) -> Response:
        """Return the stream of the list of runs."""
        return self._stream("runs", lambda: RunList(self._backend))

    async def campaign_list_events(self, _request: Request) -> Response:
        """Return the stream of the list of campaigns."""
        return self._stream("campaigns", lambda: CampaignList(self._backend))

    async def hosts_events(self, _request: Request) -> Response:
        """Return the stream of pools, workers and queues."""
        return self._stream("hosts", lambda: Hosts(self._backend))

    async def campaign_events(self, request: Request) -> Response:
        """Return the stream of a campaign."""
        name = request.path_params["name"]
        return self._stream(_campaign(name), lambda: CampaignFeed(self._backend, name))

    async def run_events(self, request: Request) -> Response:
        """Return the stream of a run."""
        run_id = request.path_params["run"]
        last = request.headers.get("last-event-id", "")
        return self._stream(f"run {run_id}", lambda: RunFeed(self._backend.exact_run(run_id)), last)

    async def output_events(self, request: Request) -> Response:
        """Return the stream of an output."""
        run, guid, name = (request.path_params[key] for key in ("run", "guid", "name"))
        return self._stream(
            f"output {run} {guid} {name}",
            lambda: TailFeed(self._backend.exact_run(run), guid, name),
        )

    def _stream(self, key: str, make: Callable[[], Feed], last: str = "") -> Response:
        """Return the stream of a feed, which browsers that show the same share."""
        if key not in self._feeds:
            self._feeds = {name: feed for name, feed in self._feeds.items() if feed.is_used}
            self._feeds[key] = make()
        return StreamingResponse(self._feeds[key].stream(last), media_type="text/event-stream")

    # -- answers ------------------------------------------------------------------------------

    async def ended(self, request: Request) -> Response:
        """Return the runs before another one."""
        before = request.query_params.get("before", "")
        infos = await _read(lambda: self._backend.runs(PAGE, before=before))
        return _json([ended_run(info) for info in infos])

    async def graph(self, request: Request) -> Response:
        """Return the graph of a run as SVG."""
        run = self._backend.exact_run(request.path_params["run"])
        return Response(await _read(lambda: answers.graph(run)), media_type="image/svg+xml")

    async def resource(self, request: Request) -> Response:
        """Return what is known of one resource."""
        run = self._backend.exact_run(request.path_params["run"])
        guid = request.path_params["guid"]
        return _json(await _read(lambda: answers.resource(run, guid)))

    async def points(self, request: Request) -> Response:
        """Return the parameters of the points of a campaign."""
        view = self._view(request)
        return _json(await _read(view.cells.parameters))

    async def point(self, request: Request) -> Response:
        """Return the runs of a point of a campaign."""
        view, index = self._view(request), request.path_params["index"]
        if index >= len(view.cells):
            return JSONResponse({"error": f"the campaign has no point {index}"}, 404)
        return _json(await _read(lambda: view.point(index)))

    def _view(self, request: Request) -> CampaignView:
        """Return a campaign that a browser shows.

        Raises:
            UnknownCampaign: no browser shows it.
        """
        name = request.path_params["name"]
        feed = self._feeds.get(_campaign(name))
        if not isinstance(feed, CampaignFeed) or not feed.is_used:
            raise UnknownCampaign(name, [])
        return feed.view


def _campaign(name: str) -> str:
    return f"campaign {name}"


async def static(request: Request) -> Response:
    """Return a file that a page loads."""
    name = request.path_params["name"]
    try:
        text = pages.static(name)
    except FileNotFoundError:
        return Response(status_code=404)
    return Response(text, media_type=_TYPES.get(name.rpartition(".")[2], "text/plain"))


def _json(data: Any) -> Response:
    return Response(json.dumps(data), media_type="application/json")


async def _read(function: Callable[[], _T]) -> _T:
    """Return what a function reads from Redis or a host, called in another thread."""

    def call() -> _T:
        with contact():
            return function()

    return await run_in_threadpool(call)


async def _failed(_request: Request, error: Exception) -> Response:
    """Return an error of nepiq as JSON."""
    missing = isinstance(error, (UnknownRun, UnknownResource, UnknownCampaign))
    return JSONResponse({"error": escaped(str(error))}, 404 if missing else 503)
