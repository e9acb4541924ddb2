### Plain commands that are started together
#
# One shell puts on record what a request starts. A fork of it, which costs a tenth of a program,
# supervises each command; a single one it supervises itself. All of them have the marks of that
# shell, so each writes into its name (/proc/PID/comm, at most 15 bytes) what it supervises.

# starts: start commands that have no condition, no limits and no rights of root. On stdin for each:
# a line GUID OCC TOKEN OK MARK LIFE, and the three lines of launch; of LIFE only the signal counts.
# Answers a line for each, led by its number: "running 0 SINCE NOW", a no, or "again": launch it,
# since it was started before.
starts() {
    trap '' PIPE # whoever asked may have gone
    count=0 admitted='' fresh=''
    while IFS=' ' read -r guid occ token ok mark life; do
        IFS= read -r input && IFS= read -r setting && IFS= read -r text || fail 65 "no command came"
        strip "$mark"
        count=$((count + 1))
        eval "guid_$count=\$guid occ_$count=\$occ token_$count=\$token ok_$count=\$ok" \
            "life_$count=\$life input_$count=\$input setting_$count=\$setting text_$count=\$text"
    done
    [ "$count" -gt 0 ] || fail 65 "no command came"
    { printf supervisor >/proc/self/comm; } 2>/dev/null && named=1 || named=''
    guard
    set --
    number=0
    while [ "$number" -lt "$count" ]; do
        number=$((number + 1))
        recall "$number"
        if overtaken "$guid" "$token"; then
            printf '%s\n' "$number no 75 $overtaken"
        elif ! raise "$guid" "$token"; then
            printf '%s\n' "$number no 74 cannot write in $root: $(obstacle)"
        else
            admitted="$admitted $number"
            [ -d "$root/$guid/$occ" ] || set -- "$@" "$root/$guid/$occ"
        fi
    done
    [ $# -eq 0 ] || mkdir -p "$@" 2>/dev/null
    inspect $$
    hundredths
    # A container may have a clock of its own.
    [ "$born" -gt "$cs" ] || comparable=1
    for number in $admitted; do
        recall "$number"
        ! claim || fresh="$fresh $number"
    done
    exec 8>&-
    exec </dev/null >/dev/null 2>&1 9>&- # who has asked waits for this
    trap - PIPE
    fork_each
}

# strip MARK: take it off the command. With one that begins with %, a byte 1 stands for a newline.
strip() {
    case $text in
    *"$1") text=${text%"$1"} ;;
    *) fail 65 "the command did not arrive whole" ;;
    esac
    case $1 in %*) ;; *) return ;; esac
    fold=$(printf '\001') folded=$text text=''
    while case $folded in *"$fold"*) ;; *) false ;; esac do
        text=$text${folded%%"$fold"*}$nl folded=${folded#*"$fold"}
    done
    text=$text$folded
}

# recall N: the Nth item.
recall() {
    eval "guid=\$guid_$1 occ=\$occ_$1 token=\$token_$1 ok=\$ok_$1" \
        "life=\$life_$1 input=\$input_$1 setting=\$setting_$1 text=\$text_$1"
}

# claim: put the start of an item on record, and answer. False if it is not to be started here.
claim() {
    [ -w "$root/$guid/$occ" ] || places "$guid/$occ"
    if ! cd "$root/$guid/$occ"; then
        answer="no 73 cannot make $root/$guid/$occ"
    elif [ -z "$named" ] || [ -e .started ] || [ -e .exit ] || [ -e .lock ] || launched; then
        answer=again
    elif true >>stdout 2>>stderr && decode "$input" .stdin && decode "$setting" .env &&
        note_signal && note .started "$boot_id $$ $born $now $guid.$occ"; then
        echo "$occ" >>"$root/fence/$guid" # behind the token
        answer="running 0 $now $now"
    else
        answer="no 74 cannot write in $PWD: $(obstacle)"
    fi 2>/dev/null
    printf '%s\n' "$number $answer"
    [ "${answer%% *}" = running ]
}

# note_signal: that which stops it, in $life, if it is not TERM.
note_signal() {
    signal=${life#*:}
    case ${signal%%:*} in '' | TERM) ;; *) note .signal "${signal%%:*}" ;; esac
}

# decode TEXT FILE: write what is given in base64, where it is.
decode() { [ "$1" = - ] || (umask 077 && printf %s "$1" | base64 -d >"$2"); }

# fork_each: have a process supervise each of $fresh. They are members of a pipeline, because what is
# started by "&" ignores interrupts (POSIX, 2.11 "Signals and Error Handling"). This shell waits for
# all of them: what it has not begun yet counts as supervised as long as it lives.
fork_each() {
    members=''
    for number in $fresh; do members="$members${members:+ | }tend $number"; done
    eval "$members"
}

# tend N: supervise the command of the Nth item.
tend() {
    recall "$1"
    rights='' leader='' stopped='' expired='' input=/dev/null
    exec </dev/null >/dev/null
    printf %s "$guid.$occ" >/proc/self/comm
    trap stopped=1 USR1 # how to stop where no file can say so
    if cd "$root/$guid/$occ"; then
        [ ! -e .stdin ] || input=.stdin
        execute "$text"
    else
        code=- outcome=LOST
    fi
    conclude "$code" "$outcome" || retain
}

if [ "$1" = starts ]; then
    "$@"
    exit
fi
