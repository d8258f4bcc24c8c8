# What runs and how it is. To be sourced after node.sh.

# parts_expected: every program of the cluster as <machine>.<program>.
parts_expected() {
    local program node
    for program in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy dns; do echo "control.$program"; done
    for node in $(nodes_there); do
        for program in containerd kubelet kube-proxy; do echo "$node.$program"; done
    done
}

# healthy PART: asks the program itself.
healthy() {
    local machine=${1%%.*} ask="curl --silent --fail --max-time 3 --output /dev/null"
    case ${1#*.} in
    etcd) in_netns "$machine" $ask http://127.0.0.1:2379/health ;;
    kube-apiserver) api_ready ;;
    kube-controller-manager) in_netns "$machine" $ask --cacert "$pki/ca.crt" https://127.0.0.1:10257/healthz ;;
    kube-scheduler) in_netns "$machine" $ask --cacert "$pki/ca.crt" https://127.0.0.1:10259/healthz ;;
    kube-proxy) in_netns "$machine" $ask http://127.0.0.1:10256/healthz ;;
    kubelet) in_netns "$machine" $ask http://127.0.0.1:10248/healthz ;;
    containerd) containerd_ready "$machine" ;;
    dns) python3 - "$control_address" <<'END' ;;
import socket, sys
query = b"\0\1\1\0\0\1\0\0\0\0\0\0\12kubernetes\7default\3svc\7cluster\5local\0\0\1\0\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(2)
    udp.sendto(query, (sys.argv[1], 53))
    sys.exit(udp.recv(512)[3] & 15)
END
    esac 2>/dev/null
}

since() { ps -o lstart= -p "$1" 2>/dev/null | awk '{ print $4 }'; }

# status: the table; fails when a part is not healthy.
status() {
    local part pid state_word failed=0
    printf '%-9s %-24s %-8s %-8s %s\n' MACHINE PROGRAM PID HEALTHY SINCE
    for part in $(parts_expected); do
        pid=- state_word=no
        if pid=$(process_of "$part"); then
            ! healthy "$part" || state_word=yes
        else
            pid=- state_word=ended
        fi
        [ $state_word = yes ] || failed=1
        printf '%-9s %-24s %-8s %-8s %s\n' "${part%%.*}" "${part#*.}" "$pid" "$state_word" "$([ "$pid" = - ] || since "$pid")"
    done
    echo
    kubectl get nodes -o wide 2>&1 || failed=1
    [ $failed = 0 ] || say "logs are in $logs"
    return $failed
}

# all_alive: every part's process is there (nobody is asked: quick).
all_alive() {
    local part
    [ -e "$state/.up" ] || return 1
    for part in $(parts_expected); do process_of "$part" >/dev/null || return 1; done
}
