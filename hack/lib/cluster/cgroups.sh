# A control group for each node's pods, under one for the cluster. To be sourced after layout.sh.

# cgroup_mounts: every hierarchy, as "type folder options" lines.
cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $3, $2, $4 }' /proc/mounts | sort -u; }

# node_cgroup NODE: makes it in every hierarchy, as kubelet's cgroupRoot must exist in all.
node_cgroup() {
    local kind folder options level
    while read -r kind folder options; do
        for level in "$folder/$cgroup" "$folder/$cgroup/$1"; do
            [ -d "$level" ] || mkdir "$level" 2>/dev/null || continue
            if [ "$kind" = cgroup ] && [[ ,$options, == *,cpuset,* ]]; then
                # A new cpuset is empty and takes no process.
                cat "${level%/*}/cpuset.cpus" >"$level/cpuset.cpus"
                cat "${level%/*}/cpuset.mems" >"$level/cpuset.mems"
            elif [ "$kind" = cgroup2 ] && [ -s "${level%/*}/cgroup.controllers" ]; then
                local controller
                for controller in $(cat "${level%/*}/cgroup.controllers"); do
                    echo "+$controller" >"${level%/*}/cgroup.subtree_control" 2>/dev/null || true
                done
            fi
        done
    done < <(cgroup_mounts)
}

# cgroups_remove: all of the cluster's; what is still in them is a process that has not ended.
cgroups_remove() {
    local kind folder options tries
    while read -r kind folder options; do
        tries=100
        while [ -d "$folder/$cgroup" ]; do
            find "$folder/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ -d "$folder/$cgroup" ] || break
            ((tries-- > 0)) || fail "$folder/$cgroup is still in use: $(find "$folder/$cgroup" -name cgroup.procs -exec cat {} + | tr '\n' ' ')"
            sleep 0.05
        done
    done < <(cgroup_mounts)
}
