"""Knowledge of a host that a worker process keeps: its facts, and programs that it has."""

from __future__ import annotations

import threading
import weakref
from shlex import quote

from ...controller.errors.text import one_line
from ...controller.model.facts import Facts
from ...controller.model.host import SUPERUSER_PATH
from ..sessions.answers import misunderstood
from ..sessions.session import Completed, Session
from . import facts as facts_of_host
from .attempt import Attempt

_facts: weakref.WeakKeyDictionary[Session, Facts] = weakref.WeakKeyDictionary()
_programs: weakref.WeakKeyDictionary[Session, set[str]] = weakref.WeakKeyDictionary()
_versions: weakref.WeakKeyDictionary[Session, dict[str, str]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()

_LONGEST_VERSION = 1000


class HostKnowledge:
    """The knowledge of one host, which all steps over the same session share.

    Args:
        attempt: the attempt of a step, over whose session it is completed.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def facts(self) -> Facts:
        """The facts of the host, as of the last deployment of a node over this session."""
        with _lock:
            facts = _facts.get(self._attempt.session)
        if facts is None:
            done = self._attempt.execute(facts_of_host.CLOCK + self.script)
            facts = self.learn(done, done.stdout)
        return facts

    @property
    def is_roots(self) -> bool:
        """True if the login user is known to be root, who needs no sudo; makes no request."""
        with _lock:
            facts = _facts.get(self._attempt.session)
        return facts is not None and facts.user == "root"

    @property
    def script(self) -> str:
        """The script that prints the facts."""
        return facts_of_host.script(self._attempt.layout.base)

    def learn(self, done: Completed, output: bytes) -> Facts:
        """Return the facts that the script has printed, and keep them.

        Args:
            done: the request that ran it.
            output: what it printed.

        Raises:
            AnswerError: the output has no facts.
        """
        attempt = self._attempt
        try:
            facts = facts_of_host.parse(
                done,
                output.decode("utf-8", "replace"),
                host_key=attempt.session.host_key,
                ahead=attempt.ahead,
            )
        except ValueError as error:
            raise misunderstood(output, attempt.where) from error
        with _lock:
            _facts[attempt.session] = facts
        return facts

    def lacks(self, program: str) -> bool:
        """Return whether the host has no such program; see :meth:`Host.lacks`."""
        with _lock:
            present = _programs.setdefault(self._attempt.session, set())
        if program not in present:
            if self._attempt.execute(_search(program)).code:
                return True
            present.add(program)
        return False

    def version(self, program: str, option: str) -> str | None:
        """Return the line with the version of a program; see :meth:`Host.version`."""
        with _lock:
            known = _versions.setdefault(self._attempt.session, {})
        if program not in known:
            done = self._attempt.execute(
                f"{_search(program)} || exit; echo; export LC_ALL=C; "
                f"{quote(program)} {quote(option)} 2>&1 </dev/null | head -c {_LONGEST_VERSION}; :"
            )
            if done.code:
                return None
            with _lock:
                _programs.setdefault(self._attempt.session, set()).add(program)
            lines = done.stdout.decode("utf-8", "replace").splitlines()
            known[program] = next((one_line(line) for line in lines if line.strip()), "")
        return known[program]


def _search(program: str) -> str:
    """Return commands that end with 0 if the host has a program."""
    # bash finds files that cannot be executed, too; a builtin of the shell has no path.
    return (
        f'PATH="$PATH:{SUPERUSER_PATH}"; found=$(command -v {quote(program)}) && '
        'case $found in /*) [ -x "$found" ] ;; esac'
    )
