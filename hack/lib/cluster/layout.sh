# Names, addresses and folders of one cluster: everything the other parts must agree on.
# To be sourced after common.sh.

# layout NAME: sets what follows from the cluster's name alone.
#   10.<octet>.0.0/24     the nodes' network: .1 this machine, .2 control plane and DNS, .11 node-1, .12 node-2 ...
#   10.<octet>.128.0/18   pods, a /24 for each node
#   10.<octet>.192.0/18   Services
layout() {
    cluster=$1
    [[ $cluster =~ ^[a-z][a-z0-9-]{0,19}$ ]] || fail "a cluster's name is 1 to 20 of a-z, 0-9 and -, not '$cluster'"
    state=${MODELCACHE_CLUSTER_DIR:-/run/modelcache-cluster}
    local octet=198 number
    number=$(printf %s "$cluster" | cksum | cut -d' ' -f1)
    if [ "$cluster" != modelcache ]; then
        # A second cluster beside the first has a folder and a network of its own.
        state=$state-$cluster
        octet=$((100 + number % 90))
    fi
    subnet=10.$octet
    host_address=$subnet.0.1
    control_address=$subnet.0.2
    pod_range=$subnet.128.0/18
    service_range=$subnet.192.0/18
    api_service_address=$subnet.192.1
    dns_service_address=$subnet.192.10
    server=https://$control_address:6443
    # An interface's name has 15 characters at most.
    host_link=$(printf 'mck-%08x' "$number")
    pki=$state/pki
    logs=$state/logs
    pids=$state/pids
    admin_kubeconfig=$state/admin.kubeconfig
    cgroup=$cluster-cluster
}

# 63 nodes fit into the pods' /18.
most_nodes=63
node_address() { echo "$subnet.0.$((10 + ${1#node-}))"; }
node_pods() { echo "$subnet.$((127 + ${1#node-})).0/24"; }

# nodes_there: the nodes this cluster was brought up with, one a line.
nodes_there() {
    local count
    count=$(cat "$state/nodes" 2>/dev/null || echo 0)
    local number
    for ((number = 1; number <= count; number++)); do echo "node-$number"; done
}

# netns_name MACHINE: its network namespace, as `ip netns` lists it.
netns_name() { echo "$cluster-$1"; }

# disk_folder: where what is big lives (images, node disks). Beside the state, unless that is memory.
disk_folder() {
    case $(stat -f -c %T "$state") in
    tmpfs | ramfs) echo "$cache/cluster/$cluster" ;;
    *) echo "$state/disk" ;;
    esac
}
