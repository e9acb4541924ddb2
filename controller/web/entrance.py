"""The entrance of the live page: a token, a cookie, and checks of each request."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..reports.markup import escape

#: Names by which a browser may request the page. A page of another site whose name leads to this
#: machine (DNS rebinding) requests it by another one.
_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# The link comes from another place, such as a terminal in a browser. The cookie is sent only with
# requests that a page of this server has caused, so this one causes the next.
_ENTERED = """<!doctype html><meta charset="utf-8"><title>nepiq</title>
<meta http-equiv="refresh" content="0;url={place}"><p><a href="{place}">Continue</a></p>
"""
_NOTICE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>nepiq</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font:16px system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem">
<h1>{title}</h1><p>{text}</p>
"""
_REFUSED = (
    "Open the link that nepiq web has printed. It has a token, which this browser then keeps until "
    "it is closed or the server ends."
)


def notice(title: str, text: str, status: int) -> HTMLResponse:
    """Return a page that has only a text."""
    return HTMLResponse(_NOTICE.format(title=escape(title), text=escape(text)), status)


class Entrance:
    """The middleware that admits requests with the token, and sets headers of all responses.

    Args:
        app: the application behind it.
        token: the password; whoever has it sees all runs.
        cookie: name of the cookie that holds it.
    """

    def __init__(self, app: ASGIApp, token: str, cookie: str) -> None:
        self._app = app
        self._token = token
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._answer(HTTPConnection(scope))(scope, receive, guarded)

    def _answer(self, request: HTTPConnection) -> ASGIApp:
        """Return the application that answers a request."""
        if _name(request.headers.get("host", "")) not in _NAMES:
            return PlainTextResponse("this name is not one of this server\n", 421)
        if request.scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("the page is read-only\n", 405)
        if self._matches(request.query_params.get("token", "")):
            return self._enter(request)
        if self._matches(request.cookies.get(self._cookie, "")):
            return self._app
        return notice("A token is missing", _REFUSED, 401)

    def _matches(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "replace"), self._token.encode())

    def _enter(self, request: HTTPConnection) -> HTMLResponse:
        """Return the page that sets the cookie and leads to the same place without the token."""
        rest = [pair for pair in parse_qsl(request.url.query) if pair[0] != "token"]
        # One slash at the beginning: two would name another host.
        path = quote("/" + request.url.path.lstrip("/\\"))
        place = path + (f"?{urlencode(rest)}" if rest else "")
        response = HTMLResponse(_ENTERED.format(place=escape(place)))
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return response


def _name(host: str) -> str:
    """Return the name in a Host header without the port, which a tunnel may change."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()
