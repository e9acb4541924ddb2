### Ends of several resources in one command

# ends TURN: end processes of several resources at the same time: TERM to all, and KILL to each when
# its grace is over. On stdin for each a line GUID OCC TOKEN GRACE new; OCC is - for all of the
# resource, GRACE in hundredths of a second. Answers a line for each, led by the number of its line,
# from 1, in any order: ok, a no, or, if something is left after TURN hundredths, "left END GROUPS":
# KILL comes at the moment END, and GROUPS (with commas between, or -) were found to be of it. To go
# on, GUID OCC TOKEN END GROUPS is asked. So what takes long holds up no other, and no channel.
ends() {
    if [ $# -gt 1 ]; then
        turn=$1
        shift
        echo "$*" | ends "$turn"
        return
    fi
    cd "$root" 2>/dev/null || :
    hundredths
    turn=$((cs + $1)) number=0 asked='' own='' roots=''
    while read -r guid occ token end found; do
        number=$((number + 1))
        if [ "$found" = new ]; then end=$((cs + end)); fi
        asked="$asked$number $guid $occ $token $end $found$nl"
    done
    guard_if_any
    while read -r number guid occ token end found; do
        [ -n "$number" ] || continue
        override "$guid" "$token" || {
            printf '%s\n' "$number no 75 $overtaken"
            continue
        }
        item="$number $guid $occ $end $found$nl"
        if [ -e "$root/$guid/.root" ]; then roots=$roots$item; else own=$own$item; fi
    done <<END
$asked
END
    exec 8>&-
    choose "$own$roots" :
    ! over || {
        each "$own$roots" ok
        return
    }
    mark_stopped
    [ -z "$roots" ] || (settle_ends "$roots" "$(abate_as_root "$turn" "$roots")") &
    [ -z "$own" ] || settle_ends "$own" "$(abate "$root" "$turn" "$own")"
    wait
}

# choose ITEMS TEST: what those of ITEMS mean that pass, in $guids and $dirs.
choose() {
    guids='' dirs='' unlisted='' whole=''
    while read -r its_number its_guid its_occ its_end its_groups; do
        [ -n "$its_number" ] && "$2" || continue
        if [ "$its_occ" = - ]; then
            guids="$guids $its_guid"
            for path in "$root/$its_guid"/[0-9]*; do
                [ ! -d "$path" ] || dirs="$dirs ${path#"$root/"}"
            done
        elif [ -s "$root/$its_guid/$its_occ/.started" ]; then
            dirs="$dirs $its_guid/$its_occ"
        elif goes_on "$its_guid/$its_occ"; then
            # Its files have been removed.
            dirs="$dirs $its_guid/$its_occ" unlisted="$unlisted $its_guid/$its_occ"
        fi
    done <<END
$1
END
}

# goes_on DIR: does anything of this occasion run?
goes_on() (
    guids='' dirs=$1 whole=''
    name_all ''
    [ -n "$(bearers)" ] || { roll_call && on_roll "$1"; }
)

is_new() { [ "$its_groups" = new ] && [ "$its_end" -gt "$cs" ]; }
is_due() { [ "$its_end" -le "$cs" ]; }
is_gone() { case $nl$answers$nl in *"$nl$its_number gone$nl"*) ;; *) return 1 ;; esac }
is_all_gone() { [ "$its_occ" = - ] && is_gone; }

# settle_ends ITEMS ANSWERS: record the ends of what is gone, see supervisors off, and answer.
settle_ends() {
    answers=$2
    choose "$1" is_gone
    record_stops
    choose "$1" is_all_gone
    said=$([ -z "$guids" ] || dismiss)
    while read -r number word; do
        case $word in
        '') ;;
        gone) printf '%s\n' "$number ${said:-ok}" ;;
        *) printf '%s\n' "$number $word" ;;
        esac
    done <<END
$answers
END
}

# abate_as_root TURN ITEMS: the same as root; why that cannot be is told of these items alone.
abate_as_root() {
    if said=$(access); then rerun abate "$root" "$@"; else each "$2" "$said"; fi
}

# each ITEMS ANSWER: the same answer for all of them.
each() {
    while read -r number _; do
        [ -z "$number" ] || printf '%s\n' "$number $2"
    done <<END
$1
END
}

# abate ROOT TURN ITEMS: signal what ITEMS mean, a line NUMBER GUID OCC END GROUPS for each, until it
# is gone or the moment TURN has come. Says for each "NUMBER gone", "NUMBER left END GROUPS" or
# "NUMBER no CODE REASON".
abate() {
    cd "$1" 2>/dev/null || :
    items=$3 last=$2 groups=' ' struck=''
    hundredths
    choose "$items" is_new
    name_all ''
    [ -z "$names" ] || strike TERM
    while read -r number _ _ end found; do
        case $found in '' | new | -) ;; *) groups="$groups$(echo "$found" | tr , ' ') " ;; esac
        [ -z "$number" ] || [ "$end" -ge "$last" ] || last=$end
    done <<END
$items
END
    choose "$items" :
    name_all ''
    for item in $dirs; do ! leader "$item" || groups="$groups$leader "; done
    expect_exits
    until gone; do
        hundredths
        strike_late
        [ "$cs" -lt "$last" ] || (choose "$items" is_due && finish_off)
        [ "$cs" -lt "$2" ] || {
            tell_each
            return
        }
        sleep 0.05
    done
    each "$items" gone
}

# finish_off: KILL to what $guids and $dirs mean, and to those of $groups that are theirs.
finish_off() {
    found=$groups groups=' '
    for item in $dirs; do
        leader "$item"
        case $found in *" ${leader:--} "*) groups="$groups$leader " ;; esac
    done
    name_all ''
    strike KILL
}

# tell_each: what there is of each of $items.
tell_each() {
    borne=$nl$(bearing)$nl
    while read -r number guid occ end _; do
        [ -n "$number" ] || continue
        choose "$number $guid $occ $end -" :
        alive='' found=''
        for item in $dirs; do
            if leader "$item"; then
                found=$found,$leader
                continue
            fi
            case $groups in *" ${leader:--} "*) ! populated "$leader" || found=$found,$leader ;; esac
        done
        case $occ in
        -) case $borne in *"$nl$run.$guid$nl"* | *"$nl$run.$guid."*) alive=1 ;; esac ;;
        *) case $borne in *"$nl$run.$guid.$occ$nl"*) alive=1 ;; esac ;;
        esac
        if [ -z "$alive$found" ]; then
            echo "$number gone"
        elif [ "$cs" -lt $((end + 500)) ]; then
            found=${found#,}
            echo "$number left $end ${found:--}"
        else
            name_all ''
            pids=$(bearers | tr -dc '0-9\n' | tr '\n' ' ')
            echo "$number no 69 cannot end processes $pids$found"
        fi
    done <<END
$items
END
}

# bearing: what commands of the run bear, as <run>.<guid>[.<occ>], one a line.
bearing() {
    literal "$run"
    LC_ALL=C grep -hosazxE "NEPIQ_ID=$literal[.][0-9]+([.][0-9]+)?" /proc/[0-9]*/environ |
        tr '\0' '\n' | cut -d = -f 2
}
