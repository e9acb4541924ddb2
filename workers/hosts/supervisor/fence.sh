### The fence, which refuses attempts that a newer attempt or the end of the run has overtaken

# fence GUID TOKEN: go on only if nothing newer has acted and the run goes on here. Keeps the lock.
fence() {
    [ -d "$root/fence" ] || fail 75 "the directory of the run is gone"
    sole "$root/fence/$1"
    exec 8<>"$root/fence/$1"
    flock 8 || fail 69 "cannot lock $root/fence/$1"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    raise "$1" "$2" 2>/dev/null || fail 74 "cannot write in $root: $(obstacle)"
}

# override GUID TOKEN: the same for what only ends processes, so that no missing file and no full
# file system keeps it from that.
override() {
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    sole "$root/fence/$1"
    { true <>"$root/fence/$1"; } 2>/dev/null || return 0
    exec 8<>"$root/fence/$1"
    flock 8 || fail 69 "cannot lock $root/fence/$1"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    raise "$1" "$2" 2>/dev/null
    exec 8>&-
}

raise() {
    read -r seen <"$root/fence/$1" || seen=0
    [ "$seen" -le "$2" ] || fail 75 "a newer attempt has acted (token $seen; this one has $2)"
    # One write over what was there: a kill leaves the old token or the new one.
    [ "$seen" -eq "$2" ] || printf '%016d\n' "$2" 1<>"$root/fence/$1"
}

pass() {
    fence "$1" "$2"
    exec 8>&-
}
