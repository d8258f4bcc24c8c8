internal import Kubernetes

/// The init container of mode `Wait`: it ends when the whole model is on the pod's node.
enum WaitContainer {
    static let name = "modelcache-wait"
    /// As a warm-up Job's.
    static let command: JSONValue = ["/modelcache", "warm", "--json"]
    private static let mountPath = "/cache"

    /// Whether one of `initContainers` does this already. The image may have been replaced by a webhook that knows a mirror.
    static func isPresent(in initContainers: [JSONValue], volumes: PodVolumes) -> Bool {
        initContainers.contains { container in
            container["command"] == command
                && container["volumeMounts"]?.elements?.contains {
                    $0["name"]?.text == volumes.model && $0["mountPath"]?.text == mountPath
                } == true
        }
    }

    /// Passes the `restricted` Pod Security Standard whatever the pod says
    /// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
    static func make(target: InjectionTarget, pod: PodOutline, volumes: PodVolumes) -> JSONValue {
        let environment: [JSONValue] =
            [
                Variables.literal("MODELCACHE_SOCKET", ModelDirectory.socket(in: mountPath)),
                Variables.literal("MODELCACHE_TOKEN_FILE", PodVolumes.tokenFile),
            ] + Variables.ofSource(target)
        var container: [String: JSONValue] = [
            "name": .string(freeName(pod)), "image": .string(target.agentImage), "imagePullPolicy": "IfNotPresent",
            "command": command, "env": .array(environment),
            "volumeMounts": [volumes.modelMount(at: mountPath), volumes.tokenMount],
            "securityContext": [
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "privileged": false, "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true, "capabilities": ["drop": ["ALL"]], "seccompProfile": ["type": "RuntimeDefault"],
            ],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        ]
        // Init containers count for the pod's quality of service: with request and limit the same, a Guaranteed pod stays one, and
        // without any a BestEffort pod does (https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/).
        if hasResources(pod) {
            let amount: JSONValue = ["cpu": "100m", "memory": "128Mi"]
            container["resources"] = ["requests": amount, "limits": amount]
        }
        return .object(container)
    }

    private static func freeName(_ pod: PodOutline) -> String {
        let taken = Set(pod.initContainerNames + pod.containers.map(\.name))
        var candidate = name
        var number = 2
        while taken.contains(candidate) {
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
        return says(pod.spec) || pod.containers.contains { says($0.container) } || (pod.initContainers ?? []).contains(where: says)
    }
}
