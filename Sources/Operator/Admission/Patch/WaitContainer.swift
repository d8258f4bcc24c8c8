internal import CRD
internal import Kubernetes

/// The init container of mode `Wait`: it ends when the whole model is on the pod's node.
enum WaitContainer {
    static let name = "modelcache-wait"
    /// As a warm-up Job's.
    static let command: JSONValue = ["/modelcache", "warm", "--json"]
    private static let mountPath = "/cache"

    /// Whether one of `initContainers` does this already. The image may have been replaced by a webhook that knows a
    /// mirror.
    static func isPresent(in initContainers: [JSONValue], _ target: InjectionTarget, volumes: PodVolumes) -> Bool {
        initContainers.contains { container in
            container["command"] == command
                && container["volumeMounts"]?.elements?.contains {
                    $0["name"]?.text == volumes.volume(of: target) && $0["mountPath"]?.text == mountPath
                } == true
        }
    }

    /// Passes the `restricted` Pod Security Standard whatever the pod says
    /// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
    ///
    /// - Parameter names: of all containers; the new one's is added.
    static func make(
        target: InjectionTarget, pod: PodOutline, volumes: PodVolumes, names: inout Set<String>
    ) -> JSONValue {
        let environment: [JSONValue] =
            [
                Variables.literal("MODELCACHE_SOCKET", ModelDirectory.socket(in: mountPath)),
                Variables.literal("MODELCACHE_TOKEN_FILE", PodVolumes.tokenFile),
            ] + Variables.ofSource(target, withKeys: false)
        var container: [String: JSONValue] = [
            "name": .string(freeName(&names)), "image": .string(target.agentImage), "imagePullPolicy": "IfNotPresent",
            "command": command, "env": .array(environment),
            "volumeMounts": [volumes.modelMount(of: target, at: mountPath), volumes.tokenMount],
            "securityContext": securityContext(target.podTemplate),
            "terminationMessagePolicy": "FallbackToLogsOnError",
        ]
        // Init containers count for the pod's quality of service: with request and limit the same, a Guaranteed pod
        // stays one, and without any a BestEffort pod does
        // (https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/).
        if hasResources(pod) { container["resources"] = resources(target.podTemplate) }
        return .object(container)
    }

    /// The pull secrets that the pod lacks for this container's image. Those of its ServiceAccount are there already:
    /// the API server puts them in before it asks webhooks.
    static func pullSecrets(_ targets: [InjectionTarget], pod: PodOutline) -> [JSONPatchOperation] {
        let present = pod.spec["imagePullSecrets"]?.elements
        var missing: [String] = []
        for name in targets.flatMap(\.podTemplate.imagePullSecrets).map(\.name)
        where !missing.contains(name) && present?.contains(where: { $0["name"]?.text == name }) != true {
            missing.append(name)
        }
        let entries = missing.map { JSONValue.object(["name": .string($0)]) }
        return JSONPatchOperation.append(entries, to: "/spec/imagePullSecrets", present: present)
    }

    private static func securityContext(_ template: PodTemplate) -> JSONValue {
        var members: [String: JSONValue] = [
            "runAsNonRoot": true, "privileged": false, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": ["drop": ["ALL"]], "seccompProfile": ["type": "RuntimeDefault"],
        ]
        let user = template.securityContext.map(\.runAsUser) ?? 65532
        let group = template.securityContext.map(\.runAsGroup) ?? 65532
        if let user { members["runAsUser"] = .integer(user) }
        if let group { members["runAsGroup"] = .integer(group) }
        return .object(members)
    }

    private static func resources(_ template: PodTemplate) -> JSONValue {
        guard let resources = template.resources else {
            let amount: JSONValue = ["cpu": "100m", "memory": "128Mi"]
            return ["requests": amount, "limits": amount]
        }
        var members: [String: JSONValue] = [:]
        for (kind, amounts) in [("requests", resources.requests), ("limits", resources.limits)] where !amounts.isEmpty {
            members[kind] = .object(amounts.mapValues { .string($0.text) })
        }
        return .object(members)
    }

    private static func freeName(_ taken: inout Set<String>) -> String {
        var candidate = name
        var number = 2
        while !taken.insert(candidate).inserted {
            candidate = "\(name)-\(number)"
            number += 1
        }
        return candidate
    }

    private static func hasResources(_ pod: PodOutline) -> Bool {
        func says(_ holder: JSONValue) -> Bool {
            ["requests", "limits"].contains { kind in
                if case .object(let amounts)? = holder["resources"]?[kind] { !amounts.isEmpty } else { false }
            }
        }
        return says(pod.spec) || pod.containers.contains { says($0.container) }
            || (pod.initContainers ?? []).contains(where: says)
    }
}
