"""The application of the live page: its pages, streams of events, and answers about resources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..engine.redis_errors import contact
from ..errors import NepiqError, UnknownResource, UnknownRun
from ..errors.text import escaped
from . import answers, pages
from .entrance import Entrance, notice
from .feed import RunFeed
from .run_list import PAGE, ListFeed, ended_run

if TYPE_CHECKING:
    from ..engine import Backend

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
        self._feeds: dict[str, RunFeed] = {}
        self._list: ListFeed | None = None

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
            Route("/runs/{run}/resources/{guid:int}/outputs/{name:path}", self.output),
            Route("/static/{name}", static),
        ]
        handlers = {NepiqError: _failed}
        return Entrance(Starlette(routes=routes, exception_handlers=handlers), token, cookie)

    async def end(self) -> None:
        """End all streams; those of runs end with the state at this time."""
        finishing = [asyncio.create_task(feed.finish()) for feed in self._feeds.values()]
        if finishing:
            await asyncio.wait(finishing, timeout=_FINISH)
        for feed in self._feeds.values():
            feed.end()
        if self._list is not None:
            self._list.end()

    # -- pages --------------------------------------------------------------------------------

    async def runs(self, _request: Request) -> Response:
        """Return the page of all runs."""
        return HTMLResponse(pages.RUNS.html)

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
        if self._list is None:
            self._list = ListFeed(self._backend)
        return _stream(self._list.stream())

    async def run_events(self, request: Request) -> Response:
        """Return the stream of a run."""
        run_id = request.path_params["run"]
        if run_id not in self._feeds:
            self._feeds = {name: feed for name, feed in self._feeds.items() if feed.is_used}
            self._feeds[run_id] = RunFeed(self._backend.exact_run(run_id))
        return _stream(self._feeds[run_id].stream(request.headers.get("last-event-id", "")))

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

    async def output(self, request: Request) -> Response:
        """Return the end of an output as text."""
        run = self._backend.exact_run(request.path_params["run"])
        guid, name = request.path_params["guid"], request.path_params["name"]
        return _json(await _read(lambda: answers.output(run, guid, name)))


async def static(request: Request) -> Response:
    """Return a file that a page loads."""
    name = request.path_params["name"]
    try:
        text = pages.static(name)
    except FileNotFoundError:
        return Response(status_code=404)
    return Response(text, media_type=_TYPES.get(name.rpartition(".")[2], "text/plain"))


def _stream(messages: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(messages, media_type="text/event-stream")


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
    missing = isinstance(error, (UnknownRun, UnknownResource))
    return JSONResponse({"error": escaped(str(error))}, 404 if missing else 503)
