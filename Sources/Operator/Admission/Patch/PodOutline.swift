internal import Kubernetes

/// The parts of a pod that injection reads, found once.
struct PodOutline {
    let metadata: JSONValue
    let spec: JSONValue
    let annotations: [String: JSONValue]
    let hasAnnotations: Bool
    let containers: [ContainerOutline]
    /// Nil: the member is absent or null.
    let volumes: [JSONValue]?
    let initContainers: [JSONValue]?
    /// The same as ``initContainers``, native sidecars among them.
    let initOutlines: [ContainerOutline]

    /// - Throws: ``LeftAlone`` for what is no pod of `core/v1`. An API server sends none; a patch on one would fail as
    ///   a whole.
    init(_ pod: JSONValue) throws(LeftAlone) {
        func list(_ member: String, of tree: JSONValue) throws(LeftAlone) -> [JSONValue]? {
            switch tree[member] {
            case nil, .null?: return nil
            case .array(let elements)?:
                for element in elements {
                    guard case .object = element else {
                        throw LeftAlone("spec.\(member) has an entry that is no object")
                    }
                }
                return elements
            default: throw LeftAlone("spec.\(member) is no list")
            }
        }
        guard let metadata = pod["metadata"], case .object = metadata else {
            throw LeftAlone("the pod has no metadata")
        }
        guard let spec = pod["spec"], case .object = spec else { throw LeftAlone("the pod has no spec") }
        self.metadata = metadata
        self.spec = spec
        switch metadata["annotations"] {
        case nil, .null?:
            annotations = [:]
            hasAnnotations = false
        case .object(let members)?:
            annotations = members
            hasAnnotations = true
        default: throw LeftAlone("metadata.annotations is no object")
        }
        func outlines(_ member: String, _ elements: [JSONValue]?) throws(LeftAlone) -> [ContainerOutline] {
            var outlines: [ContainerOutline] = []
            for (index, container) in (elements ?? []).enumerated() {
                outlines.append(
                    ContainerOutline(
                        path: "/spec/\(member)/\(index)", name: container["name"]?.text ?? "", container: container,
                        env: try list("env", of: container), mounts: try list("volumeMounts", of: container)))
            }
            return outlines
        }
        volumes = try list("volumes", of: spec)
        initContainers = try list("initContainers", of: spec)
        initOutlines = try outlines("initContainers", initContainers)
        let containers = try outlines("containers", try list("containers", of: spec))
        guard !containers.isEmpty else { throw LeftAlone("the pod has no containers") }
        self.containers = containers
    }

    /// The patch and the annotation ``PodLabels/container`` name containers and volumes. The API server looks at the
    /// names after the webhooks have.
    ///
    /// - Throws: ``LeftAlone`` for names that it refuses.
    func checkNames() throws(LeftAlone) {
        var names: Set<String> = []
        for name in (containers + initOutlines).map(\.name) {
            guard Self.isLabel(name) else {
                throw LeftAlone("a container of the pod has the name \(Wording.quoted(name)), which is no DNS label")
            }
            guard names.insert(name).inserted else {
                throw LeftAlone("two containers of the pod have the name \(Wording.quoted(name))")
            }
        }
        guard (volumes ?? []).allSatisfy({ Self.isLabel($0["name"]?.text ?? "") }) else {
            throw LeftAlone("a volume of the pod has a name that is no DNS label")
        }
    }

    /// RFC 1123, as Kubernetes names containers and volumes.
    private static func isLabel(_ name: String) -> Bool {
        let bytes = name.utf8
        return (1...63).contains(bytes.count) && bytes.first != UInt8(ascii: "-") && bytes.last != UInt8(ascii: "-")
            && bytes.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || byte == UInt8(ascii: "-")
            }
    }

    /// Windows has no LD_PRELOAD and no such mounts (https://kubernetes.io/docs/concepts/windows/intro/).
    var isForWindows: Bool {
        func says(_ value: JSONValue?) -> Bool { value?.text?.lowercased() == "windows" }
        return says(spec["os"]?["name"]) || says(spec["nodeSelector"]?["kubernetes.io/os"])
    }
}

/// One container of a pod.
struct ContainerOutline {
    /// JSON pointer (RFC 6901) in the pod.
    let path: String
    let name: String
    let container: JSONValue
    /// Nil: the member is absent or null.
    let env: [JSONValue]?
    let mounts: [JSONValue]?

    /// The entry that sets a variable; of two of one name the last counts, as for the kubelet.
    func variable(_ name: String) -> (index: Int, entry: JSONValue)? {
        guard let env, let index = env.lastIndex(where: { $0["name"]?.text == name }) else { return nil }
        return (index, env[index])
    }

    /// The value when it is written out; nil when the variable is not set or comes from elsewhere. Without a value it
    /// is empty.
    func literal(_ name: String) -> String? {
        guard let entry = variable(name)?.entry, entry["valueFrom"] ?? .null == .null else { return nil }
        return entry["value"]?.text ?? ""
    }

    var takesFromElsewhere: Bool { container["envFrom"]?.elements?.isEmpty == false }
}
