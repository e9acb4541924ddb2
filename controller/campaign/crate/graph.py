"""The metadata of a crate: its graph of entities, by the profile Process Run Crate.

Source: RO-Crate 1.1 to 1.3, Process Run Crate 0.5.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors.text import one_line
from ...model.parameters import OF_RUNS
from ...reports.words import plural
from ..extras import library
from ..file_store import FileStore
from ..row import FINISHED, Row
from ..space.points import canonical
from . import layout
from .content import Content, moment
from .terms import Author, Terms

VERSIONS = ("1.1", "1.2", "1.3")
"""The versions of RO-Crate that can be written."""

MOST_ACTIONS = 1000
"""Actions of a crate: one for each run, else for each point, else one for all runs."""

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_DONE = "http://schema.org/CompletedActionStatus"
_FAILED = "http://schema.org/FailedActionStatus"


@dataclass
class _Group:
    """Runs that one action stands for."""

    row: Row
    runs: int = 0
    unfinished: int = 0
    began: float | None = None
    ended: float | None = None
    error: str = ""

    def add(self, row: Row) -> None:
        """Add a run."""
        self.runs += 1
        if row.outcome != FINISHED:
            self.unfinished += 1
            self.error = self.error or row.error or row.cause or row.outcome
        if row.began is not None:
            self.began = row.began if self.began is None else min(self.began, row.began)
        if row.ended is not None:
            self.ended = row.ended if self.ended is None else max(self.ended, row.ended)


class Graph:
    """The entities of a crate.

    Args:
        content: the campaign.
        folder: the folder of the crate, with its other files.
        store: the collected files in it; None for none.
        terms: its license and author.
        version: of RO-Crate.

    Raises:
        CampaignError: rocrate is not installed.
    """

    def __init__(
        self, content: Content, folder: Path, store: FileStore | None, terms: Terms, version: str
    ) -> None:
        rocrate, model = library("rocrate.rocrate", "crate"), library("rocrate.model", "crate")
        self._content = content
        self._folder = folder
        self._store = store
        self._entity = model.ContextEntity
        self._crate = rocrate.ROCrate(version=version)
        self._version = version
        self._root(terms)
        self._agent = self._author(terms)
        self._instrument = self._tool()
        parts = [name for name in content.files if (folder / name).exists()]
        self._files = {name: self._file(name) for name in parts}
        if store is not None:
            self._files[layout.RESULTS] = self._collected(store)

    def write(self) -> None:
        """Write the metadata into the folder."""
        self._crate.metadata.write(self._folder)

    def add_actions(self) -> None:
        """Add the actions: one for each run, each point, or all of them."""
        mentions = [self._action(key, group) for key, group in self._groups()]
        if mentions:
            self._crate.root_dataset["mentions"] = mentions

    # -- inside -------------------------------------------------------------------------------

    def _add(self, identifier: str, kind: Any, **properties: Any) -> Any:
        given = {"@type": kind, **properties}
        return self._crate.add(self._entity(self._crate, identifier, properties=given))

    def _root(self, terms: Terms) -> None:
        content, root = self._content, self._crate.root_dataset
        record = content.record
        self._crate.metadata["name"] = "Metadata of this crate"
        root["name"] = f"Campaign {content.name}"
        root["description"] = (
            f"{record.done} of {record.total} runs of the network experiment {content.exp_id}, "
            "carried out by nepiq"
        )
        root["license"] = self._add(
            terms.license.url,
            "CreativeWork",
            name=terms.license.name,
            description="License of this crate",
        )
        root["conformsTo"] = self._add(
            _PROFILE, ["CreativeWork", "Profile"], name="Process Run Crate", version="0.5"
        )

    def _author(self, terms: Terms) -> Any:
        """Add the author and the publisher; return the author."""
        root = self._crate.root_dataset
        author = terms.author or Author(self._content.provenance.user or "unknown")
        person = self._add(author.orcid or "#author", "Person", name=author.name)
        root["author"] = person
        known = [person]
        if terms.organization is not None:
            name, url = terms.organization
            given = {"name": name, "url": url} if url else {"name": name}
            publisher = self._add(url or "#organization", "Organization", **given)
            root["publisher"] = person["affiliation"] = publisher
            known.append(publisher)
        if author.email:
            given = {"name": author.name, "email": author.email, "contactType": "author"}
            contact = self._add(f"mailto:{author.email}", "ContactPoint", **given)
            for entity in known:
                entity["contactPoint"] = contact
        return person

    def _tool(self) -> Any:
        version = self._content.provenance.versions.get("nepiq") or "unknown"
        url = "https://pypi.org/project/nepiq/"
        return self._add(url, "SoftwareApplication", name="nepiq", version=version, url=url)

    def _file(self, name: str) -> Any:
        title, description, kind = self._content.files[name]
        content = (self._folder / name).read_bytes()
        return self._add_file(
            name,
            hashlib.sha256(content).hexdigest(),
            name=title,
            description=description,
            encodingFormat=kind,
            contentSize=str(len(content)),
        )

    def _add_file(self, path: str, sha256: str, **properties: Any) -> Any:
        if self._version != "1.1":  # which does not have the term
            properties["sha256"] = sha256
        return self._crate.add_file(dest_path=path, properties=properties)

    def _collected(self, store: FileStore) -> Any:
        """Add the file store; its contents are added with the runs that have them."""
        folder = self._crate.add_dataset(
            dest_path=layout.RESULTS,
            properties={
                "name": "Collected files",
                "description": f"Files of {plural(len(store.runs()), 'run')}, each content once",
            },
        )
        folder["hasPart"] = [self._files[layout.FILES]]
        return folder

    def _files_of(self, run_id: str) -> Iterator[Any]:
        """Yield the files of a run, adding those that no earlier run has."""
        for file in self._store.files(run_id) if self._store else ():
            if not file.sha256:
                continue
            path = f"{layout.RESULTS}/files/{file.sha256[:2]}/{file.sha256}"
            known = self._crate.get(path)
            if known is None:
                known = self._add_file(
                    path,
                    file.sha256,
                    name=f"{file.label}/{file.name}",
                    description=f"{file.name} of {file.label} in run {run_id}",
                    encodingFormat=_media_type(file.name),
                    contentSize=str(file.bytes),
                )
                self._files[layout.RESULTS].append_to("hasPart", known)
            yield known

    def _groups(self) -> Iterator[tuple[str, _Group]]:
        count = len(self._content.table)
        points = sum(map(len, self._content.plan.spaces))
        groups: dict[str, _Group] = {}
        for row in self._content.rows():
            key = "runs"
            if count <= MOST_ACTIONS:
                key = f"run-{row.repetition}-{row.point}"
            elif points <= MOST_ACTIONS:
                key = f"point-{row.point}"
            groups.setdefault(key, _Group(row)).add(row)
        yield from groups.items()

    def _action(self, key: str, group: _Group) -> Any:
        row, is_run = group.row, key.startswith("run-")
        values = {} if key == "runs" else dict(row.parameters)
        if is_run:
            values.update(zip(OF_RUNS, (row.seed, row.repetition), strict=True))
        shown = one_line(", ".join(f"{name}={value}" for name, value in values.items()), 200)
        title = f"Run {row.run_id}" if is_run else f"{group.runs} runs"
        properties: dict[str, Any] = {
            "name": f"{title}: {shown}" if shown else title,
            "description": _outcome(group, row if is_run else None),
            "instrument": self._instrument,
            "agent": self._agent,
            "object": [
                self._files[layout.CAMPAIGN],
                *(self._value(name, value) for name, value in values.items()),
            ],
            "result": self._results(row.run_id if is_run else ""),
            "endTime": moment(group.ended or self._content.record.created),
            "actionStatus": _FAILED if group.unfinished == group.runs else _DONE,
        }
        if group.began is not None:
            properties["startTime"] = moment(group.began)
        if group.unfinished == group.runs:
            properties["error"] = group.error
        return self._add(f"#{key}", "CreateAction", **properties)

    def _results(self, run_id: str) -> list[Any]:
        """Return the results of a run, or of several."""
        names = [layout.TABLE, layout.PARQUET, *([] if run_id else [layout.RESULTS])]
        known = [self._files[name] for name in names if name in self._files]
        return [*known, *(self._files_of(run_id) if run_id else ())]

    def _value(self, name: str, value: Any) -> Any:
        text = value if isinstance(value, int | float | str | bool) else canonical(value)
        digest = hashlib.sha256(canonical(value).encode()).hexdigest()[:12]
        identifier = f"#parameter-{name}-{digest}"
        known = self._crate.get(identifier)
        return known or self._add(identifier, "PropertyValue", name=name, value=text)


def _media_type(name: str) -> str:
    known = "text/plain" if name in ("stdout", "stderr") else mimetypes.guess_type(name)[0]
    return known or "application/octet-stream"


def _outcome(group: _Group, row: Row | None) -> str:
    """Return the outcome of runs as a sentence."""
    if row is None:
        return f"{group.runs - group.unfinished} of {group.runs} runs finished"
    metrics = ", ".join(f"{name}={value}" for name, value in row.metrics.items())
    return one_line(f"{row.outcome}; {metrics}" if metrics else row.outcome, 300)
