# The assembly of an application on its host: parts to their places, a build, an install. POSIX sh.
#
# Before it come: usr, dir (.usr and the run directory), run (the id), key (of the build; "" for
# none), installs (1 or 0), and the functions parts (a call of "part" for each part), build and
# install (commands). After it comes a verb:
#
#   look      put in place what the host has; says what is left to do, in the first line:
#               done | todo content SHA256... | todo fetch | todo build | todo install | busy
#   fetch     have the host itself fetch what URLs and git name
#   build_once    build
#   install_once  install; as root where the application is
#   abandon   a build that was ended: keep its output
# Each may say: failed here|build|install CODE, and then the reason.
#
# .usr/content/<name>         a file, or the archive of a directory; named by its SHA-256, of git by
#                             repository and commit
# .usr/url/<name>             for a URL without checksum: the last run that has fetched it, the SHA-256
# .usr/placed/<place>/<name>  what is in a place: name and mode of the content, an id of its own
# .usr/build/<key>/run        where a build runs, and its result; code, stdout, stderr beside it;
#                             ready: it is whole, made from these ids of parts; failed: it failed so
# .usr/part/<name>            what is being made by the holder of .usr/lock/<name>
set -u
app=${dir%/*} entry=$usr/build/$key

say() {
    printf '%s\n' "$*"
    exit 0
}
busy() { say busy; }

# broken WHAT: nothing can be written, for instance on a full disk.
broken() {
    report 1
    say "failed here 1
$1"
}

# report CODE: the traces of the deployment.
report() {
    each=list
    {
        parts
        show build_stdout install_stdout
    } 2>/dev/null >deploy_stdout
    show .fetch_stderr build_stderr install_stderr 2>/dev/null >deploy_stderr
    echo "$1" >deploy_exitcode
}

# show FILE...: print those that have something.
show() {
    for file; do [ ! -s "$file" ] || cat "$file"; done
}

part() { "$each" "$@"; }

list() { printf '%s/%s: %s\n' "$1" "$2" "$8"; }

# locate PLACE NAME: where a part belongs, in $folder, $goal and $record.
locate() {
    record=$app/.placed/$1.$2
    case $1 in
    home) folder=$app ;;
    code | script) folder=$app/$1 ;;
    *) folder=$usr/$1 record=$usr/placed/$1/$2 ;;
    esac
    goal=$folder/$2
}

# settled PLACE NAME HOW NAME MODE: is it in its place? What it is goes to $sha.
settled() {
    sha=$4
    locate "$1" "$2"
    if [ "$3" = url ]; then
        of='' sha=''
        { read -r of sha <"$usr/url/$4"; } 2>/dev/null
        [ "$of" = "$run" ] || {
            sha=''
            return 1
        }
    fi
    [ -e "$goal" ] && { read -r have id <"$record"; } 2>/dev/null && [ "$have" = "$sha.$5" ]
}

# here HOW: is the content $sha in the cache?
here() { [ "$1" = inline ] || { [ -n "$sha" ] && [ -f "$usr/content/$sha" ]; }; }

check() {
    settled "$@" && return
    here "$3" && return
    case $3 in
    content) lacking="$lacking $sha" ;;
    *) fetches=1 ;;
    esac
}

# place PLACE NAME HOW NAME MODE DATA: put it there, if that is not so already.
place() {
    settled "$@" && return
    mkdir -p "$folder" "${record%/*}" || broken "cannot make $folder"
    # What belongs to this application alone needs no lock.
    made=$app/.placed/new
    case $1 in
    home | code | script) ;;
    *)
        made=$usr/part/place.$1
        exec 9>>"$usr/lock/place.$1"
        flock -w 2 9 || busy
        ! settled "$@" || {
            exec 9>&-
            return 0
        }
        ;;
    esac
    said=$(put "$@" 2>&1) || {
        discard "$made"
        broken "cannot make $goal: $said"
    }
    discard "$made"
    read -r id </proc/sys/kernel/random/uuid
    printf '%s %s\n' "$sha.$5" "$id" >"$record"
    exec 9>&-
}

# put PLACE NAME HOW NAME MODE DATA: make it under another name first.
put() {
    discard "$made" && mkdir -p "$made" || return
    if [ "$3" = inline ]; then
        printf %s "$6" | base64 -d >"$made/new"
    elif [ "$5" = tree ]; then
        mkdir "$made/new" && LC_ALL=C tar -xpf "$usr/content/$sha" -C "$made/new" --no-same-owner
    else
        copy "$usr/content/$sha" "$made/new"
    fi || return
    [ "$5" = tree ] || chmod "$5" "$made/new" || return
    # A directory cannot be replaced in one step.
    [ -d "$made/new" ] || [ -d "$goal" ] || {
        mv -fT "$made/new" "$goal"
        return
    }
    [ ! -e "$goal" ] && [ ! -L "$goal" ] || mv -T "$goal" "$made/old" || return
    mv -T "$made/new" "$goal"
}

# discard PATH: remove it, also directories that nobody may write to.
discard() {
    rm -rf "$1" 2>/dev/null || { chmod -R u+rwx "$1" && rm -rf "$1"; } 2>/dev/null
}

# copy FROM TO: by reference, where the file system can.
copy() { cp -a --reflink=auto "$1" "$2" 2>/dev/null || cp -a "$1" "$2"; }

# fetched PLACE NAME HOW NAME MODE ADDRESS DIGEST TEXT: have the host fetch it. URLs are followed as
# http and https only.
fetched() {
    settled "$@" && return
    here "$3" && return
    case $3 in content) return ;; esac
    exec 9>>"$usr/lock/$4"
    flock -n 9 || busy
    ! settled "$@" && ! here "$3" || return 0
    made=$usr/part/$4
    discard "$made" && mkdir -p "$made" || broken "cannot make $made"
    if [ "$3" = git ]; then checkout "$6" "$7"; else download "$4" "$6" "$7"; fi
    discard "$made"
    exec 9>&-
}

# refuse REASON: fail, and leave nothing of it.
refuse() {
    discard "$made"
    printf '%s\n' "$1" >>.fetch_stderr
    report 1
    say "failed here 1
$1"
}

# download NAME URL SHA256: a file becomes a content; the SHA-256 is - if it is not known.
download() {
    if command -v curl >/dev/null; then
        said=$(curl -fsSL --retry 3 --connect-timeout 30 --proto =http,https --proto-redir =http,https \
            -o "$made/file" -- "$2" 2>&1)
    elif command -v wget >/dev/null; then
        said=$(LC_ALL=C wget -T 30 -O "$made/file" -- "$2" 2>&1) # with -q it tells no errors
    elif command -v python3 >/dev/null; then
        said=$(python3 -c 'import shutil, sys, urllib.request as u
with u.urlopen(sys.argv[1], timeout=60) as one, open(sys.argv[2], "wb") as two:
    shutil.copyfileobj(one, two)' "$2" "$made/file" 2>&1 | tail -n 1)
        [ -z "$said" ]
    else
        refuse "this host has no curl, wget or python3 to fetch $2"
    fi || refuse "cannot fetch $2: $(printf %s "$said" | grep . | tail -n 1)"
    command -v sha256sum >/dev/null || refuse "this host lacks: sha256sum"
    sha=$(sha256sum <"$made/file")
    sha=${sha%% *}
    if [ "$3" != - ] && [ "$3" != "$sha" ]; then
        refuse "cannot fetch $2: its SHA-256 is $sha, not $3"
    fi
    mv -f "$made/file" "$usr/content/$sha" || refuse "cannot keep $2"
    [ "$3" != - ] || {
        printf '%s %s\n' "$run" "$sha" >"$made/note" && mv -f "$made/note" "$usr/url/$1"
    } || refuse "cannot keep $2"
}

# checkout REPOSITORY COMMIT: its archive, with .git and submodules, becomes a content.
checkout() {
    command -v git >/dev/null || refuse "this host lacks git to fetch $1: install the package git"
    said=$(
        export GIT_TERMINAL_PROMPT=0 LC_ALL=C
        exec 2>&1
        mkdir "$made/tree" && cd "$made/tree" && git init -q . && git remote add origin "$1" || exit
        git fetch -q --depth 1 origin "$2" 2>/dev/null ||
            git fetch -q --tags origin '+refs/heads/*:refs/remotes/origin/*' || exit
        git checkout -q "$2" || exit
        [ ! -e .gitmodules ] || git submodule -q update --init --recursive
    ) || refuse "cannot fetch commit $2 of $1: $(printf %s "$said" | tail -n 1)"
    tar -cf "$made/archive" -C "$made/tree" . && mv -f "$made/archive" "$usr/content/$sha" ||
        refuse "cannot keep $1"
}

# identify PLACE ...: what is in shared places, for a build may change it there, as "make" does.
identify() {
    case $1 in home | code | script) return ;; esac
    settled "$@" || id=none
    used="$used $1/$2=$id"
}

# deliver: the result of the build, for this application.
deliver() {
    cp "$entry/stdout" build_stdout && cp "$entry/stderr" build_stderr &&
        copy "$entry/run/." . && echo 0 >build_exitcode ||
        broken "cannot copy the result of the build"
    touch -c "$entry/ready" 2>/dev/null
}

ready() { { IFS= read -r made <"$entry/ready"; } 2>/dev/null && [ "$made" = "$used" ]; }

# failed_before: has the same build failed in this run?
failed_before() { { IFS= read -r made <"$entry/failed"; } 2>/dev/null && [ "$made" = "$run$used" ]; }

# tell_failure: as the build has failed, with the lines of its output that are errors.
tell_failure() {
    read -r code <"$entry/exitcode"
    cp "$entry/stdout" build_stdout
    cp "$entry/stderr" build_stderr
    cp "$entry/exitcode" build_exitcode
    report "$code"
    echo "failed build $code"
    errors build_stderr build_stdout
    exit 0
}

# errors FILE...: lines that may be errors, and the last ones.
errors() {
    cat "$@" | LC_ALL=C grep -aiE 'error|undefined reference|cannot|failed|no space left|: \*\*\* ' |
        head -n 20 | cut -c 1-500
    for file; do tail -n 2 "$file" | cut -c 1-500; done
}

succeeded() { { read -r code <"$1"; } 2>/dev/null && [ "$code" = 0 ]; }

usually() {
    mkdir -p "$dir" "$app/.placed" "$usr/content" "$usr/lock" "$usr/part" "$usr/url" ||
        say "failed here 1
cannot make $dir"
    cd "$dir" || exit
}

look() {
    usually
    [ ! -e .fetch_stderr ] || rm -f .fetch_stderr
    lacking='' fetches=''
    each=check && parts
    [ -z "$lacking" ] || say "todo content$lacking"
    [ -z "$fetches" ] || say todo fetch
    each=place && parts
    if [ -n "$key" ] && ! succeeded build_exitcode; then
        used=''
        each=identify && parts
        if ready; then deliver; elif failed_before; then tell_failure; else say todo build; fi
    fi
    [ "$installs" = 0 ] || succeeded install_exitcode || say todo install
    report 0
    echo done
}

fetch() {
    usually
    each=fetched && parts
    echo done
}

build_once() {
    usually
    used=''
    each=identify && parts
    mkdir -p "$usr/build" || broken "cannot make $usr/build"
    exec 9>>"$usr/lock/$key"
    flock -n 9 || busy
    ! ready && ! failed_before || say done
    find "$usr/build" -maxdepth 2 -name ready -mtime +30 |
        while read -r old; do discard "${old%/ready}"; done
    discard "$entry" && mkdir -p "$entry/run" || broken "cannot make $entry"
    for name in code script; do
        [ ! -e "$app/$name" ] || copy "$app/$name" "$entry/$name" || broken "cannot copy $name"
    done
    # The lock is held as long as anything of the build lives.
    (cd "$entry/run" && build) >"$entry/stdout" 2>"$entry/stderr" </dev/null
    code=$?
    echo "$code" >"$entry/exitcode"
    before=$used used=''
    each=identify && parts
    if [ "$used" != "$before" ]; then
        discard "$entry"
        broken "another application has replaced a part during the build: give parts other names"
    fi
    if [ "$code" -ne 0 ]; then
        discard "$entry/run"
        printf '%s\n' "$run$used" >"$entry/failed"
        tell_failure
    fi
    printf '%s\n' "$used" >"$entry/ready.new" && mv -f "$entry/ready.new" "$entry/ready" ||
        broken "cannot keep the result of the build"
    echo done
}

install_once() {
    cd "$dir" || exit
    (install) >install_stdout 2>install_stderr </dev/null
    code=$?
    echo "$code" >install_exitcode
    report "$code"
    [ "$code" -ne 0 ] || say done
    echo "failed install $code"
    errors install_stderr install_stdout
}

abandon() {
    usually
    if [ -n "$key" ] && [ -d "$entry" ] && ! [ -e "$entry/ready" ]; then
        cp "$entry/stdout" build_stdout && cp "$entry/stderr" build_stderr
        exec 9>>"$usr/lock/$key"
        ! flock -n 9 || discard "$entry"
    fi 2>/dev/null
    report 124
    echo done
}
