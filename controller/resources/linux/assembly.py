"""The assembly of an application on its host: its parts, a build that is done once, an install.

``assembly.sh`` does it, in one request if the host has everything already. Otherwise its answer
says what is left to do: contents to carry, files to fetch, a build. One step of a host does that,
and the others return Later meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from shlex import quote
from typing import NamedTuple

from ...errors import DeadlineError, HostError
from ...model import Content, Context, Later
from ...model.contents import INLINE
from ...model.durations import Backoff
from . import flights
from .compiler_output import first_errors
from .origins import GIT, PATH, Origin
from .tags import resolve

#: The places of parts, by the name of the path variable: of all applications of the login user.
SHARED = {"SRC": "src", "SHARE": "share", "LIB": "lib", "BIN": "bin"}

# Seconds until a host is asked again that another worker is busy on, by number of the round.
_BUSY = Backoff(0.25, 5.0, 1.5)
_ROUNDS = 50  # of one step in a row
_TREE = "tree"


class Part(NamedTuple):
    """One part of an application.

    Attributes:
        place: ``src``, ``share``, ``lib`` or ``bin``, or a place of the application alone:
            ``home`` (APP_HOME), ``code`` and ``script`` (directories in it).
        name: its name there.
        mode: its permissions in octal digits, or ``tree`` for a directory.
        text: its origin, as it was written.
        how: ``inline`` or ``content``, from the client; ``url``, ``sum`` (a URL with checksum) or
            ``git``, fetched by the host.
        key: the name of its content on the host; of a URL without checksum that of its record.
        address: what the host fetches; empty otherwise.
        digest: of that the checksum or commit; may be empty.
        content: a content of the client; None otherwise.
    """

    place: str
    name: str
    mode: str
    text: str
    how: str
    key: str
    address: str = ""
    digest: str = ""
    content: Content | None = None

    @classmethod
    def of(
        cls, place: str, origin: Origin, contents: Mapping[str, Content], *, executable: bool
    ) -> Part:
        """Return the part that an origin stands for."""
        name, text = origin.name, origin.text
        if origin.kind == PATH:
            # In a plan nothing has been read; a host would lack it.
            content = contents.get(text) or Content("0" * 64, INLINE + 1)
            return cls.carried(place, name, text, content, executable=executable)
        if origin.kind == GIT:
            mode, how, key = _TREE, "git", origin.key
        else:
            mode = "755" if executable else "644"
            how, key = ("sum", origin.digest) if origin.digest else ("url", origin.key)
        return cls(place, name, mode, text, how, key, origin.address, origin.digest)

    @classmethod
    def carried(
        cls, place: str, name: str, text: str, content: Content, *, executable: bool
    ) -> Part:
        """Return the part that is a content of the client."""
        mode = f"{content.mode | 0o600 | (0o111 if executable else 0):o}"
        mode = _TREE if content.kind == _TREE else mode
        how = "inline" if content.inline else "content"
        return cls(place, name, mode, text, how, content.sha256, content=content)

    @property
    def is_fetched(self) -> bool:
        """True if the host itself fetches it."""
        return self.content is None

    def call(self) -> str:
        """Return it as a call in ``assembly.sh``."""
        data = self.address if self.content is None else self.content.data
        words = (self.place, self.name, self.how, self.key, self.mode, data, self.digest or "-")
        return f"part {' '.join(map(quote, (*words, self.text)))}"

    def description(self) -> str:
        """Return it in words, for plans."""
        names = {place: f"${{{tag}}}/{self.name}" for tag, place in SHARED.items()}
        own = {
            "home": "${APP_HOME}/" + self.name,
            "code": "${CODE}/" + self.name,
            "script": f"${{APP_HOME}}/script/{self.name}",
        }
        return f"{self.text} -> {names.get(self.place) or own[self.place]}"


@dataclass(frozen=True)
class Assembly:
    """What an application is made of.

    Attributes:
        parts: its parts.
        build: command that is run once for all applications of the same content; may be empty.
        install: command that is run for this one; may be empty.
        env: variables of both.
        sudo: run ``install`` as root.
        timeout: seconds for each of the two.
    """

    parts: Sequence[Part] = ()
    build: str = ""
    install: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    sudo: bool = False
    timeout: float = 3600.0

    def __bool__(self) -> bool:
        """Return False if there is nothing to put together."""
        return bool(self.parts or self.build or self.install)

    @property
    def key(self) -> str:
        """The key of the build: SHA-256 of all that it is made from; empty without a build."""
        if not self.build:
            return ""
        parts = [(part.place, part.name, part.mode, part.key) for part in self.parts]
        made_from = [self.build, sorted(self.env.items()), parts]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()

    def outline(self) -> Iterator[str]:
        """Yield what it does, a line each."""
        for part in self.parts:
            verb = "fetch" if part.is_fetched else "carry"
            yield f"{verb} {part.description()}"
        for title, command in (("build once a host", self.build), ("install", self.install)):
            for line in command.splitlines():
                yield f"{title}: {line}"

    def put_together(self, context: Context, announced: str) -> Round:
        """Do the next round of it.

        Args:
            context: access to the host.
            announced: the activity that the last round has returned.

        Raises:
            HostError: something cannot be carried, fetched, built or installed.
        """
        pause = Later(_BUSY.pause(context.attempt))
        for _ in range(_ROUNDS):
            wait = flights.under_way(context, self._keys())
            if wait is not None:
                return Round(
                    wait.later, f"waits until another application is done with {wait.what}"
                )
            verb, *names = self._ask(context, "look")
            if verb == "done":
                return Round(None, "")
            if verb == "busy":
                return Round(pause, "waits until another application is done with the same")
            activity = self._activity(verb, names)
            if announced != activity:
                # A record is written between rounds only, and this one takes long.
                return Round(Later(0), activity)
            context.log.info("%s", activity)
            if not self._do(context, verb, names, activity):
                return Round(pause, "waits until another worker is done with the same")
        return Round(pause, "")

    def put_together_again(self, context: Context) -> None:
        """Do it for a further start, which has another run directory, without the install.

        Raises:
            HostError: the host has something of it no more.
        """
        verb, *_ = self._ask(context, "look", installs=False)
        if verb != "done":
            raise HostError(
                "the host has parts of the application no more: its caches were removed",
                hint="register it again, and deploy that",
            )

    def _keys(self) -> list[str]:
        return [*(part.key for part in self.parts), *([self.key] if self.build else [])]

    def _activity(self, verb: str, names: Sequence[str]) -> str:
        """Return what this step is about to do."""
        if verb == "content":
            texts = [part.text for part in self.parts if part.content and part.key in names]
            return f"carries {_some(texts)}"
        if verb == "fetch":
            return f"fetches {_some([part.text for part in self.parts if part.is_fetched])}"
        return f"{verb}s: {_first_line(self.build if verb == 'build' else self.install)}"

    def _do(self, context: Context, verb: str, names: Sequence[str], activity: str) -> bool:
        """Do what is left to do; return False if another worker is at it."""
        if verb == "content":
            contents = {part.key: part.content for part in self.parts if part.content is not None}
            return all(self._carry(context, contents[name], activity) for name in names)
        if verb == "install":
            return self._ask(context, "install_once")[0] == "done"
        fetched = [part.key for part in self.parts if part.is_fetched]
        keys = fetched if verb == "fetch" else [self.key]
        with flights.flight([flights.key(context, key) for key in keys], activity) as mine:
            return not mine or self._ask(context, _VERBS[verb])[0] == "done"

    def _carry(self, context: Context, content: Content, activity: str) -> bool:
        with flights.flight([flights.key(context, content.sha256)], activity) as mine:
            return not mine or context.host.keep(content) is not None

    def _ask(self, context: Context, verb: str, *, installs: bool = True) -> list[str]:
        """Have the host do one part of the work; return the words of its answer."""
        limited = verb in ("build_once", "install_once")
        try:
            result = context.host.run(
                self._command(),
                stdin=self._script(context, verb, installs=installs).encode(),
                timeout=self.timeout if limited else None,
                sudo=self.sudo and verb == "install_once",
            )
        except DeadlineError as error:
            if not limited or context.deadline.expired:
                raise
            self._ask(context, "abandon")
            what = verb.removesuffix("_once")
            raise HostError(
                f"{what} did not end within {self.timeout:g} s",
                hint=f"set a greater buildTimeout; trace {what}_stdout has its output",
            ) from error
        head, _, rest = result.text.partition("\n")
        words = head.split() or ["done"]  # a simulated host answers nothing
        if words[0] == "failed":
            raise _failure(words[1], words[2], rest)
        return words[1:] if words[0] == "todo" else words

    def _command(self) -> str:
        """Return the command that runs the script, which comes by standard input."""
        return "".join(f"# {line}\n" for line in self.outline()) + 'eval "$(cat)"'

    def _script(self, context: Context, verb: str, *, installs: bool) -> str:
        base, run = context.run_dir.rsplit("/", 4)[:2]
        head = {
            "usr": f"{base}/.usr",
            "dir": context.run_dir,
            "run": run,
            "key": self.key,
            "installs": "1" if self.install and installs else "0",
        }
        lines = [f"{name}={quote(value)}" for name, value in head.items()]
        lines += ["parts() {", *(f"    {part.call()}" for part in self.parts), "    :", "}"]
        for name, command in (("build", self.build), ("install", self.install)):
            text, env = resolve(command, self.env)
            lines += [f"{name}() {{", *(f"    export {k}={quote(v)}" for k, v in env.items())]
            lines += [f"    exec sh -c {quote(text)}", "}"]
        return "\n".join([*lines, _assembly(), verb, ""])


class Round(NamedTuple):
    """The outcome of a round.

    Attributes:
        later: when to do the next one; None if the application is put together.
        activity: what it does then or waits for, for people.
    """

    later: Later | None
    activity: str


_VERBS = {"fetch": "fetch", "build": "build_once"}


def _failure(what: str, code: str, text: str) -> HostError:
    if what == "here":
        return HostError(text, hint="trace deploy_stderr has what the host's programs reported")
    return HostError(
        f"cannot {what} (exit code {code}): {first_errors(text) or 'no message'}",
        hint=f"trace {what}_stderr has all messages, {what}_stdout the other output",
    )


def _some(texts: Sequence[str]) -> str:
    unique = list(dict.fromkeys(texts))
    return f"{unique[0]} and {len(unique) - 1} more" if len(unique) > 1 else "".join(unique)


def _first_line(command: str) -> str:
    line = next((line.strip() for line in command.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else f"{line[:77]}..."


@cache
def _assembly() -> str:
    return resources.files(__package__).joinpath("assembly.sh").read_text("utf-8")
