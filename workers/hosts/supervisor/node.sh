### The directory of the node: making it, and making it anew

# prepare RUN NODE TOKEN EXP FILES PROCESSES MODE LEASE HOST REMOVE: make its directory. FILES and
# PROCESSES are 1 to remove and end what earlier runs of the experiment EXP left; FILES is 2 for those
# of all experiments. MODE is that of .nepiq, and says who else may look into it. LEASE is the number
# of the lease under which the host is used, 0 without one, and HOST what the pool calls it; REMOVE is
# 1 if the run keeps no files.
prepare() {
    mode=$7
    places_of_runs || exit
    need flock setsid base64 grep tail head find wc od mkdir mv rm chmod sleep cat dd stat tr cut
    folder ended || exit
    sole lock
    exec 5>>lock
    flock 5 || fail 69 "cannot lock $base/lock"
    forget_runs
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    [ ! -e "$ended.cleaned" ] || rm -f "$ended.cleaned"
    [ "$8" -eq 0 ] || supersede "$8" "$9"
    # Nobody else acts on a node whose directory is not there yet.
    [ -e "$root" ] && new='' || new=1
    # It may be wider, and somebody else's.
    build "$base" "$base/$run" "$root" "$root/fence"
    places fence || exit
    [ -n "$new" ] || guard
    ! overtaken "$node" "$3" || fail 75 "$overtaken"
    raise "$node" "$3" || fail 74 "cannot write in $root: $(obstacle)"
    furnish "$4" || exit
    [ "$8" -eq 0 ] || note "$root/lease" "$9 ${10}" || exit
    exec 8>&- 5>&-
    [ "$8" -eq 0 ] || expel "$9"
    [ "$5$6" != 00 ] || {
        echo ok
        return
    }
    for mark in "$base"/*/*/exp; do
        name=''
        { read -r name <"$mark"; } 2>/dev/null # it may be removed at this moment
        earlier=${mark%/exp}
        [ "${earlier%/*}" != "$base/$run" ] || continue
        if [ "$name" = "$4" ]; then
            clean "$earlier" "$5" "$6"
        elif [ "$5" = 2 ]; then
            clean "$earlier" 2 0
        fi
    done
    [ "$5" != 2 ] || discard "$base/.usr" || (access && as_root rm -rf "$base/.usr") ||
        fail 69 "cannot remove all of $base/.usr"
    echo ok
}

# forget_runs: once an hour, forget runs that have ended here before the last 30 days. A look at ten
# thousand takes as long as the rest of a deployment.
forget_runs() {
    clock
    moment="$boot_id $((${now%.*} / 3600))" seen=''
    sole swept
    { read -r seen <swept; } 2>/dev/null
    [ "$seen" = "$moment" ] && return
    find ended -type f -mtime +30 -exec rm -f {} +
    note swept "$moment"
} 2>/dev/null

# supersede LEASE HOST: go on only if the host was not leased again; runs that leased it before are
# refused from now on. In .nepiq, under its lock. Hosts that share a home have leases of their own.
supersede() {
    folder leases || exit
    sole "leases/$2"
    holders=''
    {
        read -r seen
        while read -r item; do holders="$holders $item"; done
    } 2>/dev/null <"leases/$2" || seen=0
    [ "${seen:-0}" -le "$1" ] || fail 75 "the host was leased to another run (lease $seen; this is $1)"
    # All directories are looked at where there is no list, which a kill may have emptied.
    [ -n "$holders" ] || for mark in */*/lease; do holders="$holders ${mark%/lease}"; done
    kept='' earlier=''
    for item in $holders; do
        held "$item/lease" "$2" && [ "$item" != "$run/$node" ] || continue
        kept="$kept$item$nl"
        [ "${item%/*}" = "$run" ] || earlier="$earlier $item"
    done
    note "leases/$2" "$1$nl$kept$run/$node" || exit
    for item in $earlier; do true >"ended/${item%/*}-${item#*/}" || exit; done
}

# held MARK HOST: does MARK say that the host is leased, and are its files to be $removed?
held() { [ -f "$1" ] && read -r said removed <"$1" && [ "$said" = "$2" ]; }

# expel HOST: end what the $earlier runs left that leased the host; they keep their files, if any.
expel() {
    for item in $earlier; do
        held "$base/$item/lease" "$1" || continue
        clean "$base/$item" "${removed:-0}" 1
        rm -f "$base/$item/lease"
    done
}

# restore RUN NODE TOKEN EXP MODE: make anew what somebody has removed from the directory of a node.
restore() {
    mode=$5 new=''
    places_of_runs || exit
    sole lock
    exec 5>>lock
    flock 5 || fail 69 "cannot lock $base/lock"
    [ ! -e "$ended" ] || fail 75 "the run has ended here"
    [ ! -e "$ended.cleaned" ] || fail 75 "a later run has removed the directory of the run"
    places fence && furnish "$4" || exit
    echo ok
}

# places_of_runs: .nepiq is there, and we are in it. What we make is closed to whom MODE closes it.
places_of_runs() {
    case $mode in *00) umask 077 ;; *0) umask 027 ;; esac
    ground && cd "$base"
}

# furnish EXP: what lies in the directory of a node, where it is not there as it should be. A
# directory that is $new has no reader yet.
furnish() {
    for name in supervisor.sh supervisor.sh.t boot exp journal; do sole "$root/$name"; done
    [ -n "$new" ] && printf '%s\n' "$script" 2>/dev/null >"$root/supervisor.sh" ||
        { printf '%s\n' "$script" | cat >"$root/supervisor.sh.t" &&
            mv -f "$root/supervisor.sh.t" "$root/supervisor.sh"; } || return
    [ -s "$root/boot" ] || note "$root/boot" "$boot_id" || return
    note "$root/exp" "$1" || return
    name='' journal=''
    [ ! -s "$root/journal" ] || read -r name journal <"$root/journal"
    [ "$name" != journal ] || [ -z "$journal" ] || return 0
    read -r journal </proc/sys/kernel/random/uuid
    note "$root/journal" "journal $journal" || return
    # A journal of another name tells every exit.
    for mark in "$root"/[0-9]*/[0-9]*/.told; do
        [ ! -e "$mark" ] || rm -rf "$root"/[0-9]*/[0-9]*/.told
        break
    done
}

need() {
    missing=''
    for tool; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
    [ -z "$missing" ] || fail 69 "this host lacks:$missing"
    [ -r /proc/self/environ ] || fail 69 "this host has no /proc"
    # What takes processes to find out is looked at once a boot.
    able=''
    sole able
    { read -r able <able; } 2>/dev/null
    [ "$able" != "$boot_id" ] || return 0
    grep -zqsxF "NEPIQ_NODE=$run.$node" /proc/self/environ || fail 69 "grep of this host lacks the option -z"
    setsid -f true 2>/dev/null || fail 69 "setsid of this host lacks the option -f: install util-linux"
    note able "$boot_id"
}
