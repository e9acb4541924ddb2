"""The part of an experiment's face that moves bytes: traces, files, logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..description.roster import Target, Targets
from ..engine.redis_errors import contact
from ..model.traces import TraceAttr
from .describing import Describing

if TYPE_CHECKING:
    from ..engine.transfer.listing import RunFile
    from .logs import LogLine


log = logging.getLogger("nepiq.experiment")


class Exchanging(Describing):
    """What scripts call to bring files to hosts, and outputs from them."""

    def trace(
        self,
        guid: Target,
        name: str,
        attr: TraceAttr | str = TraceAttr.ALL,
        block: int = 512,
        offset: int = 0,
        text: bool = True,
    ) -> Any:
        """An output of a resource: a declared trace, or any file in its run directory.

        Args:
            guid: the resource.
            name: the trace, or a path relative to the run directory.
            attr: ALL for the whole content, STREAM for one block of it, SIZE for its length in
                bytes, PATH for where it is on the host.
            block: bytes in a block.
            offset: which block, counted from 0.
            text: decode it as UTF-8; else bytes are returned.

        Raises:
            TraceNotFound: there is no such trace or file; the message lists what there is.
        """
        from ..engine.transfer.outputs import Outputs

        known = self.find(guid)
        with contact():
            return Outputs(self._live.required(known).run).trace(
                known, name, TraceAttr(attr), block=block, offset=offset, text=text
            )

    def upload(self, guids: Targets, source: str | Path, path: str = "") -> None:
        """Bring files of this machine to the hosts of resources, before they start or later.

        Args:
            guids: the resources, nodes or applications; their hosts must be deployed.
            source: a file; a directory, with all that is in it; or a pattern, as ``conf/*.txt``.
                Permissions go with them, and the times of what is in a directory. Links in it
                stay links; those that lead out of it, FIFOs and the like are left out, which is
                logged.
            path: where to: relative to each resource's run directory, or absolute. The name of
                the file or directory by default. What matches a pattern goes into the directory
                ``path``, by default the run directory itself, under its name from the first
                wildcard on. What a directory has already is added to.

        Raises:
            FileMissing: this machine cannot read it, or nothing matches the pattern.
            InvalidValue: it is a FIFO, a socket or a device.
            NotAllowed: the host of a resource is not deployed.
            HostError: a host cannot keep it, or it was changed on the way.
            UploadFailed: some of several did not get it; ``done`` and ``failed`` say who.
        """
        from .files import upload

        wanted = self._resolve(guids)
        if not wanted:
            return
        runs = [self._live.required(guid).run for guid in wanted]
        with contact():
            _complain(str(source), upload(runs[0], wanted, source, path))

    def download(self, guid: Target, name: str, path: str | Path) -> Path:
        """Bring outputs of a resource, of any size, to this machine.

        Args:
            guid: the resource.
            name: a trace, or a path relative to the run directory: of a file; of a directory,
                with all that is in it (``.`` for the run directory); or a pattern, as
                ``logs/*.log``. What a directory holds keeps its permissions and times. Links in
                it stay links; those that lead out of it, FIFOs and the like are left out, which
                is logged.
            path: the file or directory to write, or a directory to write it into. What matches a
                pattern goes into the directory ``path``, which is made, under its name from the
                first wildcard on. What a directory has already is added to. What a call for a
                file has left beside it when it was broken off is gone on with.

        Returns:
            The file or directory; for a pattern, the directory that has what matches.

        Raises:
            TraceNotFound: there is no such trace or file; the message lists what there is.
            FileMissing: this machine cannot write it.
            HostError: it was changed while it was read, or nobody sends it.
        """
        from .files import download

        known = self.find(guid)
        with contact():
            found = download(self._live.required(known).run, known, name, path)
        _complain(name, found.skipped)
        return found.path

    def files(self, guid: Target, path: str = "", limit: int = 10_000) -> list[RunFile]:
        """List the files of a resource's run directory, in the order of their names.

        Args:
            guid: the resource.
            path: a directory in it, to list that with all below it; all by default.
            limit: how many at most.

        Returns:
            Name, kind, size, time and permissions of each, as the host has them. What nepiq
            itself keeps there is left out.

        Raises:
            TraceNotFound: there is no such directory.
            HostError: there are more than ``limit``, or the host cannot be reached.
        """
        from ..engine.transfer.outputs import Outputs

        known = self.find(guid)
        with contact():
            run = self._live.required(known).run
            return Outputs(run).files(run.record(known), path, limit)

    def logs(self, guids: Targets | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Yield what applications print, as (label, stream, line).

        Args:
            guids: which; all of the run by default.
            follow: also what they will print, as it comes, until all of them have ended.

        Raises:
            NotAllowed: one of them has not been deployed.
            HostError: a host cannot be reached, and not only for a moment.
        """
        from .logs import logs

        wanted = None if guids is None else self._resolve(guids)
        link = self._live.required(wanted[0]) if wanted else self._live.link
        return iter(()) if link is None else logs(link.run, wanted, follow=follow)


def _complain(name: str, skipped: Sequence[str]) -> None:
    if skipped:
        from .unpacking import told

        log.warning("left out of %s: %s", name, told(skipped))
