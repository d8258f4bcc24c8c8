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

# with_lock NAME COMMAND...: two runs of one script do not work on the same cache at once.
with_lock() {
    local name=$1 descriptor
    shift
    exec {descriptor}>"$cache/.$name.lock"
    flock -n "$descriptor" || { say "waiting for another run that prepares $name"; flock "$descriptor"; }
    # The lock must not outlive this call in a child that stays in the background.
    "$@" {descriptor}>&-
    exec {descriptor}>&-
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
    if [ ! -e "$folder/.ready" ]; then
        say "making the Python environment $name"
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 || fail "python3 -m venv failed: install python3-venv"
        local arguments=() file
        for file in "$@"; do arguments+=(-r "$file"); done
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}" >&2
        touch "$folder/.ready"
    fi
    echo "$folder/bin/python"
}
