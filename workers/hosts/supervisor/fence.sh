### The fence, which refuses attempts that a newer attempt or the end of the run has overtaken
#
# One lock serves the fences of the node: it is held while tokens are compared and raised, and until
# what was let through is on record.

# fence GUID TOKEN: go on only if nothing newer has acted and the run goes on here. Keeps the lock.
fence() {
    guard
    ! overtaken "$1" "$2" || fail 75 "$overtaken"
    raise "$1" "$2" || fail 74 "cannot write in $root: $(obstacle)"
}

# guard: hold the lock, if the run goes on here.
guard() {
    [ -d "$root/fence" ] || fail 75 "the directory of the run is gone"
    sole "$root/fence/.lock"
    exec 8<>"$root/fence/.lock"
    flock 8 || fail 69 "cannot lock $root/fence/.lock"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
}

# overtaken GUID TOKEN: has a newer attempt acted? Then why this one is refused, in $overtaken.
overtaken() {
    sole "$root/fence/$1"
    { read -r seen <"$root/fence/$1"; } 2>/dev/null || seen=0
    ! [ "$seen" -le "$2" ] || return
    overtaken="a newer attempt has acted (token $seen; this one has $2)"
}

# raise GUID TOKEN: after overtaken. One write over what was there: a kill leaves the old token or the
# new one.
raise() { [ "$seen" -eq "$2" ] || { printf '%016d\n' "$2" 1<>"$root/fence/$1"; } 2>/dev/null; }

# launched: has the occasion $occ of $guid been started before?
launched() {
    while read -r word; do
        [ "$word" != "$occ" ] || return 0
    done <"$root/fence/$guid"
    return 1
}

pass() {
    fence "$1" "$2"
    exec 8>&-
}

# guard_if_any: hold the lock, where there is a file for it: no missing file and no full file system
# keeps what only ends processes from that.
guard_if_any() {
    sole "$root/fence/.lock"
    { true <>"$root/fence/.lock"; } 2>/dev/null || return 0
    exec 8<>"$root/fence/.lock"
    flock 8 || fail 69 "cannot lock $root/fence/.lock"
}

# override GUID TOKEN: with the lock, if there is any; false if it is refused.
override() {
    overtaken='the run has ended here'
    [ ! -e "$ended" ] && ! overtaken "$1" "$2" || return
    raise "$1" "$2" || return 0
}
