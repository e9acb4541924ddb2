"""linux::HttpServer and linux::HttpLoad: requests for files over HTTP, and their times."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ....model import (
    Attribute,
    Connection,
    Figure,
    Flag,
    Outputs,
    Readiness,
    StopSignal,
)
from .options import Items, Option, Program, Target
from .servers import Client, Server

_NUMBERS = {
    "requests": (int, re.compile(r"^Complete requests: +(\d+)", re.MULTILINE)),
    "failures": (int, re.compile(r"^Failed requests: +(\d+)", re.MULTILINE)),
    "seconds": (float, re.compile(r"^Time taken for tests: +([\d.]+)", re.MULTILINE)),
    "requestsPerSecond": (float, re.compile(r"^Requests per second: +([\d.]+)", re.MULTILINE)),
    "bytes": (int, re.compile(r"^Total transferred: +(\d+)", re.MULTILINE)),
    "latencyMean": (float, re.compile(r"^Time per request: +([\d.]+) \[ms\] \(mean\)$", re.M)),
}
_PERCENTILE = re.compile(r"^ +(\d+)% +(\d+)", re.MULTILINE)
_BAD_STATUS = re.compile(r"^Non-2xx responses: +(\d+)", re.MULTILINE)
_QUANTILES = {"latency50": 50, "latency90": 90, "latency95": 95, "latency99": 99, "latencyMax": 100}


class HttpServer(Server, rtype="linux::HttpServer"):
    """A server of the files in a directory of its host, by Python's http.server.

    It is STARTED when it listens, and runs until the stop; a wait for the end of all resources
    leaves it out. It is meant as the other end of a measurement, not as a fast or a safe server.
    """

    endless = True

    program = Program("python3 -u -m http.server", package="python3", version="--version")
    startedWhen = Attribute(
        Readiness,
        "output:Serving HTTP",
        help="Readiness probe: port:N, output:REGEX or file:PATH; empty: ready when it runs.",
        flags=Flag.DESIGN,
    )
    directory = Option(
        str, "--directory", help="Directory on its host; by default its run directory."
    )

    def call(self) -> str:
        """Return the call of the server, whose port is a variable of the shell."""
        bound = ["--bind", self.bind] if self.bind else []
        words = [*self.program, *bound, *self.option_words(), *self.extra]
        return f'{shlex.join(words)} "$port"'


class HttpLoad(Client, rtype="linux::HttpLoad"):
    """Requests to a server over HTTP, by ab(1), the benchmark of Apache's httpd.

    Connect it to a linux::HttpServer, of which it requests ``path``, or set ``target`` and ``port``
    of another server, or the whole ``url``. Requests that fail are a figure, also if all of them
    do; with ``keepGoing=False`` it is FAILED by the first connection that breaks. A stop ends it by
    SIGINT, so that the figures of what was requested are there.
    """

    alternatives = (("target",), ("url",))

    program = Program("ab", package="apache2-utils", version="-V")
    stopSignal = Attribute(
        StopSignal,
        "INT",
        help="The signal that requests its end; ab prints its figures at INT.",
        flags=Flag.DESIGN,
    )
    url = Attribute(
        str,
        help="What to request, as http://HOST:PORT/PATH, in place of target, port and path.",
        flags=Flag.DESIGN,
    )
    path = Attribute(str, "/", help="What to request of the server.", flags=Flag.DESIGN)

    requests = Option(int, "-n", help="Number of requests; ab's default is 1.", range=(1, None))
    concurrency = Option(int, "-c", help="Requests at one time.", range=(1, 20000))
    timeLimit = Option(int, "-t", help="Seconds after which it ends; means 50000 requests.")
    responseTimeout = Option(int, "-s", help="Seconds to wait for an answer.", range=(1, None))
    keepAlive = Option(bool, "-k", help="Use a connection for several requests.")
    keepGoing = Option(bool, "-r", True, help="Go on after a connection that breaks.")
    variableLength = Option(bool, "-l", help="Accept answers of different lengths.")
    head = Option(bool, "-i", help="Request HEAD.")
    method = Option(str, "-m", help="Request another method, such as DELETE.")
    postFile = Option(str, "-p", help="File on the host to send by POST.")
    putFile = Option(str, "-u", help="File on the host to send by PUT.")
    contentType = Option(str, "-T", help="Content type of that file.")
    headers = Option(Items, "-H", help="Header line, or a list of these, as Accept: text/html.")
    cookies = Option(Items, "-C", help="Cookie, or a list of these, as name=value.")
    auth = Option(str, "-A", help="User and password, as user:password; it is not kept secret.")
    proxy = Option(str, "-X", help="Proxy, as host:port.")
    proxyAuth = Option(str, "-P", help="User and password for it, as user:password.")
    address = Option(Target, "-B", help="Source address.")
    windowSize = Option(int, "-b", help="Size of the socket's buffers, in bytes.", range=(1, None))
    protocol = Option(str, "-f", help="Version of TLS, such as TLS1.2.")
    ciphers = Option(str, "-Z", help="Ciphers of TLS.")
    certificate = Option(str, "-E", help="File on the host with a certificate and its key.")
    noSni = Option(bool, "-I", help="Do not name the server in the handshake of TLS.")
    verbosity = Option(int, "-v", help="Level of messages.", range=(1, 4))
    quiet = Option(bool, "-q", True, help="Print no progress.")
    noPercentiles = Option(bool, "-d", help="Print no percentiles.")
    noEstimators = Option(bool, "-S", help="Print no deviation and no warnings about it.")
    samplesFile = Option(str, "-g", help="File in the run directory for a line for each request.")
    quantilesFile = Option(
        str, "-e", help="File for a table of quantiles; ab's last rows may be wrong."
    )

    completed = Figure(int, help="Requests that were completed.")
    failures = Figure(int, help="Requests that failed: connection, length, or another error.")
    badStatus = Figure(int, help="Answers with another status than 2xx.")
    seconds = Figure(float, unit="s", help="Time of all requests together.")
    requestsPerSecond = Figure(float, unit="1/s", help="Requests completed a second.")
    bytes = Figure(int, unit="B", help="Bytes received.")
    latencyMean = Figure(float, unit="ms", help="Mean time of a request.")
    latency50 = Figure(float, unit="ms", help="Time that half of the requests do not exceed.")
    latency90 = Figure(float, unit="ms", help="Time that 90 % of the requests do not exceed.")
    latency95 = Figure(float, unit="ms", help="Time that 95 % of the requests do not exceed.")
    latency99 = Figure(float, unit="ms", help="Time that 99 % of the requests do not exceed.")
    latencyMax = Figure(float, unit="ms", help="Greatest time of a request.")

    server = Connection(
        HttpServer, waits=False, follows=True, help="The server, on any host; it starts before."
    )

    def operands(self) -> list[str]:
        """Return the URL."""
        if self.url:
            return [self.url]
        address, port = self.endpoint()
        host = f"[{address}]" if ":" in address else address
        suffix = f":{port}" if port else ""
        return [f"http://{host}{suffix}/{self.path.lstrip('/')}"]

    def figures(self, outputs: Outputs) -> Mapping[str, Any]:
        """Return what the report has."""
        text = outputs.text()
        figures: dict[str, Any] = {}
        for name, (kind, pattern) in _NUMBERS.items():
            found = pattern.search(text)
            if found is not None:
                figures["completed" if name == "requests" else name] = kind(found[1])
        if not figures:
            return {}
        bad = _BAD_STATUS.search(text)
        figures["badStatus"] = int(bad[1]) if bad else 0
        times = {int(percent): float(time) for percent, time in _PERCENTILE.findall(text)}
        return figures | {name: times.get(percent) for name, percent in _QUANTILES.items()}
