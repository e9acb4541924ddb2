"""Directories of a host as one stream each: an archive of what they hold, or a list of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import NoReturn

from ...controller.engine.transfer.directories import LIST, MATCH, TREE, Gathered
from ...controller.engine.transfer.sources import parted
from ...controller.errors import FileMissing, HostError
from .attempt import MISSING
from .byte_streams import Judged, Stream
from .paths import OWN

# What a tar that reads what others write complains of, without harm: it sends the bytes that were
# there first, or leaves out what has gone.
_HARMLESS = "(: file changed as we read it|: socket ignored|: File removed before we read it)$"


class Tree(Stream):
    """A directory of a host, or what matches a pattern there; iterate over it.

    Attributes:
        facts: what the host says before it sends it.
        before: the checksum of what was not to be sent again; empty if there is none.
    """

    def __init__(self, talk: Judged, path: str, offset: int) -> None:
        super().__init__(talk)
        self._path = path
        self.before = ""
        try:
            with talk.placed():
                self.facts = self._understood(talk.line().split())
                if offset:
                    self.before = talk.line().removeprefix(b"sum ").decode("ascii", "replace")
        except BaseException:
            self.close()
            raise

    def _understood(self, words: Sequence[bytes]) -> Gathered:
        if not words:
            self._fail()
        kind = words[0].decode("ascii", "replace")
        if kind not in {TREE, MATCH, LIST} or not all(map(bytes.isdigit, words[1:3])):
            raise HostError(
                f"cannot read {self._path}: the host's answer is not understood",
                where=self._talk.where,
            )
        return Gathered(kind, *(int(word[:18]) for word in words[1:3]))

    def __iter__(self) -> Iterator[bytes]:
        with self._talk.placed():
            while block := self._talk.block(None):
                yield block
            if self._talk.channel.code():
                self._fail()

    def _fail(self) -> NoReturn:
        """Raise why the program broke off."""
        where = self._talk.where
        if self._talk.channel.code() == MISSING:
            raise FileMissing(f"cannot read {self._path}: there is no such directory", where=where)
        said = self._talk.channel.complaint
        raise HostError(f"cannot read {self._path}: {said or 'tar broke off'}", where=where)

    def __enter__(self) -> Tree:
        return self


def packing(folder: str, path: str, offset: int) -> str:
    """The command that sends a directory, or what matches a pattern: a line of facts, an archive.

    Args:
        folder: the run directory, quoted for a shell.
        path: relative to it.
        offset: how many bytes of the archive are known; their checksum comes before the others.
    """
    fixed, rest = parted(path)
    own = " ".join(f"--exclude=./{name} --exclude=./{name}.t" for name in sorted(OWN))
    return f"""cd {folder} 2>/dev/null || exit {MISSING}
top=$(pwd -P) kind={MATCH}
IFS=
if [ -d ./{quote(path)} ]; then
    kind={TREE}
    cd ./{quote(path)} || exit
    set -- ./
else
    cd ./{quote(fixed)} 2>/dev/null || exit {MISSING}
    pattern={quote(rest)}
    set -- ./$pattern
    [ -e "$1" ] || [ -L "$1" ] || exit {MISSING}
fi
command -v tar >/dev/null || {{ echo "this host lacks tar: install the package tar" >&2; exit 1; }}
own=
[ "$(pwd -P)" != "$top" ] || own=1
names() {{
    for one; do
        # A pattern such as .* matches these too.
        case $one/ in */../* | ?*/./*) ;; *) printf '%s\\0' "$one" ;; esac
    done
}}
names "$@" | xargs -0r sh -c 'find "$@" -type f -printf "%s\\n" -o -type s -printf "s\\n"' find \\
    2>/dev/null | {{
    size=0 sockets=0
    while read -r one; do
        case $one in s) sockets=$((sockets + 1)) ;; *) size=$((size + one)) ;; esac
    done
    echo "$kind $size $sockets"
}}
rest() {{
    if [ {offset} -gt 0 ]; then
        sum=$(dd bs=65536 iflag=fullblock,count_bytes count={offset} status=none | sha256sum)
        echo "sum ${{sum%% *}}"
    fi
    exec cat
}}
archive() {{
    LC_ALL=C tar -cf - --format=posix --pax-option=delete=atime,delete=ctime --hard-dereference \\
        --exclude='.nepiq.*.part' "$@" --null -T -
}}
pack() {{
    if [ -n "$own" ]; then
        names "$@" | archive --anchored --no-wildcards {own}
    else
        names "$@" | archive
    fi
}}
exec 3>&1
said=$({{ {{ {{ pack "$@" 2>&4; echo "code $?" >&4; }} | rest >&3; }} 4>&1 |
    LC_ALL=C grep -avE '{_HARMLESS}' 3>&- | tail -n 3 3>&-; }})
case $said in
"code 0" | "code 1") ;;
*)
    printf '%s\\n' "${{said%code *}}" >&2
    exit 1
    ;;
esac
"""


def listing(folder: str, path: str) -> str:
    """The command that lists a directory, with all below it.

    Args:
        folder: the run directory, quoted for a shell.
        path: relative to it.
    """
    own = " -o ".join(f"-path ./{name} -o -path ./{name}.t" for name in sorted(OWN))
    return f"""cd {folder} 2>/dev/null || exit {MISSING}
top=$(pwd -P)
cd ./{quote(path)} 2>/dev/null || exit {MISSING}
echo {LIST}
LC_ALL=C
export LC_ALL
set -- find . -mindepth 1
form='%y %s %T@ %m %P\\0'
if [ "$(pwd -P)" = "$top" ]; then
    "$@" \\( {own} -o -name '.nepiq.*.part' \\) -prune -o -printf "$form" 2>/dev/null
else
    "$@" -name '.nepiq.*.part' -prune -o -printf "$form" 2>/dev/null
fi
exit 0
"""
