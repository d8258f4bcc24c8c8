# Machines: the control plane and each node live in namespaces of their own (network, mounts, processes, host
# name) under an init process. Whoever ends that init ends all processes and mounts of the machine at once, as
# pulling its plug would: containers, shims, tmpfs. To be sourced after layout.sh.

# start_time PID: when it started, in clock ticks; with the id it names a process for good (proc_pid_stat(5)).
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

remember() { echo "$2 $(start_time "$2")" >"$pids/$1"; }

# process_of PART: its process id when it is alive, else failure. PART is a machine or <machine>.<program>.
process_of() {
    local pid started
    read -r pid started 2>/dev/null <"$pids/$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
    [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f1)" != Z ] || return 1
    echo "$pid"
}

# detached LOG COMMAND...: in the background, in a session of its own, with no descriptor of ours: a lock that the
# caller holds must not live on in a daemon.
detached() {
    local log=$1
    shift
    bash -c 'for d in /proc/self/fd/*; do d=${d##*/}; [ "$d" -le 2 ] || eval "exec $d>&-"; done; exec "$@"' detached \
        setsid "$@" </dev/null >>"$log" 2>&1 &
    detached_process=$!
}

# only_child PID SECONDS: the one child of a process, when it has appeared.
only_child() {
    local tries=$(($2 * 50)) child
    while ((tries-- > 0)); do
        child=$(cat "/proc/$1/task/$1/children" 2>/dev/null || true)
        if [ -n "$child" ]; then echo "${child%% *}"; return; fi
        [ -e "/proc/$1" ] || return 1
        sleep 0.02
    done
    return 1
}

# machine_start MACHINE: its init, in the network namespace that is there already.
machine_start() {
    local machine=$1 folder=$state/machines/$1 log=$logs/$1.init.log init
    ! process_of "$machine" >/dev/null || return 0
    mkdir -p "$folder"
    rm -f "$folder/.ready"
    detached "$log" nsenter --net="/run/netns/$(netns_name "$machine")" \
        unshare --mount --propagation slave --uts --pid --fork --kill-child --mount-proc \
        "$repository/hack/lib/cluster/machine-init" "$machine" "$state" "$(disk_folder)/$machine" "${bin%/*}"
    init=$(only_child "$detached_process" 10) || fail "$machine did not start: $log"
    remember "$machine" "$init"
    local tries=500
    while [ ! -e "$folder/.ready" ]; do
        ((tries-- > 0)) && process_of "$machine" >/dev/null || fail "$machine did not come up: $log"
        sleep 0.02
    done
}

# machine_stop MACHINE: ends all of it at once.
machine_stop() {
    local machine=$1 init tries=500
    init=$(process_of "$machine") || return 0
    kill -KILL "$init" 2>/dev/null || true
    # The kernel ends the other processes of the namespace before the init is gone.
    while process_of "$machine" >/dev/null; do
        ((tries-- > 0)) || fail "$machine does not end: process $init"
        sleep 0.02
    done
}

# on_machine MACHINE COMMAND...: runs it inside. Not `ip netns exec`: that hides /sys/fs/cgroup.
on_machine() {
    local init
    init=$(process_of "$1") || fail "$1 is not running (start it: hack/cluster start $1)"
    shift
    nsenter --target "$init" --mount --uts --net --pid -- "$@"
}

# run_program MACHINE PROGRAM COMMAND...: starts a daemon on a machine unless it runs; its log is <machine>.<program>.log.
run_program() {
    local machine=$1 program=$2 part=$1.$2 init child
    shift 2
    ! process_of "$part" >/dev/null || return 0
    init=$(process_of "$machine") || fail "$machine is not running: $logs/$machine.init.log"
    detached "$logs/$part.log" env -i PATH="$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root TMPDIR=/tmp \
        nsenter --target "$init" --mount --uts --net --pid --wd=/ -- "$@"
    child=$(only_child "$detached_process" 5) || fail "$program on $machine did not start: $logs/$part.log"
    remember "$part" "$child"
}

# stop_program MACHINE PROGRAM [SIGNAL]: TERM, and KILL after ten seconds.
stop_program() {
    local part=$1.$2 signal=${3:-TERM} pid tries=200
    pid=$(process_of "$part") || return 0
    kill "-$signal" "$pid" 2>/dev/null || true
    while process_of "$part" >/dev/null; do
        ((tries-- > 0)) || { kill -KILL "$pid" 2>/dev/null || true; tries=200; }
        sleep 0.05
    done
}

# must_run MACHINE PROGRAM: fails with the end of its log when it has ended.
must_run() {
    process_of "$1.$2" >/dev/null && return
    tail -n 5 "$logs/$1.$2.log" >&2 || true
    fail "$2 on $1 ended: see $logs/$1.$2.log"
}
