"""A reader of ssh_config(5): the options of one machine, as ssh(1) evaluates them."""

from __future__ import annotations

import getpass
import glob
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..environment import without_secrets

#: The user's file first: the first value found for an option counts.
FILES = ("~/.ssh/config", "/etc/ssh/ssh_config")
_USERS_FOLDER, _SYSTEMS_FOLDER = Path("~/.ssh"), Path("/etc/ssh")

_DEEPEST_INCLUDE = 16
_LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+|$)(.*?)\s*")
_WORD = re.compile(r"""\s*((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+)""")
_PIECE = re.compile(r"""["']|\\(["'\\ ])""")
#: Options that may be given several times.
_SEVERAL = ("identityfile", "certificatefile")
#: Options whose value is the rest of the line, for a shell.
_COMMANDS = ("proxycommand", "knownhostscommand", "localcommand", "remotecommand")
#: Of these the first that is given shuts out the other.
_RIVALS = {"proxyjump": "proxycommand", "proxycommand": "proxyjump"}
_MATCH_EXEC_SECONDS = 10.0
#: Tokens for what experiments name, and what in it a shell or ssh would not take for a plain word.
_NAMES = frozenset("hknr")
_NO_WORD = re.compile(r"[\s\x00-\x1f\x7f'\"`$\\;&<>|(){}*?!#~]|^-|^$")


def read(file: str, host: str, command_line: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the options of a host: words by option, in lower case.

    Args:
        file: the only file to read, as with ``ssh -F``; those of ssh(1) if empty.
        host: the machine as it was named.
        command_line: what is decided already, as by ssh's command line.

    Raises:
        ValueError: a file says what cannot be understood.
        OSError: a file cannot be read, or ``file`` is not there.
    """
    reader = _Reader(host, command_line)
    reader.read(file)
    if reader.wants_final:
        reader.final = True
        reader.read(file)
    return reader.options


def words(text: str) -> list[str]:
    """Split a line as ssh does: quotes and backslashes protect, a word with ``#`` begins a comment.

    Raises:
        ValueError: a quote that does not end.
    """
    result, at = [], 0
    while text[at:].strip():
        match = _WORD.match(text, at)
        if match is None:
            raise ValueError(f"a quote does not end: {text.strip()}")
        if match[1].startswith("#"):
            break
        result.append(_unquoted(match[1]))
        at = match.end()
    return result


def _unquoted(word: str) -> str:
    return _PIECE.sub(lambda piece: piece[1] or "", word)


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """Replace ``%`` and a letter by what it stands for.

    Raises:
        ValueError: a letter that stands for nothing here.
    """

    def meaning(match: re.Match[str]) -> str:
        if match[1] not in tokens:
            raise ValueError(f"%{match[1]} in {text!r} is not supported")
        return tokens[match[1]]

    return re.sub(r"%(.?)", meaning, text)


def expand_for_shell(text: str, tokens: Mapping[str, str]) -> str:
    """Expand a command; refuse what a shell would take for more than a word.

    Names of machines and users come from experiments, the command from the operator of the worker.

    Raises:
        ValueError: a token stands for such text, or for nothing here.
    """
    for letter in re.findall(r"%(.?)", text):
        value = tokens.get(letter, "")
        if letter in _NAMES and _NO_WORD.search(value):
            raise ValueError(f"{value!r} has characters that must not go into {text!r}")
    return expand(text, tokens)


def matches(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a text matches one of the patterns and none of those that begin with ``!``.

    Patterns have ``*`` and ``?`` and nothing else (ssh_config(5), PATTERNS).
    """
    hit = False
    for pattern in patterns:
        if _fits(text, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _fits(text: str, pattern: str) -> bool:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, text, re.DOTALL) is not None


class _Misread(ValueError):
    """An error with its file and line."""


class _Reader:
    """A reader that goes through the files once, or twice if a ``Match final`` requires it."""

    def __init__(self, host: str, command_line: Mapping[str, str]) -> None:
        self._host = host
        self.options = {option: [value] for option, value in command_line.items() if value}
        self.final = self.wants_final = False

    def read(self, file: str) -> None:
        if file:
            self._file(Path(file).expanduser(), _USERS_FOLDER.expanduser(), 0, True)
            return
        for name, folder in zip(FILES, (_USERS_FOLDER, _SYSTEMS_FOLDER), strict=True):
            path = Path(name).expanduser()
            if path.is_file():
                self._file(path, folder.expanduser(), 0, True)

    def _file(self, path: Path, folder: Path, depth: int, live: bool) -> None:
        """Read a file. Not ``live``: it is included where nothing applies, so nothing here does."""
        applies = live
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                match = _LINE.fullmatch(line)
                if match is None:
                    raise ValueError(f"no option: {line.strip()}")
                option, rest = match[1].lower(), match[2]
                if option == "host":
                    applies = live and matches(self._host, words(rest))
                elif option == "match":
                    applies = live and self._matches(words(rest))
                elif option == "include":
                    self._include(words(rest), folder, depth, applies)
                elif applies:
                    self._take(option, rest)
            except _Misread:
                raise
            except ValueError as error:
                raise _Misread(f"{path}, line {number}: {error}") from error

    def _include(self, patterns: list[str], folder: Path, depth: int, live: bool) -> None:
        if depth >= _DEEPEST_INCLUDE:
            raise ValueError(f"Include goes deeper than {_DEEPEST_INCLUDE} files")
        for pattern in patterns:
            names = str(folder / Path(pattern).expanduser())
            for name in sorted(glob.glob(names)):  # noqa: PTH207 - it is absolute
                if Path(name).is_file():
                    self._file(Path(name), folder, depth + 1, live)

    def _take(self, option: str, rest: str) -> None:
        values = [rest] if option in _COMMANDS else words(rest)
        if not values:
            raise ValueError(f"{option} without a value")
        if option in _SEVERAL:
            earlier = self.options.setdefault(option, [])
            earlier.extend(word for word in values[:1] if word not in earlier)
        elif _RIVALS.get(option) not in self.options:
            self.options.setdefault(option, values)

    # -- Match --------------------------------------------------------------------------------

    def _matches(self, criteria: list[str]) -> bool:
        rest = iter(criteria)
        result = True
        for word in rest:
            criterion = word.lower().removeprefix("!")
            if criterion in {"canonical", "final"}:
                self.wants_final |= criterion == "final"
                holds = self.final
            elif criterion == "all":
                holds = True
            else:
                value = next(rest, None)
                if value is None:
                    raise ValueError(f"Match {criterion} without a value")
                holds = result and self._holds(criterion, value)
            result = result and holds != word.startswith("!")
        return result

    def _holds(self, criterion: str, value: str) -> bool:
        patterns = value.split(",")
        if criterion == "host":
            lowered = [pattern.lower() for pattern in patterns]
            return matches(self.tokens()["h"], lowered)
        if criterion == "originalhost":
            return matches(self._host, patterns)
        if criterion == "user":
            return matches(self.tokens()["r"], patterns)
        if criterion == "localuser":
            return matches(self.tokens()["u"], patterns)
        if criterion == "exec":
            return _succeeds(expand_for_shell(value, self.tokens()))
        raise ValueError(f"Match {criterion} is not supported")

    def tokens(self) -> dict[str, str]:
        return tokens(self._host, self.options)


def tokens(host: str, options: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the meanings of ``%`` and a letter (ssh_config(5), TOKENS) for a machine.

    Raises:
        ValueError: HostName has a token that it may not have.
    """
    here = os.uname().nodename
    user = getpass.getuser()
    name = expand(options.get("hostname", [host])[0], {"%": "%", "h": host})
    return {
        "%": "%",
        "d": str(Path.home()),
        "h": name.lower(),
        "i": str(os.getuid()),
        "k": options.get("hostkeyalias", [name])[0],
        "L": here.partition(".")[0],
        "l": here,
        "n": host,
        "p": options.get("port", ["22"])[0],
        "r": options.get("user", [user])[0],
        "u": user,
    }


def _succeeds(command: str) -> bool:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=without_secrets(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MATCH_EXEC_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"Match exec {command!r} takes too long") from error
    return done.returncode == 0
