# The control plane: etcd, API server, controllers, scheduler, kube-proxy for itself and this machine, and DNS.
# To be sourced after machines.sh.

issuer=https://kubernetes.default.svc.cluster.local
certificates() { "$repository/hack/lib/cluster/certificates" "$@"; }

# identity NAME SUBJECT [ALTERNATIVE...]: a certificate and a kubeconfig that carries it.
identity() {
    certificates issue "$pki" ca "$@"
    [ -e "$pki/$1.kubeconfig" ] || certificates kubeconfig "$pki" "$pki/$1.kubeconfig" "$server" ca "$1"
}

control_certificates() {
    [ ! -e "$pki/.ready" ] || return 0
    certificates authority "$pki" ca
    certificates authority "$pki" front-proxy-ca
    certificates token-key "$pki" service-account
    certificates issue "$pki" ca apiserver /CN=kube-apiserver "IP:$control_address" "IP:$api_service_address" IP:127.0.0.1 \
        DNS:kubernetes DNS:kubernetes.default DNS:kubernetes.default.svc DNS:kubernetes.default.svc.cluster.local DNS:localhost
    certificates issue "$pki" ca apiserver-to-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
    certificates issue "$pki" front-proxy-ca front-proxy /CN=front-proxy-client
    identity admin /O=system:masters/CN=admin
    identity controllers /CN=system:kube-controller-manager "IP:127.0.0.1"
    identity scheduler /CN=system:kube-scheduler "IP:127.0.0.1"
    identity kube-proxy /CN=system:kube-proxy
    identity dns /CN=cluster-dns
    cp "$pki/admin.kubeconfig" "$admin_kubeconfig"
    touch "$pki/.ready"
}

run_etcd() {
    # Its data is in the machine's memory: nothing waits for a disk, nothing outlives the machine.
    run_program control etcd "$bin/etcd" --name=default --data-dir=/run/etcd --log-level=warn --logger=zap \
        --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
        --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
        --initial-cluster=default=http://127.0.0.1:2380 --quota-backend-bytes=4294967296 \
        --auto-compaction-retention=0
}

run_apiserver() {
    run_program control kube-apiserver "$bin/kube-apiserver" \
        --advertise-address="$control_address" --bind-address=0.0.0.0 --secure-port=6443 \
        --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range="$service_range" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
        --anonymous-auth=false --authorization-mode=Node,RBAC --allow-privileged=true \
        --service-account-issuer="$issuer" --api-audiences="$issuer" \
        --service-account-signing-key-file="$pki/service-account.key" --service-account-key-file="$pki/service-account.pub" \
        --kubelet-client-certificate="$pki/apiserver-to-kubelet.crt" --kubelet-client-key="$pki/apiserver-to-kubelet.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --enable-aggregator-routing=true --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
        --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
        --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
}

run_controllers() {
    local kubeconfig=$pki/controllers.kubeconfig
    run_program control kube-controller-manager "$bin/kube-controller-manager" \
        --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig" --authorization-kubeconfig="$kubeconfig" \
        --bind-address=127.0.0.1 --tls-cert-file="$pki/controllers.crt" --tls-private-key-file="$pki/controllers.key" \
        --leader-elect=false --use-service-account-credentials=true \
        --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
        --flex-volume-plugin-dir=/run/volume-plugins --attach-detach-reconcile-sync-period=10m
}

run_scheduler() {
    local kubeconfig=$pki/scheduler.kubeconfig
    run_program control kube-scheduler "$bin/kube-scheduler" \
        --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig" --authorization-kubeconfig="$kubeconfig" \
        --bind-address=127.0.0.1 --tls-cert-file="$pki/scheduler.crt" --tls-private-key-file="$pki/scheduler.key" \
        --leader-elect=false
}

# run_proxy MACHINE ADDRESS: kube-proxy with iptables rules in the machine's own network namespace. Nothing changes
# its rules behind its back, so it looks at them all only every few minutes; it leaves the computer's connection
# tracking limits alone.
run_proxy() {
    run_program "$1" kube-proxy "$bin/kube-proxy" --kubeconfig="$pki/kube-proxy.kubeconfig" \
        --hostname-override="$1" --bind-address="$2" --cluster-cidr="$pod_range" --proxy-mode=iptables \
        --healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249 --iptables-sync-period=5m \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s
}

run_dns() {
    run_program control dns python3 "$repository/hack/lib/cluster/dns" --kubeconfig "$pki/dns.kubeconfig" \
        --listen "$control_address" --forget-after 5
}

# The Service whose address every pod's resolv.conf names (its endpoint is the dns program), and the right of nodes to read what
# pods use. The Node authorizer grants that for a node's own pods, but its picture of them runs behind on a busy machine: a
# kubelet that was refused a new pod's claim waits ten seconds and more before it asks again.
cluster_objects() {
    cat <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cluster-nodes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:nodes}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cluster-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:kube-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: cluster-dns}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $dns_service_address
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: kube-dns, namespace: kube-system}
subsets:
- addresses: [{ip: $control_address}]
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
END
}

kubectl() {
    # Discovery is remembered by address, and the next cluster has the same: keep it with this one.
    KUBECACHEDIR=$state/kubectl-cache "$bin/kubectl" --kubeconfig "$admin_kubeconfig" --request-timeout=30s "$@"
}

api_ready() {
    [ "$(curl --silent --max-time 3 --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$server/readyz")" = ok ]
}

control_start() {
    say "control plane: etcd and API server"
    control_certificates
    control_network
    machine_start control
    run_etcd
    run_apiserver
}

control_finish() {
    wait_for 120 "the API server to be ready" control_alive api_ready
    say "control plane: controllers, scheduler, kube-proxy, DNS"
    wait_for 120 "the roles of RBAC to be there" control_alive cluster_objects_applied
    run_controllers
    run_scheduler
    # Only a kubelet makes this chain, which kube-proxy's rules may name.
    on_machine control "$bin/iptables" -w -t nat -N KUBE-MARK-DROP 2>/dev/null || true
    run_proxy control "$control_address"
    run_dns
}

control_alive() {
    must_run control etcd
    must_run control kube-apiserver
}
cluster_objects_applied() { cluster_objects | kubectl apply -f - >/dev/null 2>>"$logs/kubectl.log"; }

# wait_for SECONDS WHAT ALIVE READY...: until READY succeeds; ALIVE (a function and its arguments in one word) may fail
# at once when it never will.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2 alive=$3
    shift 3
    until "$@"; do
        $alive
        [ $SECONDS -lt $deadline ] || fail "waited too long for $what: logs are in $logs"
        sleep 0.2
    done
}
