"""The components of an application, as its attributes name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

from ...errors import InvalidValue
from ...model import Content
from .assembly import Assembly, Part
from .origins import PATH, Origin

if TYPE_CHECKING:
    from .application import Application

#: The attributes that need a deployment.
NAMES = ("script", "sources", "files", "libs", "bins", "code", "build", "install")

#: The places of the parts that attributes name, in this order; see :class:`Part`.
_ORIGINS = {"sources": "src", "files": "share", "libs": "lib", "bins": "bin", "code": "code"}
_EXECUTABLE = ("bins", "code")

#: Bytes a second of a slow connection, for time limits.
_SLOW = 100_000

# Directories that one application of many has: a build that used them would not be of all.
_OWN = re.compile(r"\$\{(NODE_HOME|EXP_HOME)\}")


def _origins(app: Application) -> Iterator[tuple[str, Origin]]:
    """Yield each origin with the name of its attribute."""
    for name in _ORIGINS:
        yield from ((name, origin) for origin in _value(app, name))


def _value(app: Application, name: str) -> Any:
    """Return the value of an attribute, which a derived type may have taken out."""
    return getattr(app, name) if name in app.attributes else ""


def local_paths(app: Application) -> list[str]:
    """Return the paths of the client that an application is made of."""
    paths = [origin.text for _, origin in _origins(app) if origin.kind == PATH]
    script = _value(app, "script")
    return [*paths, script] if script else paths


def assembly(app: Application) -> Assembly:
    """Return what an application is made of."""
    contents: Mapping[str, Content] = app.contents
    parts = [
        Part.of(_ORIGINS[name], origin, contents, executable=name in _EXECUTABLE)
        for name, origin in _origins(app)
    ]
    code, script = _value(app, "code"), _value(app, "script")
    if code and len(code) == 1:
        parts[-1] = parts[-1]._replace(place="home", name="code")
    elif code == () and code.text:
        content = Content.of(code.text.encode())
        parts.append(Part.carried("home", "code", "its text", content, executable=True))
    if script:
        parts.append(Part.of("script", Origin.parse(script), contents, executable=True))
    return Assembly(
        parts,
        _value(app, "build"),
        _value(app, "install"),
        {**app.node.env, **app.env},
        sudo=app.sudo,
        timeout=app.buildTimeout,
    )


def script_command(app: Application) -> str:
    """Return the command that runs the script; empty without one."""
    if not app.script:
        return ""
    words = " ".join(map(quote, app.arguments))
    return f'exec "${{APP_HOME}}"/script/{quote(app.script.name)} {words}'.rstrip()


def seconds(app: Application) -> float:
    """Return the time that its deployment may take longer than others."""
    commands = _value(app, "build") or _value(app, "install")
    limit = 2 * app.buildTimeout if commands else 0.0
    return limit + sum(content.size for content in app.contents.values()) / _SLOW


def check(app: Application) -> None:
    """Refuse components that do not go together.

    Raises:
        InvalidValue: a build mentions directories of one application.
    """
    own = _OWN.search(app.build)
    if own is not None:
        raise InvalidValue(
            f"build mentions {own[0]}, but its result is shared by all runs on the host",
            where=app.label,
            hint="move what needs it to install or command",
        )
