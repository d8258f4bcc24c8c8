# A link of known speed between two network namespaces: the store runs on one side, llama.cpp and the
# agent on the other. Made with a veth pair and a token bucket; needs root.
#
#   link_up RATE_MBIT        sets link_store, link_client (namespaces), link_store_address, link_client_address
#   link_down                removes everything; call it in a trap
#   on_store COMMAND...      runs a command on the store's side
#   on_client COMMAND...     runs it on the client's side

link_up() {
    local rate=$1 number burst
    [ "$(id -u)" -eq 0 ] || fail "a shaped link needs root (network namespaces)"
    need_packages iproute2
    # Names and addresses follow from the process id: two runs on a machine do not meet.
    number=$(($$ % 16000))
    link_store=mcs$$ link_client=mcc$$
    link_store_address=10.$((64 + number / 250)).$((number % 250)).1
    link_client_address=10.$((64 + number / 250)).$((number % 250)).2
    ip netns add "$link_store"
    ip netns add "$link_client"
    ip -n "$link_store" link add "vs$$" type veth peer name "vc$$" netns "$link_client"
    ip -n "$link_store" address add "$link_store_address/30" dev "vs$$"
    ip -n "$link_client" address add "$link_client_address/30" dev "vc$$"
    local side device
    for side in "$link_store:vs$$" "$link_client:vc$$"; do
        device=${side#*:}
        ip -n "${side%:*}" link set lo up
        ip -n "${side%:*}" link set "$device" up
    done
    # A bucket of 2 ms, at least one 64 KiB segment, and a queue of 50 ms. The wire's rate counts in
    # megabits of Ethernet frames, as a real link's does.
    burst=$((rate * 1000000 / 8 / 500))
    [ $burst -ge 131072 ] || burst=131072
    ip netns exec "$link_store" tc qdisc add dev "vs$$" root tbf rate "${rate}mbit" burst "$burst" latency 50ms
}

link_down() {
    local namespace
    for namespace in "${link_store:-}" "${link_client:-}"; do
        [ -n "$namespace" ] || continue
        ip netns delete "$namespace" 2>/dev/null || true
    done
    link_store='' link_client=''
}

# nsenter and not `ip netns exec`: the latter hides /sys and makes a mount namespace of its own, in
# which the agent's tmpfs would not be seen by others.
on_store() { nsenter --net="/run/netns/$link_store" "$@"; }
on_client() { nsenter --net="/run/netns/$link_client" "$@"; }
