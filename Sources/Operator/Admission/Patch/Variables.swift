internal import Kubernetes

/// The variables that containers get.
enum Variables {
    static let preload = "LD_PRELOAD"
    static let modelDirectory = "MODEL_DIR"
    /// Taken from a target: what says where the model comes from. No other may come from there.
    private static let source: Set<String> = ["OSS_PATH", "OSS_ENDPOINT", "OSS_REGION", "MODELCACHE_INCLUDE"]
    /// Half of one pair of keys with half of another opens nothing: these three are taken together or not at all.
    static let keys: Set<String> = ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"]

    /// As entries of `env`.
    static func ofSource(_ target: InjectionTarget) -> [JSONValue] {
        target.environment.compactMap { variable in
            guard source.contains(variable.name) || keys.contains(variable.name) else { return nil }
            if let value = variable.value { return literal(variable.name, value) }
            guard let reference = variable.valueFrom?.secretKeyRef else { return nil }
            return [
                "name": .string(variable.name),
                "valueFrom": [
                    "secretKeyRef": ["name": .string(reference.name), "key": .string(reference.key), "optional": true]
                ],
            ]
        }
    }

    /// `$(NAME)` in a value is replaced by the kubelet, `$$(NAME)` stands for itself
    /// (https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/).
    static func literal(_ name: String, _ value: String) -> JSONValue {
        var escaped = ""
        for character in value {
            if character == "(", escaped.hasSuffix("$") { escaped.append("$") }
            escaped.append(character)
        }
        return ["name": .string(name), "value": .string(escaped)]
    }
}
