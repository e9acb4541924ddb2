"""The handshake of an SSH connection: socket, machine's key, login; each with a deadline."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import random
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paramiko

from ....controller.errors import Cancelled, DeadlineError, HostError, HostUnreachable
from ....controller.model.durations import Backoff, Deadline
from ..session import TICK
from .ciphers import chosen
from .known_hosts import KnownKeys
from .proxy_command import ProxySocket
from .target import Target
from .transport import Wire
from .user_login import TooSlow, TurnedAway, log_in

# A host that acknowledges nothing for so long is lost, whether data is under way (milliseconds)
# or not (seconds): tcp(7).
_LIVENESS = {
    "TCP_USER_TIMEOUT": 15_000,
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 2,
}
# A server that is asked by many at once turns some away at random (MaxStartups).
_TURNED_AWAY = Backoff(0.1)
# Not the module's own state, which a script may have seeded for its experiment.
_SPREAD = random.SystemRandom()


class Closing(Exception):
    """The connection is closed before it is made."""


@dataclass
class Attempt:
    """One attempt to connect.

    Attributes:
        target: where, and as whom.
        machine: name of this worker machine, for messages.
        deadline: when whoever asked gives up; the login's ``connect_timeout`` may come before.
        cancel: what ends it early when set.
        closing: set when the connection is not wanted any more.
        limit: the sooner of the two ends.
    """

    target: Target
    machine: str
    deadline: Deadline
    cancel: threading.Event | None
    closing: threading.Event

    def __post_init__(self) -> None:
        """Begin to count."""
        self.begin()

    def begin(self) -> None:
        """Count ``connect_timeout`` from now."""
        self.limit = self.deadline.sooner(self.target.login.connect_timeout)

    @property
    def here(self) -> str:
        """This machine, for messages."""
        return f"on worker machine {self.machine}"

    def patience(self) -> float:
        """Seconds to wait before :meth:`check`."""
        return min(self.limit.remaining, TICK if self.cancel else 1.0)

    def check(self) -> None:
        """Raise if there is no time left, or no wish."""
        if self.closing.is_set():
            raise Closing
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled
        if self.limit.expired:
            raise TooSlow

    def wait(self, done: threading.Event, wire: Wire) -> None:
        """Wait for a stage of the protocol, or the end of the connection."""
        while not done.wait(self.patience()) and wire.is_active():
            self.check()

    def unreachable(self, why: str, hint: str = "") -> HostUnreachable:
        """The error of a machine that does not answer."""
        return HostUnreachable(
            f"cannot reach {self.target} from worker machine {self.machine}: {why}", hint=hint
        )

    def too_slow(self, what: str, hint: str) -> HostError:
        """The error of what took too long: the step's own end, or that of connecting."""
        if self.deadline.expired:
            return DeadlineError(
                f"{self.target}: {what} when the time of the step was over", hint=hint
            )
        return self.unreachable(f"{what} within {self.target.login.connect_timeout:g} s", hint)


#: Opens a way through the gateway of an attempt's target: something like a socket.
Tunnel = Callable[[Attempt], Any]


def dial(attempt: Attempt, tunnel: Tunnel) -> Wire:
    """Connect and log in.

    Raises:
        HostUnreachable: it does not answer, or not as SSH servers do.
        HostKeyError: its key is unknown or wrong.
        LoginRefused: it does not let the user in.
        DeadlineError, Cancelled: the attempt's deadline or its cancel came first.
    """
    keys = KnownKeys(attempt.target, attempt.machine)
    failures = 0
    while True:
        try:
            return _connected(attempt, tunnel, keys)
        except TurnedAway as error:
            failures += 1
            pause = _TURNED_AWAY.pause(failures)
            if attempt.limit.remaining < pause:
                raise _turned_away(attempt, error) from error
        _sleep(attempt, pause * _SPREAD.uniform(0.5, 1.5))


def _turned_away(attempt: Attempt, error: TurnedAway) -> HostError:
    command = attempt.target.proxy_command
    if command:
        why, hint = f"ProxyCommand {command!r} ended", "run it by hand to see why"
    else:
        why = "it hung up before the login"
        hint = "sshd turns clients away when many log in at once (MaxStartups), or by rule"
    detail = str(error)
    return attempt.unreachable(f"{why} ({detail})" if detail else why, hint)


def _sleep(attempt: Attempt, seconds: float) -> None:
    end = attempt.limit.sooner(seconds)
    while not end.expired:
        attempt.closing.wait(min(end.remaining, attempt.patience()))
        with contextlib.suppress(TooSlow):
            attempt.check()


def _connected(attempt: Attempt, tunnel: Tunnel, keys: KnownKeys) -> Wire:
    sock = _socket(attempt, tunnel)
    try:
        wire = Wire(sock)
    except BaseException:
        sock.close()
        raise
    try:
        _greet(wire, attempt, keys)
        log_in(wire, attempt)
    except BaseException:
        wire.close()
        sock.close()  # which a wire does that has begun to read
        raise
    wire.settle()
    return wire


# -- the socket ---------------------------------------------------------------------------------


def _socket(attempt: Attempt, tunnel: Tunnel) -> Any:
    target = attempt.target
    if target.gateway is not None:
        return tunnel(attempt)
    if target.proxy_command:
        return ProxySocket.run(target.proxy_command)
    addresses = _look_up(attempt)
    failure: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        # One address that swallows packets must not use up the time of the others.
        share = Deadline.after(attempt.limit.remaining / (len(addresses) - number))
        sock = socket.socket(family, kind, protocol)
        try:
            _connect(sock, address, attempt, share)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise _no_connection(attempt, failure) from failure


def _no_connection(attempt: Attempt, failure: OSError | None) -> HostError:
    if isinstance(failure, TimeoutError):
        return attempt.too_slow("no answer", "is it up? does a firewall drop the packets?")
    if isinstance(failure, ConnectionRefusedError):
        port = attempt.target.port
        hint = f"nothing listens on port {port}: is sshd running there, on that port?"
        return attempt.unreachable("connection refused", hint)
    why = os.strerror(failure.errno or 0).lower() if failure else "its name has no address"
    return attempt.unreachable(why, "is it up, and the network between?")


def _look_up(attempt: Attempt) -> list[Any]:
    """The addresses of the target. The resolver takes no deadline, so another thread asks it."""
    answer: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()
    target = attempt.target

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(target.address, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, name="look up a host", daemon=True).start()
    hint = "is it spelt right? does the worker machine know it (getent hosts)?"
    result: list[Any] | Exception | None = None
    while result is None:
        try:
            result = answer.get(timeout=attempt.patience())
        except queue.Empty:
            try:
                attempt.check()
            except TooSlow:
                raise attempt.too_slow("the worker machine did not find its name", hint) from None
    if isinstance(result, Exception):
        reason = result.strerror if isinstance(result, OSError) else None
        raise attempt.unreachable(str(reason or "no name of a host").lower(), hint) from result
    return result


def _connect(sock: socket.socket, address: Any, attempt: Attempt, share: Deadline) -> None:
    """Connect, without a wait that nothing ends.

    Raises:
        OSError: it is not possible; TimeoutError if it took longer than ``share``.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _LIVENESS.items():
        with contextlib.suppress(AttributeError):  # as far as the system has them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while not poll.poll(math.ceil(min(attempt.patience(), share.remaining) * 1000)):
        if share.expired:
            raise TimeoutError
        with contextlib.suppress(TooSlow):  # its caller raises the error of that
            attempt.check()
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


# -- the protocol -------------------------------------------------------------------------------


def _greet(wire: Wire, attempt: Attempt, keys: KnownKeys) -> None:
    """Agree on keys, and check that of the machine."""
    security = wire.get_security_options()
    security.key_types = keys.preferred(list(security.key_types))
    try:
        security.ciphers = chosen(security.ciphers, attempt.target.ciphers)
    except ValueError as reason:
        raise attempt.target.misconfigured(reason) from reason
    wire.banner_timeout = wire.handshake_timeout = attempt.limit.remaining + 1.0
    done = threading.Event()
    try:
        wire.start_client(event=done)
        attempt.wait(done, wire)
    except TooSlow:
        hint = "it accepts connections but says nothing: is it sshd, is the machine overloaded?"
        raise attempt.too_slow("no SSH greeting", hint) from None
    if not wire.is_active():
        error = wire.get_exception()
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            raise HostError(f"{attempt.target} and Paramiko have no algorithm in common: {error}")
        raise TurnedAway(error or "")
    keys.check(wire.get_remote_server_key())
