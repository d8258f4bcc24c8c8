import Admission
import Foundation
import Kubernetes

enum PodFixtures {
    static let uid = "8d1a0b6e-6f0e-4d57-9a3d-3f3c1c9f2a10"
    static let claim = "gemma-cache-0123456789"

    static func target(
        ready: Bool = true, warm: [String] = ["node-2", "node-1"], deleting: Bool = false, unresolved: String? = nil, secret: Bool = true
    ) -> InjectionTarget {
        let environment = [
            EnvVar(name: "OSS_PATH", value: "oss://models/gemma/"),
            EnvVar(name: "OSS_ENDPOINT", value: "https://oss-cn-hangzhou-internal.aliyuncs.com"),
            EnvVar(name: "OSS_REGION", value: "cn-hangzhou"), EnvVar(name: "MODELCACHE_INCLUDE", value: "*.gguf,*.json"),
        ]
        let keys = ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "AWS_ACCESS_KEY_ID"].map { name in
            EnvVar(name: name, valueFrom: EnvVarSource(secretKeyRef: KeySelector(name: "oss-keys", key: name)))
        }
        return InjectionTarget(
            name: "gemma", namespace: "models", uid: uid, claimName: claim, environment: environment, directKeys: secret ? keys : [], ready: ready,
            warmNodeHostnames: warm,
            deleting: deleting, agentImage: "registry.example/modelcache-agent:1.0", unresolved: unresolved)
    }

    /// A second ModelCache, public, of another store.
    static func draft(warm: [String] = ["node-3"], bytes: Int64 = 0) -> InjectionTarget {
        InjectionTarget(
            name: "draft", namespace: "models", uid: "0a1b", claimName: "draft-cache-9876543210",
            environment: [
                EnvVar(name: "OSS_PATH", value: "s3://other/draft/"), EnvVar(name: "OSS_ENDPOINT", value: "https://s3.example"),
                EnvVar(name: "OSS_REGION", value: "eu-1"),
            ], ready: true, warmNodeHostnames: warm, totalBytes: bytes, deleting: false,
            agentImage: "registry.example/modelcache-agent:1.0")
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
    /// - Parameter others: ModelCaches that there are besides.
    static func make(
        _ pod: JSONValue, _ target: InjectionTarget? = PodFixtures.target(),
        others: [InjectionTarget] = [PodFixtures.draft()], names: [String] = [], seed: String = ""
    ) -> PodPatch {
        let all = [target].compactMap(\.self) + others
        return make(
            pod: pod, namespace: "models", targets: Dictionary(all.map { ($0.name, $0) }) { $1 }, names: names, seed: seed)
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
