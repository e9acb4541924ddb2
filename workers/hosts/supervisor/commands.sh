### Commands: supervised ones (launch, launches) and those that are waited for (run, run_root)

# launch GUID OCC TOKEN OK KIND SIGN LIMIT MARK [RIGHTS [LIFE]]: start the command, or adopt an
# earlier launch.
#
# OK are the codes that count as FINISHED; KIND (none, port, output, file), SIGN and LIMIT
# (hundredths of a second) say when it serves; RIGHTS may be root; LIFE is as live reads it. On
# stdin: a line with its input and one with a script that sets its environment, both in base64 ("-"
# for none, or written before), then the command and MARK (see strip), either in the third line,
# which needs no process to read it, or after an empty one, for the shell reads byte by byte.
# Answers running ADOPTED SINCE NOW, or ended ADOPTED NOW BOOT and the line of the exit.
launch() {
    guid=$1 occ=$2 token=$3 ok=$4 kind=$5 sign=$6 limit=$7 rights=${9-} life=${10-}
    IFS= read -r input && IFS= read -r setting && IFS= read -r text || fail 65 "no command came"
    [ -n "$text" ] || text=$(cat)
    enter "$8"
}

# launches: start several commands one after the other. On stdin for each: a line with GUID OCC
# TOKEN OK MARK [LIFE], and the three lines of launch. Answers as launch, a line for each, led by
# its number.
launches() {
    kind=none sign=- limit=0 number=0
    while IFS=' ' read -r guid occ token ok mark life; do
        IFS= read -r input && IFS= read -r setting && IFS= read -r text ||
            fail 65 "no command came"
        answer=$(enter "$mark") number=$((number + 1))
        printf '%s\n' "$number $answer"
    done
}

# enter MARK: what follows once the command is here.
enter() {
    adopted=1
    strip "$1"
    if [ "$kind" = output ]; then
        grep -qE -e "$sign" </dev/null
        [ $? -le 1 ] || fail 64 "no regular expression: $sign"
    fi
    [ -z "$rights" ] || [ -s "$root/$guid/$occ/.started" ] || access
    fence "$guid" "$token"
    [ -d "$root/$guid/$occ" ] || mkdir -p "$root/$guid/$occ" 2>/dev/null || places "$guid/$occ"
    [ -w "$root/$guid/$occ" ] || places "$guid/$occ"
    cd "$root/$guid/$occ" || fail 73 "cannot make $root/$guid/$occ"
    sole .lock
    exec 9>>.lock
    if ! flock -n 9; then
        if supervised . || { [ ! -s .started ] && borne; }; then
            adopt
            return
        fi
        exec 8>&-
        flock 9 # an audit or an end has it, for a moment
        fence "$guid" "$token"
    fi
    # First who supervises it, who may record the end meanwhile; what started several holds no lock.
    if supervised .; then
        adopt
    elif recorded .; then
        report
    elif [ -s .started ]; then
        bury
    elif ! launched; then
        spawn
    elif borne; then
        adopt # it has removed its directory
    elif recorded .; then
        report # it has ended since
    else
        bury
    fi
}

# bury: nobody has seen it end: end what is left of it.
bury() {
    exec 8>&-
    guids='' dirs=$guid/$occ
    put_down 0
    conclude - LOST
    report
}

# borne: does the supervisor of this occasion live, though nothing on record says so?
borne() {
    roll_call
    on_roll "$guid/$occ"
}

# The answer comes from the supervisor, which inherits this output and both locks.
spawn() {
    [ -z "$rights" ] || mark_rooted "$guid"
    decode "$input" .stdin && decode "$setting" .env || exit
    if [ "${#text}" -gt 100000 ]; then # Linux allows 128 kB in one argument (execve(2))
        printf '%s\n' "$text" >.command || exit
        text='exec sh ./.command'
    fi
    export NEPIQ_ID="$run.$guid.$occ.supervisor" NEPIQ_NODE="$run.$node.supervisor"
    set -- setsid -f sh "$root/supervisor.sh" supervise \
        "$guid" "$occ" "$ok" "$kind" "$sign" "$limit" "$text" "$rights" "$life"
    [ -n "$rights" ] && [ -n "$secret" ] || exec "$@" </dev/null 2>/dev/null
    export NEPIQ_SECRET=1
    printf '%s\n' "$secret" | "$@" 2>/dev/null
}

# admit GUID: go on only if its command can be run as root, and mark it.
admit() {
    access
    mark_rooted "$1"
}

mark_rooted() {
    [ -d "$root/$1" ] || mkdir -p "$root/$1"
    : >"$root/$1/.root" || exit
}

# An earlier launch runs: wait until it serves, or test that if nobody does any more.
adopt() {
    exec 8>&- 9>&-
    if [ "$kind" != none ] && [ ! -e .serving ]; then
        exec 7>>.waiting
        flock 7
    fi
    if [ "$kind" = none ] || [ -e .serving ] || recorded .; then report; else serve; fi
}

# Wait until the command serves or has ended, end it when it is overdue, and answer.
serve() {
    { read -r _ _ _ moment _ <.started; } 2>/dev/null || fail 69 "its run directory is gone"
    hundredths
    rounds=0 late=$((${moment%.*} * 100 + 1${moment#*.} - 100 + limit))
    while ! recorded . && supervised .; do
        if serving; then
            clock
            put .serving "$now"
            break
        fi
        hundredths
        if [ "$cs" -ge "$late" ]; then
            true >.overdue
            guids='' dirs=$guid/$occ
            put_down 200
            { flock -s -w 5 4; } 4>>.lock
            break
        fi
        rounds=$((rounds + 1))
        if [ "$rounds" -le 50 ]; then
            sleep 0.02
        elif [ "$rounds" -le 150 ]; then
            sleep 0.05
        else
            sleep 0.2
        fi
    done
    [ -e .started ] || fail 69 "its run directory is gone"
    report
}

serving() {
    case $kind in
    port)
        # That of the command, which may be in a network namespace.
        leader "$guid/$occ"
        port_open "/proc/${leader:-self}/net"
        ;;
    output) grep -qE -e "$sign" stdout stderr ;;
    file) [ -e "$sign" ] ;;
    esac
}

port_open() { grep -qsE ":$sign [0-9A-F]+:0000 0A " "$1/tcp" "$1/tcp6"; }

# succeeded GUID: whether a start of it has succeeded here, 1 or nothing, in $NEPIQ_STARTED: it serves
# or did, or else runs or has ended in another way than by its own failure.
succeeded() {
    NEPIQ_STARTED=''
    for path in "$root/$1"/[0-9]*; do
        if [ -e "$path/.serving" ]; then
            NEPIQ_STARTED=1
        elif recorded "$path"; then
            read -r _ outcome _ <"$path/.exit"
            case $outcome in FAILED | OVERDUE) ;; *) NEPIQ_STARTED=1 ;; esac
        elif [ -s "$path/.started" ]; then
            NEPIQ_STARTED=1
        fi
    done
}

# run GUID OCC TOKEN COMMAND [SKIP]: says ok, then becomes the command. A TOKEN of - passes no
# fence. With SKIP the command's input begins after the first empty line.
run() {
    [ "$3" = - ] || pass "$1" "$3"
    [ -z "${5-}" ] || while IFS= read -r line && [ -n "$line" ]; do :; done
    succeeded "$1"
    export NEPIQ_NODE="$run.$node" NEPIQ_STARTED
    echo ok
    cd "$root/$1/$2" 2>/dev/null || cd || exit
    exec sh -c "$4"
}

# run_root GUID OCC TOKEN COMMAND: the same as root, where it passes the fence once more, since sudo
# may take its time. If there is a secret, it comes again on stdin, with an empty line after it: sudo
# reads the former if it asks, and run what is left of them.
run_root() {
    [ "$3" = - ] || pass "$1" "$3"
    admit "$1"
    set -- env NEPIQ_ID="$run.$1" sh "$0" run "$@" ${secret:+skip}
    # A release signals the command; sudo, which would pass that on once more, bears no name of it.
    export NEPIQ_ID="$run.sudo" NEPIQ_NODE="$run.sudo"
    # This shell stays, and can be killed by those who give up. It need not say of which signal the
    # command died.
    { (elevate "$@" 2>&3 3>&-); } 3>&2 2>/dev/null
}
