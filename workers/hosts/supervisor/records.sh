### Records of the configuration of the host, and who may change it
#
# /run/nepiq, which is root's, ends with the boot, as what is configured does. It outlives .nepiq, no
# full disk of a user concerns it, and no command of a run can write into it what root shall do.
#
#   /run/nepiq/<run>-<node>/
#       base     of which .nepiq it is, and the mark in the names of what the run makes
#       lock     held while something is made or undone; names the process group that does it
#       <guid>   what undoes the configuration of a resource: the boot id, then for each change a
#                line TOOL NETNS TEXT in the order of the changes; NETNS is - for the host itself
#
# <run>/<node>/.configured in .nepiq says that there are records in this boot.
places_of_records=/run/nepiq
records=$places_of_records/$run-$node remaining=$nl unready=''

# hold_records MARK: the directory of the records is there and locked; or why not, in $said.
hold_records() {
    export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" NEPIQ_CONFIGURED="$records"
    usual_mask=$(umask)
    [ -d "$records" ] && [ -s "$records/base" ] || make_records "$1" || return
    exec 6>>"$records/lock"
    flock 6
    former=''
    { read -r former <"$records/lock"; } 2>/dev/null
    inspect $$
    [ -z "$former" ] || [ "$former" = "$group" ] || end_former
    { printf '%s\n' "$group" >"$records/lock"; } 2>/dev/null
    return 0
}

give_up_records() { { true >"$records/lock"; } 2>/dev/null; }

make_records() {
    token=''
    { read -r boot token <"$root/.configured"; } 2>/dev/null && [ "$boot" = "$boot_id" ] || token=''
    # Another run that ends may just remove the directory above.
    for said in 1 2 3; do
        said=$(umask 022 && LC_ALL=C mkdir -p "$records" 2>&1) && break
    done
    [ -d "$records" ] || {
        said=${said##*: }
        return 1
    }
    # Records that somebody has removed are found to be missing by this.
    [ -n "$token" ] && came=again || { came='' && read -r token </proc/sys/kernel/random/uuid; }
    said=$(umask 022 && printf '%s\n' "$base" "$1" "$token$came" 2>&1 >"$records/base") || {
        said=$(reason_of "$records/.probe")
        return 1
    }
    [ -n "$came" ] || { printf '%s\n' "$boot_id $token $1" >"$root/.configured"; } 2>/dev/null
    return 0
}

# end_former: kill what a process has left that was killed while it made or undid something. Services
# that a change has started have left its process group.
end_former() {
    own=$group
    for path in $(LC_ALL=C grep -lszxF "NEPIQ_CONFIGURED=$records" /proc/[0-9]*/environ); do
        path=${path#/proc/}
        inspect "${path%/*}" && [ "$group" = "$former" ] && kill -s KILL "${path%/*}"
    done 2>/dev/null
    group=$own
}

# append FILE LINES: record them, or tell in $said why that cannot be.
append() {
    umask 077
    { printf '%s\n' "$2" >>"$1"; } 2>/dev/null
    set -- "$?" "$1"
    umask "$usual_mask"
    [ "$1" -ne 0 ] || return 0
    whole_lines "$2"
    said=$(reason_of "${2%/*}/.probe")
    return 1
}

# whole_lines FILE: without a last line that was not written whole.
whole_lines() {
    [ -s "$1" ] && [ -n "$(tail -c 1 "$1")" ] || return 0
    dd if=/dev/null of="$1" bs=1 seek="$(sed '$d' "$1" | wc -c)" 2>/dev/null
}

# reason_of FILE: why it cannot be written.
reason_of() {
    said=$(echo | LC_ALL=C cat 2>&1 >"$1" | tail -n 1)
    rm -f "$1"
    said=${said##*: }
    printf %s "${said:-it was removed meanwhile}"
}

### The end of the records

# revert ROOT: undo all configuration of the node; root's part of its end.
revert() {
    # Without room for a lock it is undone all the same.
    hold_records - || export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    # shellcheck disable=SC2046 # numbers
    set -- $(cd "$records" 2>/dev/null && echo [0-9]*)
    [ ! -e "$records/${1-}" ] || [ $# -eq 0 ] || undo "$@"
    ! lost_records || sweep_lost
    [ "$remaining" = "$nl" ] || fail 69 "cannot undo configuration: $(echo "$remaining" | tr '\n' ';')"
    rm -rf "$records" "$root/.configured"
    rmdir "$places_of_records" 2>/dev/null
    return 0
}

# lost_records: somebody has removed records of this node, as the mark that they leave in it says.
lost_records() {
    boot='' token='' mark='' seen=''
    { read -r boot token mark <"$root/.configured"; } 2>/dev/null && [ "$boot" = "$boot_id" ] || return
    { read -r seen && read -r seen && read -r seen; } 2>/dev/null <"$records/base"
    [ "$seen" != "$token" ]
}

# unconfigure: the same, where there is any.
unconfigure() {
    [ -d "$records" ] || lost_records || return 0
    if is_root; then
        (revert "$root")
    else
        access 1
        rerun revert "$root"
    fi
}
