"""Writer of crates."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ...description.files import yaml_format
from ...errors import CampaignError, FileMissing, InvalidValue
from ...errors.text import quoted
from ..file_store import LOCK, FileStore
from ..provenance.secret_scan import scan
from . import layout
from .artifact import ShortRun
from .content import Content, functions_of
from .graph import VERSIONS, Graph
from .readme import readme
from .terms import Terms

_ENTRY = re.compile(r"[\s-]*(\w+): (\S+)")
#: A place of a secret, not the secret; see SecretReference.
_REFERENCE = re.compile("(env|file):")


def write(
    content: Content,
    path: str | Path,
    terms: Terms,
    version: str = "1.2",
    reviewed: Collection[str] = (),
    *,
    artifact: bool = False,
) -> Path:
    """Write a crate; it is at its path once it is complete.

    Args:
        content: the campaign.
        path: the folder of the crate, which must not exist.
        terms: its license and author.
        version: of RO-Crate, one of :data:`VERSIONS`.
        reviewed: files of the crate in which what looks like a secret is none.
        artifact: add a short run with its expected figures, and a license file.

    Returns:
        The folder.

    Raises:
        InvalidValue: the version is unknown.
        CampaignError: the folder exists, no run has ended, the description has what looks like a
            secret, an artifact cannot be repeated, or rocrate is not installed.
        FileMissing: the folder cannot be written.
    """
    if version not in VERSIONS:
        raise InvalidValue(
            f"version {quoted(version)} of RO-Crate cannot be written",
            hint="choose " + ", ".join(VERSIONS),
        )
    functions = functions_of(content.plan)
    if artifact and functions:
        raise CampaignError(
            f"an artifact needs functions of the script: {', '.join(functions)}",
            where=content.name,
            hint="use metrics that workers read, or export a crate, which cannot be repeated",
        )
    if artifact and content.plan.build and not content.code:
        raise CampaignError(
            f"an artifact needs the module of {content.plan.build}",
            where=content.name,
            hint="export it where the campaign was submitted; packages are not put into crates",
        )
    if not len(content.table):
        raise CampaignError("no run has ended yet", where=content.name)
    with _complete(Path(path)) as folder:
        _write_campaign(content, folder, reviewed)
        _write_code(content, folder, reviewed)
        content.table.to_csv(folder / layout.TABLE)
        if find_spec("pyarrow"):
            content.table.to_parquet(folder / layout.PARQUET)
        _write_provenance(content, folder)
        store = _bring(content, folder / layout.RESULTS)
        short = ShortRun.of(content) if artifact else None
        if short is not None:
            short.write_figures(folder / layout.EXPECTED)
            _put(folder / layout.LICENSE, "\n".join((*terms.license, "")))
        _put(folder / layout.README, readme(content, terms.license, folder, short))
        graph = Graph(content, folder, store, terms, version)
        graph.add_actions()
        graph.write()
    return Path(path)


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """Yield a new folder, which gets its path once it is complete."""
    if path.exists():
        raise CampaignError(f"{str(path)!r} exists already", hint="choose another folder")
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        try:
            part.mkdir(parents=True)
            yield part
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise FileMissing(
            f"cannot write {str(path)!r}: {error.strerror or error}",
            hint="choose a writable directory with enough space",
        ) from error


def _write_campaign(content: Content, folder: Path, reviewed: Collection[str]) -> None:
    document = layout.document_of(content.exp_id, content.template, content.plan)
    text = yaml_format.dump(document)
    if layout.CAMPAIGN not in reviewed:
        _refuse_secrets("the description", text, content.name, layout.CAMPAIGN)
    _put(folder / layout.CAMPAIGN, text)


def _write_code(content: Content, folder: Path, reviewed: Collection[str]) -> None:
    for name, text in content.code.items():
        if name not in reviewed:
            _refuse_secrets("the module", text, content.name, name)
        (folder / name).parent.mkdir(exist_ok=True)
        _put(folder / name, text)


def _refuse_secrets(what: str, text: str, campaign: str, name: str) -> None:
    for secret in scan(map(_as_variable, text.splitlines())):
        raise CampaignError(
            f"{what} has what looks like {secret.kind}, and would be published",
            where=f"{campaign}, line {secret.line} of {name}",
            hint=f"if it is not a secret, name the file: --reviewed {name}",
        )


def _as_variable(line: str) -> str:
    """Return a line of YAML in a form that the scan knows: ``name=value``."""
    entry = _ENTRY.fullmatch(line)
    if entry is None:
        return line.strip()
    return "" if _REFERENCE.match(entry[2]) else f"{entry[1]}={entry[2]}"


def _write_provenance(content: Content, folder: Path) -> None:
    data = content.provenance.to_data()
    diff = (data["tree"] or {}).pop("diff", "")
    if diff:
        (folder / layout.DIFF).write_bytes(diff.encode("utf-8", "surrogateescape"))
    data["campaign"] = content.name
    data["hosts"] = [vars(host) for host in content.hosts]
    # Names of files may be no UTF-8.
    _put(folder / layout.PROVENANCE, json.dumps(data, indent=1) + "\n")


def _bring(content: Content, folder: Path) -> FileStore | None:
    if content.bring is None:
        return None
    store = content.bring(folder)
    (folder / LOCK).unlink(missing_ok=True)
    return store


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
