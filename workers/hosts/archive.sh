# The archive of a directory, or of what matches a pattern; it changes nothing on the host.
#
# Set before: folder (the run directory), path (relative to it), fixed and pattern (path without its
# part with wildcards, and that part), offset (bytes of the archive that are known) and excluded
# (options that leave out the supervisor's files). Prints "KIND SIZE SOCKETS", where KIND is tree or
# match; "sum SHA256" of the first $offset bytes if there are any; and the rest of the archive.
# Exits with 66 if nothing is there.

cd "$folder" 2>/dev/null || exit 66
top=$(pwd -P) kind=match
IFS=
if [ -d "./$path" ]; then
    kind=tree
    cd "./$path" || exit
    set -- ./
else
    cd "./$fixed" 2>/dev/null || exit 66
    # shellcheck disable=SC2086 # only wildcards are expanded, since IFS is empty
    set -- ./$pattern
    [ -e "$1" ] || [ -L "$1" ] || exit 66
fi
command -v tar >/dev/null || {
    echo "this host lacks tar: install the package tar" >&2
    exit 1
}
own=
[ "$(pwd -P)" != "$top" ] || own=1

# Errors of a tar that reads files while others write them. They do no harm: it sends the bytes that
# were there first, or leaves out what has gone.
harmless='(: file changed as we read it|: socket ignored|: File removed before we read it)$'

# names NAME...: with a NUL after each, without the directory itself and its parent, which a pattern
# such as .* matches.
names() {
    for name; do
        case $name/ in */../* | ?*/./*) ;; *) printf '%s\0' "$name" ;; esac
    done
}

# facts NAME...: the first line.
facts() {
    names "$@" |
        xargs -0r sh -c 'find "$@" -type f -printf "%s\n" -o -type s -printf "s\n"' find 2>/dev/null | {
        size=0 sockets=0
        while read -r line; do
            case $line in s) sockets=$((sockets + 1)) ;; *) size=$((size + line)) ;; esac
        done
        echo "$kind $size $sockets"
    }
}

# rest: the checksum of the first $offset bytes of the input, and what follows them.
rest() {
    if [ "$offset" -gt 0 ]; then
        sum=$(dd bs=65536 iflag=fullblock,count_bytes count="$offset" status=none | sha256sum)
        echo "sum ${sum%% *}"
    fi
    exec cat
}

# archive OPTION...: of the names on stdin.
archive() {
    LC_ALL=C tar -cf - --format=posix --pax-option=delete=atime,delete=ctime --hard-dereference \
        --exclude='.nepiq.*.part' "$@" --null -T -
}

pack() {
    if [ -n "$own" ]; then
        names "$@" | {
            unset IFS
            # shellcheck disable=SC2086 # several words
            archive --anchored --no-wildcards $excluded
        }
    else
        names "$@" | archive
    fi
}

facts "$@"
exec 3>&1
answer=$({ { { pack "$@" 2>&4; echo "code $?" >&4; } | rest >&3; } 4>&1 |
    LC_ALL=C grep -avE "$harmless" 3>&- | tail -n 3 3>&-; })
case $answer in
"code 0" | "code 1") ;;
*)
    printf '%s\n' "${answer%code *}" >&2
    exit 1
    ;;
esac
