"""The login of a user: by the keys that are offered, then by a password."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.ssh_exception import BadAuthenticationType, PartialAuthentication

from ....controller.errors import LoginRefused
from ....controller.model.values import SecretReference
from ..secret import Secret
from .transport import Wire
from .user_keys import offered

if TYPE_CHECKING:
    from .handshake import Attempt

# What OpenSSH lets a client try before it hangs up (sshd_config(5), MaxAuthTries), less one.
_MOST_KEYS = 5
_PASSWORD, _PROMPTS = "password", "keyboard-interactive"
#: Seconds in which a password that was refused is not tried again: hosts lock accounts after a few
#: tries, and count them for some minutes (pam_faillock(8), fail2ban).
PAUSE = 600.0


class TooSlow(Exception):
    """A stage of the protocol that did not come in time."""


class TurnedAway(Exception):
    """The machine hung up before the login."""


class _Refusals:
    """The passwords that machines have refused to this process, as digests."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._until: dict[bytes, float] = {}
        self._unanswered: set[bytes] = set()
        self._lock = threading.Lock()

    def add(self, key: bytes) -> None:
        """Note a refusal that has just come."""
        now = time.monotonic()
        with self._lock:
            self._until = {key: end for key, end in self._until.items() if end > now}
            self._until[key] = now + PAUSE

    def is_again(self, key: bytes) -> bool:
        """Note that a machine hung up instead of an answer; return whether it did so before."""
        with self._lock:
            again = key in self._unanswered
            self._unanswered ^= {key}
            return again

    def __contains__(self, key: bytes) -> bool:
        """Return whether it was refused a short time ago."""
        with self._lock:
            return self._until.get(key, 0.0) > time.monotonic()

    def key(self, attempt: Attempt, password: bytes) -> bytes:
        """Return a digest of the password, the user and the machine."""
        target = attempt.target
        place = f"{target.user}\0{target.address}\0{target.port}\0".encode()
        return hashlib.sha256(self._salt + place + password).digest()


_refusals = _Refusals()


def log_in(wire: Wire, attempt: Attempt) -> None:
    """Log in as the user of the attempt's target.

    Keys are offered until one is accepted; then comes the password, if there is one, once.

    Raises:
        LoginRefused: the machine does not let the user in.
        TurnedAway: it hung up instead of an answer to a key.
        HostUnreachable, DeadlineError: it did not answer in time.
    """
    tried = _offer_keys(wire, attempt)
    if wire.is_authenticated():
        return
    if attempt.target.password and wire.is_active():
        _Password(wire, attempt, tried).log_in()
        return
    raise _refused(attempt, tried)


def _offer_keys(wire: Wire, attempt: Attempt) -> list[str]:
    """Offer keys until one is accepted, and return what they are called in messages."""
    target = attempt.target
    tried: list[str] = []
    for name, key in offered(target, attempt.here):
        if len(tried) == _MOST_KEYS:
            break
        tried.append(name)
        try:
            _wait(wire, attempt, lambda done, key=key: wire.auth_publickey(target.user, key, done))  # type: ignore[misc]
        except paramiko.SSHException:  # it hung up between two keys
            break
        if wire.is_authenticated() or isinstance(wire.saved_exception, PartialAuthentication):
            break
        if not wire.is_active():
            lost = wire.get_exception()
            if lost is not None:  # it did not say goodbye, as it does after too many keys
                raise TurnedAway(lost)
            break
    return tried


def _wait(wire: Wire, attempt: Attempt, begin: Callable[[threading.Event], object]) -> None:
    """Begin a stage of the login, and wait until the machine has answered or hung up."""
    done = threading.Event()
    try:
        begin(done)
        attempt.wait(done, wire)
    except TooSlow:
        hint = "is the machine overloaded, or does its login wait for another service?"
        raise attempt.too_slow("no answer to the login", hint) from None


def _refused(attempt: Attempt, tried: list[str]) -> LoginRefused:
    target = attempt.target
    if not tried:
        paths = ", ".join(map(str, target.identities))
        return LoginRefused(
            f"there is no key to log in to {target} with {attempt.here} ({paths}; agent)",
            hint="give the node identity=/path/of/key, or load a key into the agent of the worker",
        )
    return LoginRefused(
        f"{target} does not let {target.user} in with {', '.join(tried)} {attempt.here}",
        hint=f"is the public key in ~{target.user}/.ssh/authorized_keys there? may the user log in?"
        + (f" only {_MOST_KEYS} keys are tried: give identity=" if len(tried) > 1 else ""),
    )


class _Password:
    """A login by password, or by the prompts of a server that asks for one.

    The password is sent once at most, to a machine that has proved its key.

    Args:
        wire: the connection.
        attempt: the attempt that it belongs to.
        tried: the keys that were offered before.
    """

    def __init__(self, wire: Wire, attempt: Attempt, tried: list[str]) -> None:
        self._wire, self._attempt, self._tried = wire, attempt, tried
        self._user = attempt.target.user
        self._secret = Secret(SecretReference(attempt.target.password), "password")
        self._prompts: list[str] = []

    def log_in(self) -> None:
        """Log in.

        Raises:
            LoginRefused: the machine refuses the password, or all passwords.
        """
        method = self._method()
        if not method:
            return
        password = self._secret.line().rstrip(b"\n")
        if not password:
            raise self._error(f"there is no password to log in to {self._target} with")
        key = _refusals.key(self._attempt, password)
        if key in _refusals:
            raise self._wrong("has refused")
        try:
            self._try(method, password)
        finally:
            self._wire.forget_password()
        if self._wire.is_authenticated():
            return
        self._check_loss(key)
        _refusals.add(key)
        if isinstance(self._wire.saved_exception, PartialAuthentication) or len(self._prompts) > 1:
            raise LoginRefused(
                f"{self._target} asks for more than a password {self._attempt.here}"
                + (f": {' '.join(map(repr, self._prompts))}" if self._prompts else ""),
                hint="use a login by key, or a user without a second factor",
            )
        raise self._wrong("refuses")

    def _check_loss(self, key: bytes) -> None:
        """Raise if the connection was lost, rather than ended by the machine's refusal."""
        if self._wire.is_active() or len(self._prompts) > 1:
            return
        lost = self._wire.get_exception()  # None if the machine said goodbye
        if lost is not None and not _refusals.is_again(key):
            why = f"it hung up at the password ({lost})"
            raise self._attempt.unreachable(why, "was it rebooted, or the network cut?")

    @property
    def _target(self) -> str:
        return str(self._attempt.target)

    def _method(self) -> str:
        """Return the method to use; empty if the machine lets the user in without."""
        accepted = self._accepted()
        if self._wire.is_authenticated():
            return ""
        for method in (_PASSWORD, _PROMPTS):
            if method in accepted:
                return method
        raise LoginRefused(
            f"{self._target} does not accept passwords of {self._user} {self._attempt.here}, "
            f"but {', '.join(accepted) or 'nothing'}"
            + (f"; it refuses {', '.join(self._tried)}" if self._tried else ""),
            hint="its sshd needs PasswordAuthentication yes or KbdInteractiveAuthentication yes, "
            "for root also PermitRootLogin yes; or give the node identity=",
        )

    def _accepted(self) -> list[str]:
        """Return the methods that the machine accepts now."""
        known = self._wire.get_exception() if self._tried else None
        if not isinstance(known, (BadAuthenticationType, PartialAuthentication)):
            self._ask(lambda done: self._wire.ask_for_methods(self._user, done))
            known = self._wire.get_exception()
        if isinstance(known, (BadAuthenticationType, PartialAuthentication)):
            return [str(method) for method in known.allowed_types]
        if not self._wire.is_active():
            raise TurnedAway(known or "")
        return []

    def _try(self, method: str, password: bytes) -> None:
        # UTF-8 is the encoding of SSH (RFC 4252, section 8); other bytes go as they are.
        if method == _PASSWORD:
            wire: Any = self._wire  # Paramiko takes bytes, too
            self._ask(lambda done: wire.auth_password(self._user, password, done))
        else:
            answers = self._answers(password)
            self._ask(lambda done: self._wire.answer_prompts(self._user, answers, done))

    def _answers(self, password: bytes) -> Callable[[list[str]], list[bytes]]:
        def answer(prompts: list[str]) -> list[bytes]:
            self._prompts += prompts
            if len(self._prompts) > 1:
                raise paramiko.SSHException("more than one prompt")
            return [password for _ in prompts]

        return answer

    def _ask(self, begin: Callable[[threading.Event], object]) -> None:
        try:
            _wait(self._wire, self._attempt, begin)
        except paramiko.SSHException as error:  # it has hung up
            self._wire.saved_exception = self._wire.saved_exception or error

    def _wrong(self, verb: str) -> LoginRefused:
        keys = f" and {', '.join(self._tried)}" if self._tried else ""
        minutes = PAUSE / 60
        return self._error(
            f"{self._target} {verb} the password of {self._user}{keys}",
            f"; it was tried once, and is not tried again within {minutes:g} minutes unless it is "
            "another one",
        )

    def _error(self, message: str, more: str = "") -> LoginRefused:
        return LoginRefused(f"{message} {self._attempt.here}", hint=self._secret.advice() + more)
