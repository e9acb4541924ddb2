"""The connection of a worker process with one login on one machine, shared by its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import paramiko

from ....controller.errors import DeadlineError, HostError, HostSilent, HostUnreachable
from ....controller.model.login import Login
from ..channel import Patience
from ..session import PAUSE, TICK
from .channel import SshChannel
from .handshake import Attempt, Closing, dial
from .openings import ChannelRefused
from .target import resolve
from .transport import SESSION, Wire, WireLost

#: Sessions in one SSH connection, one below OpenSSH's default (sshd_config(5), MaxSessions).
MOST_CHANNELS = 9
#: Seconds that others wait for the one who is connecting, before they come back later.
PATIENCE = 1.0
#: The same for those who need not wait at all: a connection is mostly made in less.
HESITATION = 0.3
#: SSH connections to one machine that lasting channels may make necessary.
MOST_WIRES = 8

#: Seconds that a host which opens no session at all is asked again: it may not have noticed yet
#: that the last one was closed.
INSISTING = 2.0
_FORBIDDEN = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254, section 5.1

#: The connection of another login: a gateway's.
Others = Callable[[Login], "Connection"]


class _Line:
    """One SSH connection and how much of it is used."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.room = MOST_CHANNELS
        self.used = 0
        self.lasting = 0
        self.left = time.monotonic()

    def unused(self, seconds: float) -> bool:
        """Whether nothing has used it for so long."""
        idle = time.monotonic() - self.left >= seconds
        return idle and not self.used and not self.wire.channels


class Connection:
    """SSH connections to one login, made when needed and kept warm: mostly one.

    Commands wait for room. Channels that last, such as watches, must not use it up: another SSH
    connection is made when they hold half of the first.

    Args:
        login: where, and as whom.
        machine: name of this worker machine, for messages.
        others: gives the connection of a gateway.
        config: the ssh_config file to use; ssh's own if empty.
    """

    def __init__(self, login: Login, machine: str, others: Others, config: str = "") -> None:
        self._login, self._machine, self._others, self._config = login, machine, others, config
        self._lines: list[_Line] = []
        self._changed = threading.Condition()
        self._connecting: float | None = None  # since when somebody is
        self._failure: tuple[float, HostUnreachable] | None = None  # and when it failed
        self._closing = threading.Event()
        self._rests = False
        self.host_key = ""
        self.made = 0

    def __str__(self) -> str:
        """The machine, for people."""
        return str(self._login)

    @property
    def _place(self) -> str:
        """This machine and the worker's, for messages."""
        return f"{self} from worker machine {self._machine}"

    @property
    def closed(self) -> bool:
        """True once it was closed."""
        return self._closing.is_set()

    @property
    def alive(self) -> bool:
        """True if it need not be made first."""
        with self._changed:
            self._forget_dead()
            return bool(self._lines)

    @property
    def standing(self) -> str:
        """The state: ``open``, ``silent`` if nothing comes, ``lost``; empty if not needed."""
        with self._changed:
            self._forget_dead()
            if any(line.wire.stalled for line in self._lines):
                return "silent"
            if self._lines:
                return "open"
            lost = (self.made or self._failure) and not self._rests
            return "lost" if lost else ""

    def run(self, command: str, patience: Patience, *, lasting: bool) -> SshChannel:
        """A channel in which a command has been begun.

        Args:
            command: text for the login shell of the user.
            patience: how long it is waited for.
            lasting: True if it is not known when it will end.

        Raises:
            HostUnreachable: there is no connection now.
            HostSilent: somebody else is making one.
            HostError: there will be none.
        """
        insists_until = time.monotonic() + INSISTING
        warm = self.alive
        while True:
            line = self._line(patience, lasting)
            leave = partial(self._give_back, line, lasting)
            try:
                channel = line.wire.open(SESSION, (), patience, leave)
            except WireLost as error:
                if warm:  # a host that was rebooted meanwhile says so only now
                    warm = False
                    continue
                raise HostUnreachable(
                    f"the connection with {self._place} was lost: {error}",
                    hint="was it rebooted, or the network cut?",
                ) from error
            except ChannelRefused as error:  # the machine allows fewer than we thought
                if self._shrink(line) or time.monotonic() < insists_until:
                    continue
                hint = "MaxSessions of its sshd must allow 1"
                raise HostError(f"{self._place} refuses sessions: {error}", hint=hint) from error
            ssh_channel = SshChannel(line.wire, channel, patience, self._place)
            try:
                ssh_channel.begin(command)
            except BaseException:
                ssh_channel.close()
                raise
            return ssh_channel

    def check(self) -> None:
        """Raise if the machine is known not to answer; see :meth:`Session.check`."""
        with self._changed:
            self._forget_dead()
            if any(line.wire.stalled for line in self._lines):
                raise HostSilent(f"no answer from {self._place} at this moment")
            if self._lines or self._connecting is None:
                return
            again = self._failure is not None
            if again or time.monotonic() > self._connecting + HESITATION:
                raise HostSilent(f"still connecting to {self._place}")

    def tunnel(self, attempt: Attempt, *, again: bool = True) -> paramiko.Channel:
        """A way through this machine to the target of an attempt.

        Raises:
            HostUnreachable: this machine cannot be reached, or it cannot reach the target.
            HostSilent: somebody else is connecting to it.
            HostError: it does not let anybody through.
        """
        target, here = attempt.target, attempt.here
        warm = self.alive
        line = self._any_line(Patience(attempt.deadline, attempt.cancel))
        attempt.begin()  # it took its own time to connect to the gateway
        way = (target.address, target.port, "127.0.0.1", 0)
        patience = Patience(attempt.limit, attempt.cancel)
        try:
            return line.wire.open("direct-tcpip", way, patience, _nothing)
        except ChannelRefused as error:
            if error.code == _FORBIDDEN:
                raise HostError(
                    f"gateway {self} lets nobody {here} through to {target}: {error}",
                    hint="its sshd needs AllowTcpForwarding yes, and PermitOpen if that is set",
                ) from error
            raise HostUnreachable(
                f"gateway {self} {here} cannot reach {target}: {error}",
                hint="is it up, does its sshd run, does the gateway know its name?",
            ) from error
        except WireLost as error:
            if warm and again:
                return self.tunnel(attempt, again=False)
            raise HostUnreachable(
                f"the connection {here} with gateway {self} was lost: {error}"
            ) from error
        except DeadlineError as error:
            hint = f"is it up? does a firewall drop the packets of gateway {self}?"
            raise attempt.too_slow(f"no answer through gateway {self}", hint) from error

    def rest(self, seconds: float) -> None:
        """Disconnect if nothing has used it for so long; it is made again when it is needed.

        Args:
            seconds: how long.
        """
        with self._changed:
            self._forget_dead()
            unused = [line for line in self._lines if line.unused(seconds)]
            self._lines = [line for line in self._lines if line not in unused]
            self._rests = self._rests or bool(unused and not self._lines)
        for line in unused:
            line.wire.close()

    def close(self) -> None:
        """Close it and every channel in it."""
        with self._changed:
            self._closing.set()
            lines, self._lines = self._lines, []
            self._changed.notify_all()
        for line in lines:
            line.wire.close()

    # -- room ---------------------------------------------------------------------------------

    def _line(self, patience: Patience, lasting: bool) -> _Line:
        """A living line with room for one more channel, which is taken."""
        waited_for = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                line = self._with_room(lasting)
                if line is not None:
                    line.used += 1
                    line.lasting += lasting
                    return line
                if self._wants_another(lasting):
                    self._begin_connecting()
                    break
                if not self._lines and time.monotonic() > waited_for:
                    raise HostSilent(f"still connecting to {self._place}")
                # A line that is lost notifies no thread that waits for room in it.
                self._changed.wait(patience.seconds(1.0 if self._lines else TICK))
                patience.check()
        self._connect(patience)
        return self._line(patience, lasting)

    def _any_line(self, patience: Patience) -> _Line:
        """A living line, full or not: what passes through a gateway is no session there."""
        waited_for = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                self._forget_dead()
                if self._lines:
                    return self._lines[0]
                if self.closed:
                    raise self._over()
                if self._connecting is None:
                    self._begin_connecting()
                    break
                if time.monotonic() > waited_for:
                    raise HostSilent(f"still connecting to gateway {self._place}")
                self._changed.wait(patience.seconds(TICK))
                patience.check()
        self._connect(patience)
        return self._any_line(patience)

    def _with_room(self, lasting: bool) -> _Line | None:
        self._forget_dead()
        for line in self._lines:
            if line.used < line.room and not (lasting and line.lasting >= max(1, line.room // 2)):
                return line
        return None

    def _wants_another(self, lasting: bool) -> bool:
        if self.closed:
            raise self._over()
        if self._connecting is not None or len(self._lines) >= MOST_WIRES:
            return False
        held = all(line.lasting >= max(1, line.room // 2) for line in self._lines)
        return held if self._lines else True

    def _forget_dead(self) -> None:
        for line in self._lines:
            if line.wire.overdue:
                line.wire.abort()
        self._lines = [line for line in self._lines if line.wire.usable]

    def _give_back(self, line: _Line, lasting: bool) -> None:
        with self._changed:
            line.used -= 1
            line.left = time.monotonic()
            line.lasting -= lasting
            self._changed.notify_all()

    def _shrink(self, line: _Line) -> bool:
        """Note that a line takes no more channels than it has now; whether it has any."""
        with self._changed:
            line.room = max(1, min(line.room, line.used))
            if line.used:
                return True
            self._changed.wait(TICK)
            return False

    # -- connecting ---------------------------------------------------------------------------

    def _begin_connecting(self) -> None:
        if self._failure is not None:
            at, error = self._failure
            if time.monotonic() < at + PAUSE:
                again = type(error)(error.message, hint=error.hint)
                again.tried = error.tried
                raise again
        self._connecting = time.monotonic()

    def _connect(self, patience: Patience) -> None:
        """Make one more line."""
        failure = None
        began = time.monotonic()
        try:
            wire = self._dial(patience)
        except HostUnreachable as error:
            failed = type(error)(error.message, hint=error.hint)
            failed.tried = error.tried or began
            failure = (time.monotonic(), failed)
            raise
        else:
            key = wire.get_remote_server_key()
            self.host_key = f"{key.get_name()} {key.get_base64()}"
            with self._changed:
                self.made += 1
                self._lines.append(_Line(wire))
            if self.closed:
                wire.close()
        finally:
            with self._changed:
                self._rests = False
                self._failure = failure
                self._connecting = None
                self._changed.notify_all()

    def _dial(self, patience: Patience) -> Wire:
        target = resolve(self._login, self._config)
        attempt = Attempt(target, self._machine, patience.deadline, patience.cancel, self._closing)
        try:
            return dial(attempt, lambda it: self._others(_gateway_of(it)).tunnel(it))
        except Closing:
            raise self._over() from None

    def _over(self) -> HostError:
        return HostError(f"the session with {self} is closed")


def _nothing() -> None:
    """Do nothing: a tunnel is not a session, so there is no room to give back."""


def _gateway_of(attempt: Attempt) -> Login:
    gateway = attempt.target.gateway
    assert gateway is not None  # noqa: S101 - dial() asks for a tunnel only then
    return gateway
