### Configuration of the host: made together, recorded first, undone by record

# configure MARK: carry out a plan: a script of calls of request, retract, group and show, which
# ends in MARK. Answers a line for each number: "ok REPORT" or a no.
configure() {
    plan=$(cat)
    case $plan in *"$1") ;; *) fail 65 "the plan did not arrive whole" ;; esac
    if [ "$(id -u)" -eq 0 ]; then
        enact
        return
    fi
    access -r "$0"
    # An undo needs no room on a disk. The password may remain unread before the plan.
    {
        [ -z "$secret" ] || printf '%s\n' "$secret"
        printf '%s\n' "$nl$plan"
    } | (elevate sh "$0" carry_out "$root" "$1")
}

# carry_out ROOT MARK: root's part of configure. What it makes for all attempts belongs to the user.
carry_out() {
    # sudo has read the password, or has needed none.
    while IFS= read -r line && [ -n "$line" ]; do :; done
    plan=$(cat)
    case $plan in *"$2") ;; *) fail 65 "the plan did not arrive whole" ;; esac
    enact
}

enact() {
    fresh='' failed=' ' spoiled='' numbers='' retracted='' anew=' '
    eval "$plan"
    give_back
    settle_plan
    give_up_records
}

# give_back: let the user go on with fences that root has made, which runs of shells use too.
give_back() {
    # shellcheck disable=SC2086 # paths below $root are split at our separator only
    [ -z "$fresh" ] || [ -O "$root" ] || (IFS=$nl && chown "$(stat -c %u:%g "$root")" $fresh)
    fresh=''
}

# known_as MARK: the first line of a plan; MARK is in the names of what the run makes.
known_as() {
    hold_records "$1" || unready="cannot make $records: $said"
}

# let_through N GUID TOKEN: as the fence does. All requests of a plan share one lock.
let_through() {
    eval "guid_$1=$2 report_$1=''"
    numbers="$numbers $1"
    { read -r seen <"$root/fence/$2"; } 2>/dev/null || seen=0
    [ -f "$root/fence/$2" ] || sole "$root/fence/$2"
    [ -e "$root/fence/$2" ] || fresh="$fresh$nl$root/fence/$2"
    if [ -n "$unready" ]; then
        refuse "$1" 74 "$unready"
    elif [ -e "$ended" ]; then
        refuse "$1" 75 "the run has ended here"
    elif [ "$seen" -gt "$3" ]; then
        refuse "$1" 75 "a newer attempt has acted (token $seen; this one has $3)"
    elif [ "$seen" -eq "$3" ] || { printf '%016d\n' "$3" 1<>"$root/fence/$2"; } 2>/dev/null; then
        return
    elif [ "${4-}" = undo ] && [ -d "$root/fence" ]; then
        return # what was made goes, whatever can be written
    else
        refuse "$1" 74 "cannot write in $root: $(obstacle)"
    fi
    return 1
}

# refuse N CODE REASON
refuse() {
    failed="$failed$1 "
    set -f
    # shellcheck disable=SC2086 # its white space is collapsed
    set -- "$1" "$2" $3
    set +f
    number=$1 code=$2
    shift 2
    printf '%s\n' "$number no $code $*"
}

# spoil OWNER REASON: refuse a request because of a change; OWNER is N.U, where the first U lines
# that the request has recorded undo the changes before it.
spoil() {
    spoiled="$spoiled $1"
    eval "made_${1%.*}=${1#*.}"
    refuse "${1%.*}" 69 "$2"
}

# request N GUID TOKEN ANEW UNDO: record what undoes the changes of a resource, before they are made.
request() {
    let_through "$1" "$2" "$3" || return 0
    record=$records/$2
    if [ "$4" = 1 ]; then
        [ ! -e "$record" ] || undo "$2"
        anew="$anew$1 "
    fi
    eval "before_$1=1 undo_$1=\$5 made_$1=0"
    if [ -e "$record" ]; then
        whole_lines "$record"
        eval "before_$1=$(wc -l <"$record")"
    else
        set -- "$1" "$2" "$3" "$4" "$boot_id$nl$5"
    fi
    append "$record" "$5" || refuse "$1" 74 "cannot write in $records: $said"
}

# unrecord N: remove from the record what would undo a change that was refused, or one behind it. What
# it names may belong to another.
unrecord() {
    eval "before=\${before_$1-} made=\${made_$1-} text=\${undo_$1-} record=\$guid_$1"
    record=$records/$record
    [ -n "$before" ] && [ -e "$record" ] || return 0
    lines=1
    while case $text in *"$nl"*) ;; *) false ;; esac do
        text=${text#*"$nl"} lines=$((lines + 1))
    done
    sed "$((before + made + 1)),$((before + lines))d" "$record" >"$records/.struck" &&
        mv -f "$records/.struck" "$record"
}

# retract N GUID TOKEN: undo the configuration of a resource.
retract() {
    let_through "$1" "$2" "$3" undo || return 0
    [ ! -e "$records/$2" ] || retracted="$retracted $2"
}

# group TOOL NETNS OWNERS TEXT: make changes, a line each, whose owners are these.
group() {
    tool=$1 netns=${2#-} lines=$3 text=$4
    [ "$failed" = ' ' ] || sift
    case $tool in ip | tc | nft) present || return 0 ;; esac
    while [ -n "$text" ]; do
        case $tool in
        ip | tc) batch || break ;;
        nft)
            ruleset
            break
            ;;
        hosts)
            name_hosts
            break
            ;;
        *)
            one_by_one
            break
            ;;
        esac
    done
}

# present: this host has $tool; else all is refused.
present() {
    command -v "$tool" >/dev/null && return
    case $tool in nft) said=nftables ;; *) said=iproute2 ;; esac
    for owner in $lines; do
        case $failed in
        *" ${owner%.*} "*) ;;
        *) spoil "$owner" "this host lacks $tool: install the package $said" ;;
        esac
    done
    return 1
}

# abreast COUNT: call lane_0 to lane_COUNT-1 at the same time. They print refusals themselves.
abreast() {
    lane=0 lanes=''
    while [ "$lane" -lt "$1" ]; do
        (
            before=$failed spoiled=''
            "lane_$lane"
            [ "$failed" = "$before" ] && exit
            printf '%s\n' "$spoiled" >"$records/failed.$lane"
            exit 1
        ) &
        lanes="$lanes $lane:$!"
        lane=$((lane + 1))
    done
    for lane in $lanes; do
        wait "${lane#*:}" && continue
        record=$records/failed.${lane%:*} said=''
        # Where /run is full, the refusals have been answered, and the release undoes the rest.
        { IFS= read -r said <"$record"; } 2>/dev/null
        for owner in $said; do
            failed="$failed${owner%.*} "
            eval "made_${owner%.*}=${owner#*.}"
        done
        rm -f "$record"
    done
}

# sift: keep those of $text whose owner in $lines has not failed.
sift() {
    kept='' chosen=''
    # shellcheck disable=SC2086 # numbers
    set -- $lines
    while IFS= read -r line; do
        case $failed in *" ${1%.*} "*) ;; *) kept="$kept $1" chosen="$chosen$line$nl" ;; esac
        shift
    done <<END
$text
END
    lines=$kept text=${chosen%"$nl"}
}

# batch: true if a change was refused, so that those behind it are left.
batch() {
    said=$("$tool" ${netns:+-n "$netns"} -batch - 2>&1 >/dev/null <<END
$text
END
    ) && return 1
    at=${said##*Command failed -:}
    case $at in '' | *[!0-9]*) seek || return 1 ;; esac
    # shellcheck disable=SC2086 # owners
    set -- $lines
    while [ "$at" -gt 1 ]; do
        shift
        case $text in *"$nl"*) text=${text#*"$nl"} ;; *) text='' ;; esac
        at=$((at - 1))
    done
    lines="$*"
    spoil "${1:-0.0}" "$tool: ${said%Command failed -:*}"
    sift
    return 0
}

# name_hosts: add lines to the file that emulated hosts of the node have as /etc/hosts.
name_hosts() {
    {
        [ -s "$root/hosts" ] || printf '%s\n' "127.0.0.1 localhost" "::1 localhost ip6-localhost"
        printf '%s\n' "$text"
    } >>"$root/hosts" && return
    said="cannot write in $root: $(obstacle)"
    for owner in $lines; do
        case $failed in *" ${owner%.*} "*) ;; *) spoil "$owner" "$said" ;; esac
    done
}

# unname_hosts: take the lines of $unnamed out of that file. It stays the same file, since it is
# mounted.
unname_hosts() {
    [ -e "$root/hosts" ] || return 0
    left=$(grep -vxF -e "${unnamed%"$nl"}" "$root/hosts")
    printf '%s\n' "$left" >"$root/hosts"
}

# seek: some errors of arguments end ip at once, so that it does not say in which line. Line by line,
# what has been made is refused, until the same error comes. False if it does not.
seek() {
    first=$said at=1 owners=$lines
    while [ -n "$first" ] && [ -n "$text" ]; do
        line=${text%%"$nl"*}
        said=$(printf '%s\n' "$line" | "$tool" ${netns:+-n "$netns"} -batch - 2>&1 >/dev/null) || {
            [ "$said" != "$first" ] || return 0
        }
        # shellcheck disable=SC2086 # owners
        set -- $lines
        shift
        lines="$*"
        case $text in *"$nl"*) text=${text#*"$nl"} ;; *) text='' ;; esac
    done
    # It was killed: all that may have been made is undone.
    for owner in $owners; do
        case $failed in
        *" ${owner%.*} "*) ;;
        *) spoil "${owner%.*}.999999" "$tool was ended: ${first:-it has said nothing}" ;;
        esac
    done
    return 1
}

# entered COMMAND...: run it in $netns, without our locks.
entered() {
    if [ -n "$netns" ]; then
        nsenter --net="/run/netns/$netns" "$@" 5<&- 6>&-
    else
        "$@" 5<&- 6>&-
    fi
}

# shell_line: carry $line out in $netns, without our lock. A subshell is quicker to make than a shell.
shell_line() {
    exec 5<&- 6>&-
    [ -z "$netns" ] || {
        entered sh -c "$line"
        return
    }
    eval "$line"
}

# ruleset: nft(8) makes all of a text or nothing, so that each request is tried alone if not all are
# possible.
ruleset() {
    said=$(entered nft -f - 2>&1 <<END
$text
END
    ) && return
    all=$text owners=$lines
    tried=' '
    for owner in $owners; do
        case $tried in *" ${owner%.*} "*) continue ;; esac
        tried="$tried${owner%.*} "
        text=$all lines=$owners past=$failed failed=' '
        for other in $owners; do
            [ "${other%.*}" = "${owner%.*}" ] || failed="$failed${other%.*} "
        done
        sift
        failed=$past
        said=$(entered nft -f - 2>&1 <<END
$text
END
        ) || spoil "$owner" "nft: $said"
    done
}

one_by_one() {
    # shellcheck disable=SC2086 # numbers
    set -- $lines
    while IFS= read -r line; do
        case $failed in
        *" ${1%.*} "*) ;;
        *)
            if [ "$tool" = sysctl ]; then
                set_key "${1%.*}" "${line%%=*}" "${line#*=}"
            else
                said=$(shell_line 2>&1 </dev/null)
            fi || spoil "$1" "$said"
            ;;
        esac
        shift
    done <<END
$text
END
}

# show N NETNS COMMAND: what it prints comes with the answer.
show() {
    case $failed in *" $1 "*) return ;; esac
    netns=${2#-}
    said=$(entered sh -c "$3" 2>/dev/null </dev/null)
    set -f
    # shellcheck disable=SC2086 # its white space is collapsed
    set -- "$1" $said
    set +f
    said=$1
    shift
    eval "report_$said=\" \$*\""
}

# settle_plan: undo what was refused and what was retracted, and answer the others.
settle_plan() {
    broken=''
    for number in $failed; do
        unrecord "$number"
        case $anew in *" $number "*) eval "broken=\"\$broken \$guid_$number\"" ;; esac
    done
    # shellcheck disable=SC2086 # guids
    [ -z "$broken$retracted" ] || undo $broken $retracted
    for number in $numbers; do
        case $failed in *" $number "*) continue ;; esac
        eval "guid=\$guid_$number report=\$report_$number"
        case $remaining in
        *"$nl$guid "*)
            said=${remaining#*"$nl$guid "}
            echo "$number no 69 ${said%%"$nl"*}"
            ;;
        *) echo "$number ok$report" ;;
        esac
    done
}

# undo GUID...: undo what is on record of resources, together. What is left of one is a line
# "GUID REASON" in $remaining; the records of the others are removed.
undo() {
    spaces=' ' changes='' undone=''
    for guid; do
        [ -e "$records/$guid" ] || continue
        read_record
        undone="$undone $guid"
    done
    find_spaces
    undo_batches
    [ "$spaces" = ' ' ] || {
        drop_spaces
        vanish
    }
    set --
    for guid in $undone; do
        case $remaining in *"$nl$guid "*) ;; *) set -- "$@" "$records/$guid" ;; esac
    done
    [ $# -eq 0 ] || rm -f -- "$@"
}

# read_record: put the changes of $guid before those of $changes, in reverse, a line "GUID TOOL NETNS
# TEXT" each. What an earlier boot has made has gone with it.
read_record() {
    reversed=''
    while IFS=' ' read -r tool space line; do
        if [ -z "$space" ]; then
            [ "$tool" = "$boot_id" ] || [ -z "$tool" ] || return 0
        elif [ -n "$line" ]; then
            reversed="$guid $tool $space $line$nl$reversed"
        fi
    done <"$records/$guid"
    changes=$reversed$changes
}

# find_spaces: the namespaces that are removed, in $spaces.
find_spaces() {
    while IFS=' ' read -r guid tool space line; do
        case "$tool $line" in 'ip netns del '*) spaces="$spaces${line#netns del } " ;; esac
    done <<END
$changes
END
}

# undo_batches: all but the removal of namespaces. What lies in one that is removed goes with it,
# unless it is moved out.
undo_batches() {
    batches=' ' count=0 pending=' ' unnamed=''
    while IFS=' ' read -r guid tool space line; do
        [ -n "$line" ] || continue
        [ "$tool" != hosts ] || {
            unnamed=$unnamed$line$nl
            continue
        }
        case "$tool $line" in 'ip netns del '*) continue ;; esac
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
    done <<END
$changes
END
    flush_batches
    [ -z "$unnamed" ] || unname_hosts
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

# drop_spaces: end what runs in the namespaces of $spaces, and remove them.
drop_spaces() {
    set -- # those that are there
    for space in $spaces; do [ ! -e "/run/netns/$space" ] || set -- "$@" "/run/netns/$space"; done
    # shellcheck disable=SC2086 # names
    [ $# -gt 0 ] || {
        forget_keys $spaces
        return 0
    }
    inodes=$(stat -L -c %i "$@" | tr '\n' '|')
    inodes=${inodes%|}
    hundredths
    last=$((cs + 200)) word=TERM
    while pids=$(inhabitants) && [ -n "$pids" ]; do
        # shellcheck disable=SC2086 # pids
        [ -z "$word" ] || kill -s "$word" -- $pids 2>/dev/null
        word=''
        hundredths
        [ "$cs" -lt "$last" ] || word=KILL
        [ "$cs" -lt $((last + 500)) ] || break
        sleep 0.05
    done
    for space; do echo "netns del ${space##*/}"; done | ip -force -batch - >/dev/null 2>&1
    # shellcheck disable=SC2086 # names
    forget_keys $spaces
    for space; do
        [ -e "$space" ] || continue
        while IFS=' ' read -r guid tool _ line; do
            [ "$tool $line" != "ip netns del ${space##*/}" ] ||
                remain_of "$guid" "the network namespace ${space##*/} is still there"
        done <<END
$changes
END
    done
}

# vanish: wait until the kernel has removed what leads from the host into namespaces that are gone.
vanish() {
    literal "$run"
    owned=''
    for guid in $undone; do
        case $remaining in *"$nl$guid "*) ;; *) owned="$owned${owned:+|}$guid" ;; esac
    done
    [ -n "$owned" ] || return 0
    hundredths
    last=$((cs + 500))
    while ip -o link show | grep -qE "[ ]alias nepiq:$literal[.]($owned)( |\$)"; do
        hundredths
        [ "$cs" -lt "$last" ] || break
        sleep 0.02
    done
}

# inhabitants: the processes in namespaces with these $inodes.
inhabitants() {
    stat -L -c '%i %n' /proc/[0-9]*/ns/net 2>/dev/null | grep -E "^($inodes) " |
        cut -d / -f 3 | tr '\n' ' '
}
