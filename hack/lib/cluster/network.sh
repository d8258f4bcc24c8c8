# The cluster's network: a bridge in the control plane's namespace, a link to this machine and to each node. All of
# it but one interface of this machine lies in namespaces, so nothing here touches this machine's own firewall or
# forwarding. To be sourced after layout.sh.
#
# Links have two ends that tc can shape: eth0 inside a node (what it sends) and <node> inside the control plane's
# namespace (what it receives).

# netns_make MACHINE
netns_make() {
    local netns
    netns=$(netns_name "$1")
    [ ! -e "/run/netns/$netns" ] || return 0
    # The first namespace of a computer makes this folder a mount, which the last should take away again.
    [ -e /run/netns ] || touch "$state/made-netns-folder"
    ip netns add "$netns"
    ip -n "$netns" link set lo up
}

in_netns() {
    local netns
    netns=$(netns_name "$1")
    shift
    nsenter --net="/run/netns/$netns" "$@"
}

control_network() {
    local netns
    netns=$(netns_name control)
    netns_make control
    if ! ip -n "$netns" link show br0 >/dev/null 2>&1; then
        ip -n "$netns" link add br0 type bridge
        ip -n "$netns" address add "$control_address/24" dev br0
        ip -n "$netns" link set br0 up
        in_netns control sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables' 2>/dev/null || true
    fi
    if ! ip link show "$host_link" >/dev/null 2>&1; then
        [ -z "$(ip route show root "$subnet.0.0/16")" ] ||
            fail "this machine already has routes in $subnet.0.0/16: choose another --name, which has another network"
        ip link add "$host_link" type veth peer name host netns "$netns"
        ip -n "$netns" link set host master br0 up
        ip address add "$host_address/24" dev "$host_link"
        ip link set "$host_link" up
        # Services are reached through the control plane's kube-proxy.
        ip route replace "$service_range" via "$control_address"
    fi
    ip -n "$netns" route replace default via "$host_address"
}

# node_network NODE
node_network() {
    local node=$1 netns control address
    netns=$(netns_name "$node") control=$(netns_name control) address=$(node_address "$node")
    netns_make "$node"
    if ! ip -n "$netns" link show eth0 >/dev/null 2>&1; then
        ip -n "$control" link add "$node" type veth peer name eth0 netns "$netns"
        ip -n "$control" link set "$node" master br0 up
        ip -n "$netns" address add "$address/24" dev eth0
        ip -n "$netns" link set eth0 up
        # Addresses of Services need some route before kube-proxy rewrites them.
        ip -n "$netns" route replace default via "$host_address"
        # No cloud's metadata service is here, and kubelet asks for those: tell it at once.
        ip -n "$netns" route replace unreachable 169.254.0.0/16
        in_netns "$node" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    fi
}

# pod_routes: everyone knows which node has which pods, without an overlay.
pod_routes() {
    local machine node batch
    for machine in $(nodes_there) control; do
        batch=''
        for node in $(nodes_there); do
            [ "$node" = "$machine" ] || batch+="route replace $(node_pods "$node") via $(node_address "$node")"$'\n'
        done
        [ ! -e "/run/netns/$(netns_name "$machine")" ] || ip -n "$(netns_name "$machine")" -batch - <<<"$batch"
    done
    batch=''
    for node in $(nodes_there); do batch+="route replace $(node_pods "$node") via $(node_address "$node")"$'\n'; done
    ip -batch - <<<"$batch"
}

# network_remove: interfaces, addresses and routes go with the namespaces.
network_remove() {
    local netns
    # First, as it would go with the namespace at a moment of the kernel's choice.
    ip link delete "$host_link" 2>/dev/null || true
    for netns in $(ip netns list | cut -d' ' -f1); do
        case $netns in
        "$cluster-control" | "$cluster-node-"[0-9]*) ip netns delete "$netns" ;;
        esac
    done
    if [ -e "$state/made-netns-folder" ] && [ -z "$(ls /run/netns)" ]; then
        umount /run/netns 2>/dev/null || true
        rmdir /run/netns
    fi
}
