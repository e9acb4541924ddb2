"""URLs of Redis: which can be read, and how they are shown without a password.

What is no URL may well be one whose password has a sign that ends it, such as ``/`` or ``#``:
nothing of it is shown then, since any part may belong to the password.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from .errors import InvalidValue

_SOCKETS = ("unix", "redis+socket", "nepiq+socket")
_SCHEMES = ("redis", "rediss", *_SOCKETS)

# Celery takes what stands behind a semicolon for another URL.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f#;]")
_HOST = re.compile(r"([\w.-]*|\[[0-9A-Fa-f:.%\w]+\])(:[0-9]+)?", re.ASCII)
_USER = re.compile(r"[\w.-]*", re.ASCII)
#: Options there may be; any other one may be a piece of a password with an ampersand.
_OPTION = re.compile(
    r"(db|virtual_host|ssl_\w+|socket_\w+|retry_on_\w+|health_check_interval|max_connections"
    r"|timeout|protocol|client_name|lib_name|lib_version)=[^&]*",
    re.ASCII,
)

HINT = (
    "write redis://user:password@host:6379/0; in user and password, @ is written %40, : %3A, "
    "/ %2F, ? %3F, # %23, ; %3B, [ %5B, ] %5D, % %25"
)


def check_url(name: str, url: str) -> str:
    """Return a URL of Redis if it can be read; an empty one stands for none.

    Args:
        name: what it was given as, for the error.
        url: the URL.

    Raises:
        InvalidValue: it cannot be read.
    """
    if url and _parts(url) is None:
        raise InvalidValue(f"{name}={shown_url(url)!r} is no URL of Redis", hint=HINT)
    return url


def shown_url(url: str) -> str:
    """A URL without what may be a password, for messages; unchanged if there is none."""
    parts = _parts(url)
    if parts is None:
        scheme = url.partition("://")[0]
        return f"{scheme}://***" if scheme in _SCHEMES and scheme != url else "***"
    who, at, place = parts.netloc.rpartition("@")
    query = _shown_query(parts.query)
    return f"{parts.scheme}://{_shown_user(who)}{at}{place}{parts.path}" + f"?{query}" * bool(query)


def _parts(url: str) -> SplitResult | None:
    """The parts of a URL that can be read in one way only."""
    if _FORBIDDEN.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or "://" not in url or "@" in parts.path + parts.query:
        return None
    who, at, place = parts.netloc.rpartition("@")
    # A user alone may be meant as a password.
    if (at and ":" not in who) or not all(map(_OPTION.fullmatch, _options(parts.query))):
        return None
    if parts.scheme in _SOCKETS:
        return parts if not place and parts.path else None
    numbered = re.fullmatch(r"(/[0-9]*)?", parts.path, re.ASCII)
    return parts if numbered and _HOST.fullmatch(place) else None


def _shown_user(who: str) -> str:
    user, colon, _ = who.partition(":")
    return (user if _USER.fullmatch(user) else "***") + ":***" * bool(colon)


def _options(query: str) -> list[str]:
    return [option for option in query.split("&") if option]


def _shown_query(query: str) -> str:
    shown: list[str] = []
    for option in _options(query):
        if option.startswith("ssl_password="):
            # What follows may belong to it.
            return "&".join([*shown, "ssl_password=***"])
        shown.append(option)
    return "&".join(shown)
