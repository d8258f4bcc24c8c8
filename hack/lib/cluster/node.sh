# A node: containerd and its settings, kubelet, kube-proxy. To be sourced after control.sh.

# What is not a node's own matter but the test bed's: harmless labels that a cloud's nodes carry.
region=cn-hangzhou

# node_prepare NODE: what outlives its processes; one node after the other, as they share folders and a bridge.
node_prepare() {
    node_network "$1"
    node_cgroup "$1"
}

node_start() {
    local node=$1 folder=$state/machines/$1 address
    address=$(node_address "$node")
    mkdir -p "$folder/cni"
    certificates issue "$pki" ca "$node" "/O=system:nodes/CN=system:node:$node" "IP:$address" "DNS:$node"
    [ -e "$pki/$node.kubeconfig" ] || certificates kubeconfig "$pki" "$pki/$node.kubeconfig" "$server" ca "$node"
    containerd_settings "$node" >"$folder/containerd.toml"
    pod_network "$node" >"$folder/cni/10-pods.conflist"
    kubelet_settings "$node" "$address" >"$folder/kubelet.yaml"
    echo "nameserver $control_address" >"$folder/resolv.conf"
    machine_start "$node"
    run_program "$node" containerd "$bin/containerd" --config "$folder/containerd.toml" --log-level warn
    wait_for 120 "containerd on $node" "node_alive $node" containerd_ready "$node"
    [ -n "$(on_machine "$node" "$bin/ctr" -n k8s.io images list -q "name==$pause_image")" ] ||
        import_image "$node" <"$state/pause.tar"
    # kubelet looks for Docker for five seconds before it needs the API server; kube-proxy needs it at once.
    run_kubelet "$node"
    wait_for 120 "the API server to be ready" control_alive api_ready
    run_proxy "$node" "$address"
}

node_alive() { must_run "$1" containerd; }
containerd_ready() { on_machine "$1" "$bin/ctr" --connect-timeout 2s version >/dev/null 2>&1; }

# import_image NODE: a docker-archive or OCI tar from standard input, into what kubelet runs from.
import_image() {
    on_machine "$1" "$bin/ctr" -n k8s.io images import - >>"$logs/$1.images.log" 2>&1 ||
        fail "$1 did not take the image: $logs/$1.images.log"
}

# kubelet_knows FLAG: whether this release has it. (grep reads to the end: a cut pipe would count as a failure.)
kubelet_knows() { "$bin/kubelet" --help 2>&1 | grep -- "--$1 " >/dev/null; }

run_kubelet() {
    local node=$1 folder=$state/machines/$1 older=()
    # Before 1.24 another runtime is the default; newer releases have no such flag. The image of pods' sandboxes is a setting of
    # containerd too, and in the newest of that alone.
    if kubelet_knows container-runtime; then older+=(--container-runtime=remote); fi
    if kubelet_knows pod-infra-container-image; then older+=(--pod-infra-container-image="$pause_image"); fi
    run_program "$node" kubelet "$bin/kubelet" --config="$folder/kubelet.yaml" --kubeconfig="$pki/$node.kubeconfig" \
        "${older[@]}" --container-runtime-endpoint=unix:///run/containerd/containerd.sock \
        --hostname-override="$node" --node-ip="$(node_address "$node")" --root-dir=/var/lib/kubelet \
        --volume-plugin-dir=/var/lib/kubelet/volume-plugins \
        --housekeeping-interval=30s \
        --node-labels="topology.kubernetes.io/region=$region,topology.kubernetes.io/zone=$region-${node#node-}"
}

containerd_settings() {
    cat <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause_image"
  # Machines without CAP_SYS_RESOURCE may not lower a score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$bin/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${bin%/*}/cni"
    conf_dir = "$state/machines/$1/cni"
END
}

# Routed links, no bridge: a pod's traffic passes its node's iptables whichever way it goes.
pod_network() {
    cat <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$(node_pods "$1")"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
END
}

kubelet_settings() {
    cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $2
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/$1.crt
tlsPrivateKeyFile: $pki/$1.key
clusterDomain: cluster.local
clusterDNS: [$dns_service_address]
resolvConf: $state/machines/$1/resolv.conf
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup/$1
failSwapOn: false
# Images come from load-image and can not be pulled again: never collect them. All nodes share one disk, whose
# fill says nothing about any of them.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
# Idle nodes should cost little: their disks' use is of no interest.
volumeStatsAggPeriod: 1h
END
    # The newest releases else refuse a machine with cgroups of version 1.
    if kubelet_knows fail-cgroupv1; then echo "failCgroupV1: false"; fi
}
