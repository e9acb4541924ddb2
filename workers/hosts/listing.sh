# The list of a directory and of all below it; it changes nothing on the host.
#
# Set before: folder (the run directory), path (relative to it), and pruned (an expression of find
# for the supervisor's files). Prints "list" and then, with a NUL after each, TYPE SIZE MTIME MODE
# NAME. Exits with 66 if there is no such directory.

cd "$folder" 2>/dev/null || exit 66
top=$(pwd -P)
cd "./$path" 2>/dev/null || exit 66
echo list
LC_ALL=C
export LC_ALL
set -- find . -mindepth 1
form='%y %s %T@ %m %P\0'
if [ "$(pwd -P)" = "$top" ]; then
    # shellcheck disable=SC2086 # several words
    "$@" \( $pruned -o -name '.nepiq.*.part' \) -prune -o -printf "$form" 2>/dev/null
else
    "$@" -name '.nepiq.*.part' -prune -o -printf "$form" 2>/dev/null
fi
exit 0
