### Changes of a plan, made together
tab='	'

# group TOOL NETNS OWNERS TEXT: make changes, a line each, whose owners are these.
group() {
    tool=$1 netns=${2#-} lines=$3 text=$4
    [ "$failed" = ' ' ] || sift
    case $tool in ip | tc | nft) present || return 0 ;; esac
    while [ -n "$text" ]; do
        case $tool in
        ip | tc) batch || break ;;
        feed) feed ;;
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
            # Two lanes may have had changes of one request.
            case $failed in *" ${owner%.*} "*) continue ;; esac
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

# feed: give lines to the command of the first one, behind a tab each, and those of others that are
# the same. It answers each by a line.
feed() {
    command=${text%%"$tab"*} fed='' feeders='' rest='' others=''
    # shellcheck disable=SC2086 # owners
    set -- $lines
    while IFS= read -r line; do
        case $line in
        "$command$tab"*) fed=$fed${line#*"$tab"}$nl feeders="$feeders $1" ;;
        *) rest=$rest$line$nl others="$others $1" ;;
        esac
        shift
    done <<END
$text
END
    lines=$others text=${rest%"$nl"} line=$command
    said=$(printf %s "$fed" | shell_line 2>&1)
    # shellcheck disable=SC2086 # owners
    set -- $feeders
    while [ $# -gt 0 ]; do
        answer=${said%%"$nl"*}
        [ "$answer" = ok ] || case $failed in
        *" ${1%.*} "*) ;;
        *) spoil "$1" "${answer:-it has ended without an answer}" ;;
        esac
        # What it says at its end concerns all that follow.
        case $said in *"$nl"*) said=${said#*"$nl"} ;; ok) said='' ;; esac
        shift
    done
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
