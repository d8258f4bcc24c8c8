import Kubernetes

/// The `restricted` Pod Security Standard, with `baseline` in it, as published on
/// https://kubernetes.io/docs/concepts/security/pod-security-standards/ : control by control, in its order. Seen as a cluster of
/// today applies it to a Linux pod.
enum RestrictedStandard {
    /// The controls that a pod breaks; empty: it passes.
    static func violations(_ pod: JSONValue) -> [String] {
        let spec = pod["spec"] ?? [:]
        let context = spec["securityContext"] ?? [:]
        let containers = ["containers", "initContainers", "ephemeralContainers"].flatMap { list(spec[$0]) }
        var found: [String] = []
        func check(_ holds: Bool, _ control: String) { if !holds { found.append(control) } }

        // Baseline
        for container in containers {
            let windows = container["securityContext"]?["windowsOptions"]?["hostProcess"] ?? .null
            check(windows == .null || windows == false, "HostProcess")
        }
        for name in ["hostNetwork", "hostPID", "hostIPC"] { check(spec[name] ?? false == false, "Host Namespaces: \(name)") }
        for container in containers {
            let own = container["securityContext"] ?? [:]
            check(own["privileged"] ?? false == false, "Privileged Containers")
            for port in list(container["ports"]) {
                check(port["hostPort"] ?? 0 == 0 || port["hostPort"] == .null, "Host Ports")
            }
            for handler in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let host = container[handler]?["httpGet"]?["host"] ?? container[handler]?["tcpSocket"]?["host"] ?? ""
                check(host == "" || host == .null, "Host Probes")
            }
            check(["Default", .null].contains(own["procMount"] ?? .null), "/proc Mount Type")
        }
        for holder in [context] + containers.map({ $0["securityContext"] ?? [:] }) {
            let apparmor = holder["appArmorProfile"]?["type"] ?? .null
            check([.null, "RuntimeDefault", "Localhost"].contains(apparmor), "AppArmor")
            let selinux = holder["seLinuxOptions"] ?? [:]
            check([.null, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"].contains(selinux["type"] ?? .null), "SELinux")
            check((selinux["user"] ?? "") == "" && (selinux["role"] ?? "") == "", "SELinux")
        }
        let sysctls: Set<JSONValue> = [
            "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
        ]
        for sysctl in list(context["sysctls"]) { check(sysctls.contains(sysctl["name"] ?? .null), "Sysctls") }

        // Restricted
        let types: Set<String> = [
            "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
        ]
        for volume in list(spec["volumes"]) {
            guard case .object(let members) = volume else { continue }
            check(members.keys.allSatisfy { $0 == "name" || types.contains($0) || members[$0] == .null }, "Volume Types")
        }
        for container in containers {
            let own = container["securityContext"] ?? [:]
            check(own["allowPrivilegeEscalation"] == false, "Privilege Escalation")
            check(effective("runAsNonRoot", own, context) == true, "Running as Non-root")
            check([own["runAsUser"], context["runAsUser"]].allSatisfy { $0 != 0 }, "Running as Non-root user")
            let seccomp = own["seccompProfile"] ?? .null == .null ? context["seccompProfile"] : own["seccompProfile"]
            check(["RuntimeDefault", "Localhost"].contains(seccomp?["type"] ?? .null), "Seccomp")
            check(list(own["capabilities"]?["drop"]).contains("ALL"), "Capabilities")
            check(list(own["capabilities"]?["add"]).allSatisfy { $0 == "NET_BIND_SERVICE" }, "Capabilities")
        }
        return found
    }

    private static func effective(_ name: String, _ own: JSONValue, _ context: JSONValue) -> JSONValue? {
        (own[name] ?? .null) == .null ? context[name] : own[name]
    }

    private static func list(_ value: JSONValue?) -> [JSONValue] {
        if case .array(let elements)? = value { elements } else { [] }
    }
}
