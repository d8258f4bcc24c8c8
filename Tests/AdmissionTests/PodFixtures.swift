import Admission
import Foundation
import Kubernetes

/// Splitmix64: the same seed gives the same pods everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// From MODELCACHE_TEST_SEED, else another one each time.
    static var seed: UInt64 {
        ProcessInfo.processInfo.environment["MODELCACHE_TEST_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 1...UInt64.max)
    }
}

enum PodFixtures {
    static let uid = "8d1a0b6e-6f0e-4d57-9a3d-3f3c1c9f2a10"
    static let claim = "gemma-cache-0123456789"

    static func target(
        ready: Bool = true, warm: [String] = ["node-2", "node-1"], deleting: Bool = false, unresolved: String? = nil, secret: Bool = true
    ) -> InjectionTarget {
        var environment = [
            EnvVar(name: "OSS_PATH", value: "oss://models/gemma/"),
            EnvVar(name: "OSS_ENDPOINT", value: "https://oss-cn-hangzhou-internal.aliyuncs.com"),
            EnvVar(name: "OSS_REGION", value: "cn-hangzhou"), EnvVar(name: "MODELCACHE_INCLUDE", value: "*.gguf,*.json"),
        ]
        if secret {
            for (name, key) in [("OSS_ACCESS_KEY_ID", "akId"), ("OSS_ACCESS_KEY_SECRET", "akSecret"), ("OSS_SESSION_TOKEN", "securityToken")] {
                environment.append(EnvVar(name: name, valueFrom: EnvVarSource(secretKeyRef: KeySelector(name: "oss-keys", key: key))))
            }
        }
        return InjectionTarget(
            name: "gemma", namespace: "models", uid: uid, claimName: claim, environment: environment, ready: ready, warmNodeHostnames: warm,
            deleting: deleting, agentImage: "registry.example/modelcache-agent:1.0", unresolved: unresolved)
    }

    /// A pod of one container with what is given put over it.
    static func pod(
        annotations: JSONValue? = nil, container: [String: JSONValue] = [:], spec: [String: JSONValue] = [:], label: String? = "gemma"
    ) -> JSONValue {
        var metadata: [String: JSONValue] = ["generateName": "llama-"]
        if let label { metadata["labels"] = .object([PodLabels.inject: .string(label), "app": "llama"]) }
        if let annotations { metadata["annotations"] = annotations }
        let main: [String: JSONValue] = ["name": "llama", "image": "llama.cpp:b1"]
        let base: [String: JSONValue] = ["containers": [.object(main.merging(container) { $1 })]]
        return ["apiVersion": "v1", "kind": "Pod", "metadata": .object(metadata), "spec": .object(base.merging(spec) { $1 })]
    }

    /// What an API server fills in after every webhook (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
    static func defaulted(_ pod: JSONValue) -> JSONValue {
        guard case .object(var top) = pod, case .object(var spec)? = top["spec"] else { return pod }
        func each(_ member: String, _ change: (inout [String: JSONValue]) -> Void) {
            guard case .array(let elements)? = spec[member] else { return }
            spec[member] = .array(elements.map { element in
                guard case .object(var members) = element else { return element }
                change(&members)
                return .object(members)
            })
        }
        for member in ["containers", "initContainers"] {
            each(member) { container in
                for (name, value): (String, JSONValue) in [
                    ("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File"),
                    ("imagePullPolicy", "IfNotPresent"), ("resources", [:]),
                ] where container[name] == nil { container[name] = value }
                // One that rewrites images to a mirror.
                if case .string(let image)? = container["image"], !image.hasPrefix("mirror/") { container["image"] = .string("mirror/\(image)") }
                // The reader drops what is empty, as `omitempty` does.
                if container["env"] == [] { container["env"] = nil }
            }
        }
        each("volumes") { volume in
            guard case .object(var projected)? = volume["projected"], projected["defaultMode"] == nil else { return }
            projected["defaultMode"] = 420
            volume["projected"] = .object(projected)
        }
        for (name, value): (String, JSONValue) in [("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler")]
        where spec[name] == nil { spec[name] = value }
        top["spec"] = .object(spec)
        return .object(top)
    }
}

extension PodPatch {
    static func make(_ pod: JSONValue, _ target: InjectionTarget? = PodFixtures.target(), names: [String] = []) -> PodPatch {
        make(pod: pod, namespace: "models", target: target, names: names)
    }

    func applied(to pod: JSONValue) throws -> JSONValue { try PatchApplier.apply(operations, to: pod) }
}

extension JSONValue {
    subscript(index: Int) -> JSONValue? {
        if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
    }

    var list: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }

    var string: String? { if case .string(let text) = self { text } else { nil } }

    /// Value of a variable in a container.
    func variable(_ name: String) -> JSONValue? { self["env"]?.list.last { $0["name"] == .string(name) } }
}
