# Debian packages: the one place that installs any.

# need_packages PACKAGE...: installs what is missing when root, else names it and fails.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        fail "missing Debian packages: ${missing[*]} (as root: apt-get install ${missing[*]})"
    fi
    say "installing ${missing[*]}"
    # The lists may be absent or old: refresh them only when they do not do. Scripts that go side by side may both install.
    install_packages "${missing[@]}" 2>/dev/null && return 0
    apt-get update -q >/dev/null
    install_packages "${missing[@]}"
}

install_packages() { DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends "$@" >/dev/null; }

# debian_mirror: the mirror this machine takes Debian from, as its own apt configuration says.
debian_mirror() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CREATED_BY)' 2>/dev/null |
        awk '$2 == "Packages" && $1 ~ /debian\/?$/ { print $1; exit }')
    [ -n "$mirror" ] || fail "no Debian mirror in this machine's apt configuration (/etc/apt/sources.list.d)"
    echo "${mirror%/}"
}

# private_apt FOLDER SUITE...: prepares an apt of its own under FOLDER for the given suites: its lists,
# status and archives are apart from the machine's, so it needs no root and changes nothing. Sets
# `private_apt_options` for apt-get. Packages are verified with Debian's archive keyring.
private_apt() {
    local folder=$1 suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    shift
    [ -r "$keyring" ] || fail "$keyring is missing: install debian-archive-keyring"
    mirror=$(debian_mirror)
    mkdir -p "$folder"/{lists/partial,archives/partial,state}
    : >"$folder/state/status"
    for suite in "$@"; do echo "deb [signed-by=$keyring] $mirror $suite main"; done >"$folder/sources.list"
    private_apt_options=(
        -q -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State="$folder/state" -o Dir::State::Lists="$folder/lists"
        -o Dir::State::Status="$folder/state/status"
        -o Dir::Cache="$folder" -o Dir::Cache::Archives="$folder/archives"
        -o APT::Sandbox::User= -o Acquire::Languages=none -o APT::Update::Post-Invoke-Success=
    )
    apt-get "${private_apt_options[@]}" update >/dev/null
}
