"""The settings of a process, read from environment variables.

They are a plain dataclass: the import of a settings library would exceed the time budget of a
script's start (docs/decisions/0004).
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
    """Return the name of this machine: ``NEPIQ_MACHINE``, or else the host name."""
    name = os.environ.get("NEPIQ_MACHINE") or socket.gethostname() or "localhost"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:63]


def _seconds(name: str, default: float) -> float:
    return _number(name, default, "seconds")


def _number(name: str, default: float, unit: str) -> float:
    text = os.environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise InvalidValue(f"{name}={quoted(text)} is not a number of {unit}") from None


def endpoint(name: str, text: str) -> tuple[str, int]:
    """Return the address and the port in ``ADDRESS:PORT``; an IPv6 address is in brackets.

    Raises:
        InvalidValue: the text has another form.
    """
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or int(port) > 65535:
        raise InvalidValue(
            f"{name}={quoted(text)} is not ADDRESS:PORT", hint="write, for example, 127.0.0.1:9109"
        )
    return address.removeprefix("[").removesuffix("]"), int(port)


def shown_endpoint(address: str, port: int) -> str:
    """Return ``ADDRESS:PORT`` as in URLs, the inverse of :func:`endpoint`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def check_log_format(text: str) -> str:
    """Return ``text`` if it is a log format.

    Raises:
        InvalidValue: it is neither ``text`` nor ``json``.
    """
    if text not in ("text", "json"):
        raise InvalidValue(
            f"log format {quoted(text)} is unknown", hint="set NEPIQ_LOG_FORMAT to text or json"
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


def _cache_home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nepiq"


def _directory(name: str, default: Path) -> Path:
    path = Path(os.environ.get(name) or default).expanduser()
    if not path.is_absolute():
        raise InvalidValue(f"{name}={quoted(str(path))} is not an absolute path")
    return path


@dataclass(frozen=True)
class Settings:
    """The settings of a client or worker.

    Attributes:
        broker_url: Redis for Celery's messages (``NEPIQ_BROKER_URL``). If this and ``state_url``
            are empty, the local services of this user are used.
        state_url: Redis for the state of runs (``NEPIQ_STATE_URL``); the broker's if empty.
            With TLS, ``rediss://``, the query of both URLs names the files by redis-py's options
            (``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``); ``NEPIQ_REDIS_CA``,
            ``NEPIQ_REDIS_CERT`` and ``NEPIQ_REDIS_KEY`` add them.
        broker_name: name of the broker, the same for all its clients and workers
            (``NEPIQ_BROKER_NAME``). Its workers sweep the runs that were deployed through it.
        imports: modules from which workers import resource types and callbacks
            (``NEPIQ_IMPORTS``, separated by commas).
        sites: sites whose hosts this worker reaches (``NEPIQ_SITES``, separated by commas).
        machine: name of this machine (``NEPIQ_MACHINE``).
        connect_timeout: seconds to wait for Redis (``NEPIQ_CONNECT_TIMEOUT``).
        worker_timeout: seconds that a deploy waits for a worker of a site
            (``NEPIQ_WORKER_TIMEOUT``).
        machine_gone: seconds without a live worker on a worker machine after which resources
            bound to it fail (``NEPIQ_MACHINE_GONE``).
        host_lost: seconds without a response after which a deployed host fails
            (``NEPIQ_HOST_LOST``); time in which its worker did not run is not counted.
        clock_limit: maximum clock skew in seconds between a worker and Redis
            (``NEPIQ_CLOCK_LIMIT``).
        drain_timeout: seconds that a worker that shuts down waits for its running steps before
            it hands them over (``NEPIQ_DRAIN_TIMEOUT``).
        session_idle: seconds after which a worker closes an unused session with a host
            (``NEPIQ_SESSION_IDLE``).
        retention: seconds that the records of a released run are kept (``NEPIQ_RETENTION``).
        content_limit: greatest number of megabytes of one file or directory that applications
            bring along (``NEPIQ_CONTENT_LIMIT``).
        contents_limit: that of all of them that are in Redis at a time
            (``NEPIQ_CONTENTS_LIMIT``).
        ssh_config: the ssh_config file that this worker uses instead of the user's and the
            system's, like ``ssh -F`` (``NEPIQ_SSH_CONFIG``).
        metrics: ``ADDRESS:PORT`` at which a worker serves metrics to Prometheus; empty for none
            (``NEPIQ_METRICS``).
        log_format: log format of a worker, ``text`` or ``json`` (``NEPIQ_LOG_FORMAT``).
        results: directory in which a worker keeps files of the runs of campaigns, the same for all
            workers of a machine (``NEPIQ_RESULTS``; by default below ``state_home``).
        results_free: least number of megabytes that are free there while campaigns collect files
            (``NEPIQ_RESULTS_FREE``).
        state_home: directory for data that outlives a process (the local Redis).
        cache_home: directory for what can be computed again.
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
    content_limit: float = 1024.0
    contents_limit: float = 4096.0
    ssh_config: str = ""
    metrics: str = ""
    log_format: str = "text"
    results: Path = field(default_factory=lambda: _state_home() / "results")
    results_free: float = 1024.0
    state_home: Path = field(default_factory=_state_home)
    cache_home: Path = field(default_factory=_cache_home)

    def __post_init__(self) -> None:
        check_url("broker_url", self.broker_url)
        check_url("state_url", self.state_url)

    @classmethod
    def chosen(cls, settings: Settings | None, broker_url: str, state_url: str) -> Settings:
        """Return the settings with the URLs that a script passes.

        Args:
            settings: the settings; by default those of the environment.
            broker_url: Redis for the messages, to replace that of the settings.
            state_url: Redis for the state; by default ``broker_url``, if that is set.
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
            InvalidValue: a variable has an invalid value; the message names the variable.
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
            content_limit=_number("NEPIQ_CONTENT_LIMIT", 1024.0, "megabytes"),
            contents_limit=_number("NEPIQ_CONTENTS_LIMIT", 4096.0, "megabytes"),
            ssh_config=os.environ.get("NEPIQ_SSH_CONFIG", ""),
            metrics=_address("NEPIQ_METRICS"),
            results=_directory("NEPIQ_RESULTS", _state_home() / "results"),
            results_free=_number("NEPIQ_RESULTS_FREE", 1024.0, "megabytes"),
            log_format=check_log_format(os.environ.get("NEPIQ_LOG_FORMAT") or "text"),
        )

    @property
    def embedded(self) -> bool:
        """True if no Redis is configured, so that the local services are used."""
        return not self.broker_url


def _url(name: str) -> str:
    return _with_tls(check_url(name, os.environ.get(name, "")))


_TLS_FILES = {
    "NEPIQ_REDIS_CA": "ssl_ca_certs",
    "NEPIQ_REDIS_CERT": "ssl_certfile",
    "NEPIQ_REDIS_KEY": "ssl_keyfile",
}


def _with_tls(url: str) -> str:
    """Return a ``rediss://`` URL with the TLS files of the environment that it does not set."""
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
            raise InvalidValue(f"{variable}={path!r} is not a file that this user can read")
        query[option] = path
    return urlunsplit(parts._replace(query=urlencode(query)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", text) if word)


# -- URLs of Redis ------------------------------------------------------------------------------
#
# Messages show no part of an invalid URL, because any part may be a password.

_SOCKETS = ("unix", "redis+socket", "nepiq+socket")
_SCHEMES = ("redis", "rediss", *_SOCKETS)

# Celery splits URLs at semicolons.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f#;]")
_HOST = re.compile(r"([\w.-]*|\[[0-9A-Fa-f:.%\w]+\])(:[0-9]+)?", re.ASCII)
_USER = re.compile(r"[\w.-]*", re.ASCII)
#: The known options; any other one may be part of a password with an ampersand.
_OPTION = re.compile(
    r"(db|virtual_host|ssl_\w+|socket_\w+|retry_on_\w+|health_check_interval|max_connections"
    r"|timeout|protocol|client_name|lib_name|lib_version)=[^&]*",
    re.ASCII,
)

URL_HINT = (
    "write redis://user:password@host:6379/0; in user and password, write %40 for @, : %3A, "
    "/ %2F, ? %3F, # %23, ; %3B, [ %5B, ] %5D, % %25"
)


def check_url(name: str, url: str) -> str:
    """Return a URL of Redis if it is valid or empty.

    Args:
        name: the setting, for the error.
        url: the URL.

    Raises:
        InvalidValue: the URL is invalid.
    """
    if url and _parts(url) is None:
        raise InvalidValue(f"{name}={redacted_url(url)!r} is not a URL of Redis", hint=URL_HINT)
    return url


def redacted_url(url: str) -> str:
    """Return a URL for messages, with ``***`` for all that may be a password."""
    parts = _parts(url)
    if parts is None:
        scheme = url.partition("://")[0]
        return f"{scheme}://***" if scheme in _SCHEMES and scheme != url else "***"
    login, at, host = parts.netloc.rpartition("@")
    query = _redacted_query(parts.query)
    url = f"{parts.scheme}://{_redacted_login(login)}{at}{host}{parts.path}"
    return url + f"?{query}" * bool(query)


def _parts(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it is invalid or ambiguous."""
    if _FORBIDDEN.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or "://" not in url or "@" in parts.path + parts.query:
        return None
    login, at, host = parts.netloc.rpartition("@")
    # A user without a colon may be meant as a password.
    if (at and ":" not in login) or not all(map(_OPTION.fullmatch, _options(parts.query))):
        return None
    if parts.scheme in _SOCKETS:
        return parts if not host and parts.path else None
    database = re.fullmatch(r"(/[0-9]*)?", parts.path, re.ASCII)
    return parts if database and _HOST.fullmatch(host) else None


def _redacted_login(login: str) -> str:
    user, colon, _ = login.partition(":")
    return (user if _USER.fullmatch(user) else "***") + ":***" * bool(colon)


def _options(query: str) -> list[str]:
    return [option for option in query.split("&") if option]


def _redacted_query(query: str) -> str:
    options: list[str] = []
    for option in _options(query):
        if option.startswith("ssl_password="):
            # The options after it may be part of the password.
            return "&".join([*options, "ssl_password=***"])
        options.append(option)
    return "&".join(options)
