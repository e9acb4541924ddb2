"""The secret scan: keys, tokens and passwords in text that is to be kept and published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_PATTERNS = {
    "a private key": re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{36,}"),
    "a token of GitLab": re.compile(r"\bgl[a-z]{2,4}-[\w-]{20,}"),
    "a token of Slack": re.compile(r"\bxox[abeoprs]-[\w-]{10,}"),
    "a key of Google": re.compile(r"\bAIza[\w-]{35}"),
    "a token of PyPI": re.compile(r"\bpypi-AgEIcHlwaS5vcmc[\w-]{20,}"),
    "a token of npm": re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"),
    "a web token (JWT)": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,99}:([^\s/@]+)@"),
    "a password": re.compile(
        r"""(?i)(?:passw(?:or)?d|secret|token|api_?key|access_?key)\w{0,20}["']?\s{0,9}[:=]\s{0,9}"""
        r"""(["'])([^"'\s]{8,200})\1"""
    ),
    "a variable with a secret": re.compile(
        r"(?i)^(?:export )?\w{0,40}(?:password|secret|token|api_?key)\w{0,20}=([^\s\"'$]{8,200})$"
    ),
}
#: Values that stand for a secret, or name the place of one.
_PLACEHOLDER = re.compile(r"[$<{%]|\.\.\.|\bexample\b|^[x*]+$|^(?:change|your|my)[-_]?\w*", re.I)
#: Characters of a line that are looked at; minified code and data have longer ones.
_LONGEST = 10_000


class Secret(NamedTuple):
    """A place that looks like a secret; the secret itself is not kept.

    Attributes:
        line: number of the line, from 1.
        kind: what it looks like, such as ``a private key``.
    """

    line: int
    kind: str


def scan(lines: Iterable[str]) -> Iterator[Secret]:
    """Yield the lines that look like a secret.

    Patterns find secrets of known forms. Text without a finding may still have one.
    """
    for number, line in enumerate(lines, 1):
        for kind, pattern in _PATTERNS.items():
            match = pattern.search(line[:_LONGEST])
            if match is None:
                continue
            value = match[match.lastindex] if match.lastindex else ""
            if not value or not _PLACEHOLDER.search(value):
                yield Secret(number, kind)
                break
