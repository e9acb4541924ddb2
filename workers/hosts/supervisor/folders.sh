### Directories and files of the supervisor: made and repaired
#
# Others may have removed, moved, replaced or closed them: processes can be ended and exits are
# reported all the same.

# folder PATH: make it a directory that we can write to; a file of that name gives way.
folder() {
    [ -d "$1" ] || { [ ! -e "$1" ] && [ ! -L "$1" ]; } || rm -f "$1"
    [ -d "$1" ] || mkdir -m "$mode" "$1" || [ -d "$1" ] || return
    [ -w "$1" ] && [ -x "$1" ] || chmod u+rwx "$1"
}

# ground: .nepiq is there. What has its name and is none may be somebody's.
ground() {
    if [ -e "$base" ] && [ ! -d "$base" ]; then
        echo "$base is not a directory: move it away" >&2
        return 1
    fi
    [ -d "$base" ] || mkdir -p -m "$mode" "$base" || return
    folder "$base"
}

# build PATH...: make these directories, each in the one before it, with the usual permissions. One
# process does most of it; what is in the way is left to "places".
build() {
    command -v install >/dev/null && install -d -m "$mode" "$@" 2>/dev/null || :
}

# places [DIR]: the directory of the node, and one in it, are there.
places() {
    ground && folder "$base/$run" && folder "$root" || return
    case ${1-} in
    */*) folder "$root/${1%/*}" && folder "$root/$1" ;;
    ?*) folder "$root/$1" ;;
    esac
}

# sole FILE: under this name is a file that we can read and write, or nothing.
sole() {
    [ ! -f "$1" ] || [ ! -r "$1" ] || [ ! -w "$1" ] || return 0
    if [ -f "$1" ]; then
        chmod u+rw "$1"
    elif [ -e "$1" ] || [ -L "$1" ]; then
        rm -rf "$1"
    fi
}

# obstacle: why nothing can be written in the directory of the node.
obstacle() {
    said=$(echo | LC_ALL=C cat 2>&1 >"$root/.probe" | tail -n 1)
    rm -f "$root/.probe"
    printf %s "${said##*: }"
}
