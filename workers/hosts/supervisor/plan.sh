### Plans: changes of a host's configuration for several resources, recorded first

# configure MARK: carry out a plan: a script of calls of request, retract, group and show, which
# ends in MARK. Answers a line for each number: "ok REPORT" or a no.
configure() {
    plan=$(cat)
    case $plan in *"$1") ;; *) fail 65 "the plan did not arrive whole" ;; esac
    # Made by the user, who could not lock a file of root.
    sole "$root/fence/.lock"
    { true >>"$root/fence/.lock"; } 2>/dev/null
    if is_root; then
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

# known_as MARK: the first line of a plan; MARK is in the names of what the run makes. The fence is
# locked until all requests are on record.
known_as() {
    hold_records "$1" || unready="cannot make $records: $said"
    [ ! -e "$root/fence/.lock" ] || guard_if_any
}

# requested: the line behind the requests of a plan.
requested() { exec 8>&-; }

# let_through N GUID TOKEN: as the fence does.
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
        [ ! -e "$record" ] || undo_former "$2"
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

# undo_former GUID: undo what an earlier attempt has made. The fence is free meanwhile.
undo_former() {
    exec 8>&-
    undo "$1"
    guard_if_any
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

# supersede_request N GUID TOKEN: refuse what a newer attempt in the same plan takes over.
supersede_request() {
    eval "guid_$1=$2"
    refuse "$1" 75 "a newer attempt acts (this one has token $3)"
}

# retract N GUID TOKEN: undo the configuration of a resource.
retract() {
    let_through "$1" "$2" "$3" undo || return 0
    [ ! -e "$records/$2" ] || retracted="$retracted $2"
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
