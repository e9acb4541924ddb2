### What bears the marks of a run, where no record of it is left

# sweep RUN NODE TOKEN MARKS ROUTES: remove what the dead run has left in the kernel, after its nodes
# were tidied. MARKS, with commas between, are in names of what is meant. ROUTES is 1 for routes and
# rules of any run of nepiq, which go if no record on this host is of a route.
sweep() {
    shift 3
    if is_root; then
        (sweep_out "$root" "$@") || exit
    else
        access 1
        rerun sweep_out "$root" "$@" || exit
    fi
    echo ok
}

# sweep_out ROOT MARKS ROUTES: root's part of it.
sweep_out() {
    export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    marks=$(echo "$2" | tr , '|') owned='[0-9]+'
    sweep_marked
    [ "$3" != 1 ] || sweep_routes
    [ "$remaining" = "$nl" ] || fail 69 "cannot remove:$(echo "$remaining" | tr '\n' ';')"
}

# sweep_lost: the same for the resources of this node alone, $mark being that of the run.
sweep_lost() {
    everything
    marks=$mark owned=''
    for guid in $guids; do owned="$owned${owned:+|}$guid"; done
    case $marks in '' | *[!0-9a-z]*) return ;; esac
    [ -z "$owned" ] || sweep_marked
}

# sweep_marked: interfaces, namespaces and tables of nft with one of $marks in their names, or with
# the alias of the run, if their resource is one of $owned.
sweep_marked() {
    literal "$run"
    spaces=' ' changes=''
    for space in $(ls /run/netns 2>/dev/null | grep -E "^nq-($marks)-($owned)\$"); do
        spaces="$spaces$space "
        bring_home "$space"
    done
    marked_links | sed 's/^/link del /' | ip -force -batch - >/dev/null 2>&1
    nft list tables 2>/dev/null | grep -E "^table [a-z0-9]+ nq[_-]?($marks)[^ ]*\$" |
        while IFS= read -r line; do nft "delete $line" </dev/null >/dev/null 2>&1; done
    [ "$spaces" = ' ' ] || drop_spaces
    hundredths
    last=$((cs + 300))
    while left=$(marked_links | tr '\n' ' ') && [ -n "$left" ]; do
        hundredths
        [ "$cs" -lt "$last" ] || {
            remain_of interfaces "$left"
            break
        }
        sleep 0.05
    done
    for space in $spaces; do
        [ ! -e "/run/netns/$space" ] || remain_of namespace "$space"
    done
}

# bring_home NETNS: devices of the machine leave it before it ends.
bring_home() {
    # shellcheck disable=SC2016 # for the inner shell
    for link in $(ip netns exec "$1" sh -c '
        for path in /sys/class/net/*/device; do
            [ ! -e "$path" ] || { path=${path%/device} && echo "${path##*/}"; }
        done' 2>/dev/null); do
        ip -n "$1" link set "$link" netns $$ 2>/dev/null
    done
}

marked_links() {
    [ "$owned" = '[0-9]+' ] && named="^nq($marks)[0-9a-z]+\$" || named='^-$'
    ip -o link show 2>/dev/null | while IFS= read -r line; do
        name=${line#*: }
        name=${name%%[:@]*} alias=''
        case $line in *' alias nepiq:'*) alias=${line##* alias } ;; esac
        alias=${alias%%[ \\]*}
        printf '%s %s\n' "$name" "${alias:--}"
    done | grep -E "^[^ ]+ nepiq:$literal[.]($owned)\$|${named%\$} -\$" | cut -d ' ' -f 1
}

sweep_routes() {
    ! grep -qsE '^ip - (-[46] )?(route|rule) ' "$places_of_records"/*/[0-9]* || return 0
    for family in -4 -6; do
        ip "$family" route flush table all proto 113 2>/dev/null
        ip "$family" rule flush protocol 113 2>/dev/null
    done
    return 0
}
