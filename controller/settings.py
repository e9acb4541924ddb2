"""What the environment says: where Redis is, and how this process takes part.

Read once per process into a plain dataclass. (A settings library would cost more to import than
the whole budget of a script's start allows: docs/decisions/0004.)
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from .errors import InvalidValue
from .errors.text import quoted
from .model.names import check_name

DEFAULT_SITE = "default"


def machine_name() -> str:
    """The name of this worker machine: ``NEPIQ_MACHINE``, else the host name."""
    name = os.environ.get("NEPIQ_MACHINE") or socket.gethostname() or "localhost"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:63]


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise InvalidValue(f"{name}={quoted(text)} is not a number of seconds") from None


def endpoint(name: str, text: str) -> tuple[str, int]:
    """The address and the port of ``ADDRESS:PORT``; that of IPv6 stands in brackets.

    Raises:
        InvalidValue: it is none.
    """
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or int(port) > 65535:
        raise InvalidValue(
            f"{name}={quoted(text)} is not ADDRESS:PORT", hint="for example 127.0.0.1:9109"
        )
    return address.removeprefix("[").removesuffix("]"), int(port)


def shown_endpoint(address: str, port: int) -> str:
    """The opposite of :func:`endpoint`, as it stands in URLs."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def check_log_format(text: str) -> str:
    """Return ``text`` if workers can log that way.

    Raises:
        InvalidValue: it is neither ``text`` nor ``json``.
    """
    if text not in ("text", "json"):
        raise InvalidValue(
            f"log format {quoted(text)} is unknown", hint="NEPIQ_LOG_FORMAT: text or json"
        )
    return text


def _address(name: str) -> str:
    text = os.environ.get(name, "")
    if text:
        endpoint(name, text)
    return text


def _state_home() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "nepiq"


@dataclass(frozen=True)
class Settings:
    """How this process reaches the others.

    Attributes:
        broker_url: Redis for Celery's messages (``NEPIQ_BROKER_URL``). With this and
            ``state_url`` empty, the embedded stack of this user is used.
        state_url: Redis for the state of runs (``NEPIQ_STATE_URL``); the broker's if empty.
            With TLS, ``rediss://``, both URLs carry the files in their query as redis-py names
            them (``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``); ``NEPIQ_REDIS_CA``,
            ``NEPIQ_REDIS_CERT`` and ``NEPIQ_REDIS_KEY`` put them there.
        broker_name: name of the broker, the same for everybody who uses it
            (``NEPIQ_BROKER_NAME``). Its workers sweep the runs that were deployed through it.
        imports: modules that workers import resource types and callbacks from
            (``NEPIQ_IMPORTS``, separated by commas).
        sites: sites whose hosts this worker reaches (``NEPIQ_SITES``, separated by commas).
        machine: name of this machine.
        connect_timeout: seconds to wait for Redis before giving up.
        worker_timeout: seconds that a deploy waits for a worker of a site to appear.
        machine_gone: seconds without any live worker on a worker machine after which what is
            bound to it FAILS (``NEPIQ_MACHINE_GONE``).
        host_lost: seconds without a word from a host that has been deployed after which it FAILS
            (``NEPIQ_HOST_LOST``); time in which its worker did not run is not counted.
        clock_limit: seconds by which a worker's clock may differ from that of Redis
            (``NEPIQ_CLOCK_LIMIT``).
        drain_timeout: seconds that a worker that ends gives its running steps before it hands
            them over (``NEPIQ_DRAIN_TIMEOUT``).
        session_idle: seconds after which a worker disconnects from a host that nothing has used
            meanwhile (``NEPIQ_SESSION_IDLE``).
        retention: seconds that the records of a released run are kept (``NEPIQ_RETENTION``).
        ssh_config: the ssh_config file that this worker uses instead of the user's and the
            system's, as with ``ssh -F`` (``NEPIQ_SSH_CONFIG``).
        metrics: ``ADDRESS:PORT`` at which a worker answers Prometheus; empty for nowhere
            (``NEPIQ_METRICS``).
        log_format: ``text`` or ``json``, how a worker logs (``NEPIQ_LOG_FORMAT``).
        state_home: directory for what must outlive a process (the embedded Redis).
    """

    broker_url: str = field(default="", repr=False)
    state_url: str = field(default="", repr=False)
    broker_name: str = "main"
    imports: tuple[str, ...] = ()
    sites: tuple[str, ...] = (DEFAULT_SITE,)
    machine: str = field(default_factory=machine_name)
    connect_timeout: float = 5.0
    worker_timeout: float = 10.0
    machine_gone: float = 60.0
    host_lost: float = 60.0
    clock_limit: float = 5.0
    drain_timeout: float = 60.0
    session_idle: float = 600.0
    retention: float = 7 * 86400.0
    ssh_config: str = ""
    metrics: str = ""
    log_format: str = "text"
    state_home: Path = field(default_factory=_state_home)

    def __post_init__(self) -> None:
        check_url("broker_url", self.broker_url)
        check_url("state_url", self.state_url)

    @classmethod
    def chosen(cls, settings: Settings | None, broker_url: str, state_url: str) -> Settings:
        """Return settings as a script chooses them: by default those of the environment.

        Args:
            settings: all of them.
            broker_url: Redis for the messages, if not that of the settings.
            state_url: Redis for the state; by default that of ``broker_url``, if one is given.
        """
        settings = settings or cls.from_environment()
        if not (broker_url or state_url):
            return settings
        return replace(
            settings, broker_url=broker_url or state_url, state_url=state_url or broker_url
        )

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the ``NEPIQ_*`` variables.

        Raises:
            InvalidValue: a variable has a value that cannot be used; it is named.
        """
        broker, state = _url("NEPIQ_BROKER_URL"), _url("NEPIQ_STATE_URL")
        return cls(
            broker_url=broker or state,
            state_url=state or broker,
            broker_name=check_name("broker name", os.environ.get("NEPIQ_BROKER_NAME", "main")),
            imports=_words(os.environ.get("NEPIQ_IMPORTS", "")),
            sites=tuple(
                check_name("site", site)
                for site in _words(os.environ.get("NEPIQ_SITES", DEFAULT_SITE))
            ),
            machine=machine_name(),
            connect_timeout=_seconds("NEPIQ_CONNECT_TIMEOUT", 5.0),
            worker_timeout=_seconds("NEPIQ_WORKER_TIMEOUT", 10.0),
            machine_gone=_seconds("NEPIQ_MACHINE_GONE", 60.0),
            host_lost=_seconds("NEPIQ_HOST_LOST", 60.0),
            clock_limit=_seconds("NEPIQ_CLOCK_LIMIT", 5.0),
            drain_timeout=_seconds("NEPIQ_DRAIN_TIMEOUT", 60.0),
            session_idle=_seconds("NEPIQ_SESSION_IDLE", 600.0),
            retention=_seconds("NEPIQ_RETENTION", 7 * 86400.0),
            ssh_config=os.environ.get("NEPIQ_SSH_CONFIG", ""),
            metrics=_address("NEPIQ_METRICS"),
            log_format=check_log_format(os.environ.get("NEPIQ_LOG_FORMAT") or "text"),
        )

    @property
    def embedded(self) -> bool:
        """True if no Redis was named, so that the embedded stack serves."""
        return not self.broker_url


def _url(name: str) -> str:
    return _with_tls(check_url(name, os.environ.get(name, "")))


_TLS_FILES = {
    "NEPIQ_REDIS_CA": "ssl_ca_certs",
    "NEPIQ_REDIS_CERT": "ssl_certfile",
    "NEPIQ_REDIS_KEY": "ssl_keyfile",
}


def _with_tls(url: str) -> str:
    """A ``rediss://`` URL with the files that the environment names, unless it names its own."""
    if not url.startswith("rediss://"):
        return url
    from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    for variable, option in _TLS_FILES.items():
        path = os.environ.get(variable, "")
        if not path or option in query:
            continue
        if not os.access(path, os.R_OK):
            raise InvalidValue(f"{variable}={path!r} is no file that this user can read")
        query[option] = path
    return urlunsplit(parts._replace(query=urlencode(query)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", text) if word)


# -- URLs of Redis ------------------------------------------------------------------------------
#
# Nothing of a URL that cannot be read is shown, as any part of it may be a password.

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

URL_HINT = (
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
        raise InvalidValue(f"{name}={shown_url(url)!r} is no URL of Redis", hint=URL_HINT)
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
