# Shared by the scripts in hack/: where things are, and how to speak to the person who waits.
# To be sourced after `set -euo pipefail`.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Everything that is fetched or derived and can be made again lives outside the tree.
cache=${MODELCACHE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modelcache}
distribution=${MODELCACHE_DIST:-$repository/dist}
mkdir -p "$cache"

# All talk goes to stderr: stdout carries results alone.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# head_text: what the head of the script that runs says, for --help.
head_text() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# is_ready FOLDER RECIPE: the cache has it already, so no lock is needed, and the cache may be another user's.
is_ready() { [ "$(cat "$1/.ready" 2>/dev/null)" = "$2" ]; }

# with_lock NAME COMMAND...: two runs of one script do not work on the same cache at once.
with_lock() {
    local name=$1 descriptor
    shift
    exec {descriptor}>"$cache/.$name.lock"
    flock -n "$descriptor" || { say "waiting for another run that prepares $name"; flock "$descriptor"; }
    # The lock must not outlive this call in a child that stays in the background.
    "$@" {descriptor}>&-
    local outcome=$?  # seen where the caller looks at it, which switches errexit off
    exec {descriptor}>&-
    return $outcome
}

# machine_library_folder: Debian's name for this architecture's folder, e.g. x86_64-linux-gnu.
machine_library_folder() { echo "$(uname -m)-linux-gnu"; }

# python_environment NAME REQUIREMENTS...: prints the python of a virtual environment in the cache
# that holds exactly these requirement files. Its name carries their digest: a change makes a new one.
python_environment() {
    local name=$1 digest folder
    shift
    digest=$(cat "$@" | sha256sum | cut -c1-12)
    folder=$cache/python/$name-$digest
    # Tests may begin side by side: each would remove what the other makes.
    [ -e "$folder/.ready" ] || with_lock "python-$name-$digest" make_python_environment "$name" "$folder" "$@" || return 1
    echo "$folder/bin/python"
}

make_python_environment() {
    local name=$1 folder=$2 arguments=() file
    shift 2
    [ ! -e "$folder/.ready" ] || return 0
    say "making the Python environment $name"
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 || { say "error: python3 -m venv failed: install python3-venv"; return 1; }
    for file in "$@"; do arguments+=(-r "$file"); done
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}" >&2 && touch "$folder/.ready"
}

# Asked for first, it is the same for every script. An option may also stand behind others: then the script looks for it.
case ${1:-} in -h | --help)
    head_text
    exit
    ;;
esac
