### Undo: what is on record of resources, in reverse

# undo GUID...: undo what is on record of resources, together. What is left of one is a line
# "GUID REASON" in $remaining; the records of the others are removed.
undo() {
    spaces=' ' removals='' unnamed='' changes='' undone=''
    for guid; do [ ! -e "$records/$guid" ] || undone="$undone $guid"; done
    read_records
    undo_batches
    [ -z "$unnamed" ] || unname_hosts
    [ "$spaces" = ' ' ] || {
        drop_spaces
        vanish
    }
    find_finished
    # shellcheck disable=SC2086 # numbers
    [ -z "$finished" ] || (cd "$records" && rm -f $finished)
}

# find_finished: those of $undone of which nothing is left, in $finished.
find_finished() {
    finished=$undone
    [ "$remaining" != "$nl" ] || return 0
    finished=''
    for guid in $undone; do
        case $remaining in *"$nl$guid "*) ;; *) finished="$finished $guid" ;; esac
    done
}

# read_records: put the changes of $undone into $changes, in reverse, a line "GUID TOOL NETNS TEXT"
# each; but namespaces into $spaces and $removals, names into $unnamed. What an earlier boot has made
# has gone with it. Two processes read all records; a shell makes a system call for each byte.
read_records() {
    [ -n "$undone" ] || return 0
    reversed='' guid='' entry='' bygone=''
    separator=$(printf '\001')
    # shellcheck disable=SC2086 # numbers
    entries=$(cd "$records" && tail -n +1 $undone /dev/null | tr '\n' '\001')
    set -f
    IFS=$separator
    for following in $entries; do
        # tail puts an empty line before a header. A last line that was not written whole has none.
        case $following in
        '==> '*)
            changes=$reversed$changes reversed='' bygone=''
            guid=${following#'==> '}
            guid=${guid%' <=='} entry=''
            continue
            ;;
        esac
        [ -z "$entry" ] || [ -n "$bygone" ] || read_entry
        entry=$following
    done
    unset IFS
    set +f
}

# read_entry: one line of the record of $guid.
read_entry() {
    tool=${entry%% *} line=${entry#* }
    line=${line#* }
    case "$tool $line" in
    'ip netns del '*)
        line=${line#netns del }
        spaces="$spaces$line " removals="$removals$guid $line$nl"
        ;;
    'hosts '*) unnamed=$unnamed$line$nl ;;
    "$boot_id $boot_id") ;;
    "$entry $entry") bygone=1 ;;
    *) reversed="$guid $entry$nl$reversed" ;;
    esac
}

# undo_batches: all but the removal of namespaces. What lies in one that is removed goes with it,
# unless it is moved out.
undo_batches() {
    batches=' ' count=0 pending=' '
    set -f
    IFS=$nl
    for entry in $changes; do
        unset IFS
        set +f
        guid=${entry%% *} line=${entry#* }
        tool=${line%% *} line=${line#* }
        space=${line%% *} line=${line#* }
        case $spaces in *" $space "*)
            case $tool in
            ip) case $line in *' netns '*) ;; *) continue ;; esac ;;
            tc | nft | sysctl) continue ;;
            esac
            ;;
        esac
        netns=${space#-}
        case $tool in
        ip | tc)
            find_batch
            eval "lines_$key=\"\$lines_$key\$line\$nl\" owners_$key=\"\$owners_$key \$guid\""
            pending="$pending$guid "
            ;;
        *)
            case $pending in *" $guid "*)
                set -- "$tool" "$netns" "$line"
                flush_batches
                tool=$1 netns=$2 line=$3
                ;;
            esac
            undo_alone
            ;;
        esac
    done
    unset IFS
    set +f
    flush_batches
}

# flush_batches: what moves home comes before what restores it there.
flush_batches() {
    for item in $batches; do case $item in *:-) ;; *) undo_batch ;; esac done
    for item in $batches; do case $item in *:-) undo_batch ;; esac done
    batches=' ' pending=' '
}

undo_batch() {
    key=${item%%:*} item=${item#*:}
    tool=${item%%:*} netns=${item#*:}
    netns=${netns#-}
    eval "text=\$lines_$key owners=\$owners_$key"
    [ -z "$netns" ] || [ -e "/run/netns/$netns" ] || return 0
    said=$("$tool" ${netns:+-n "$netns"} -force -batch - 2>&1 >/dev/null <<END
$text
END
    ) && return 0
    judge_undone "$?" && return 0
    # What follows an error that has ended ip is still to be undone.
    # shellcheck disable=SC2086 # guids
    set -- $owners
    while [ -n "$text" ]; do
        line=${text%%"$nl"*} text=${text#*"$nl"} owners=$1
        shift
        said=$(printf '%s\n' "$line" |
            "$tool" ${netns:+-n "$netns"} -force -batch - 2>&1 >/dev/null) ||
            judge_undone "$?" || remain_of "$owners" "$tool: ${reason:-was ended}"
    done
}

# find_batch: the number of the batch for $tool and $space, in $key.
find_batch() {
    case $batches in
    *":$tool:$space "*)
        key=${batches%%":$tool:$space "*}
        key=${key##* }
        ;;
    *)
        count=$((count + 1)) key=$((count + 1))
        batches="$batches$key:$tool:$space "
        eval "lines_$key='' owners_$key=''"
        ;;
    esac
}

# judge_undone CODE: what -force has passed over; missing things are fine. False if ip was ended.
judge_undone() {
    code=$1
    reason=''
    while IFS= read -r line; do
        case $line in
        'Command failed -:'*)
            case $reason in
            '' | *'Cannot find device'* | *'Invalid handle'* | *'No such '* | *'does not exist'* | *'Cannot assign '*) ;;
            *)
                # shellcheck disable=SC2086 # guids
                set -- $owners
                shift $((${line##*:} - 1))
                remain_of "$1" "$tool: $reason"
                ;;
            esac
            reason=''
            ;;
        *) reason="$reason${reason:+ }$line" ;;
        esac
    done <<END
$said
END
    [ -z "$reason" ] && [ "$code" -lt 126 ] && case $said in *'Command failed -:'*) ;; *) false ;; esac
}

remain_of() { remaining="$remaining$1 $2$nl"; }

undo_alone() {
    [ -z "$netns" ] || [ -e "/run/netns/$netns" ] || return 0
    case $tool in
    nft)
        said=$(LC_ALL=C entered nft "$line" 2>&1) && return
        case $said in *'No such '*) return ;; esac
        ;;
    sysctl) give_up_key "$guid" "${line%%=*}" "${line#*=}" && return ;;
    sh) said=$(shell_line 2>&1 </dev/null) && return ;;
    esac
    set -f
    # shellcheck disable=SC2086 # its white space is collapsed
    set -- $said
    set +f
    remain_of "$guid" "$*"
}
